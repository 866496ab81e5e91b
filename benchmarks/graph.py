"""A small line graph as SVG: one figure over what it may grow with, on a logarithmic axis from zero on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 40, 44, 52
COLOURS = ("#2563eb", "#9ca3af")  # of the first line, and of what it is compared with


@dataclass(frozen=True, slots=True)
class Line:
    """Points from left to right. Each may have been measured several times: the middle is drawn, and the span."""

    name: str
    points: Sequence[tuple[float, Sequence[float]]]


def draw(title: str, x_title: str, y_title: str, lines: Sequence[Line]) -> str:
    """The graph. Its y axis begins at zero, so that a slope looks as steep as it is."""
    xs = sorted({x for line in lines for x, _ in line.points})
    top = nice(max(y for line in lines for _, ys in line.points for y in ys))
    places = {x: LEFT + (WIDTH - LEFT - RIGHT) * share(x, xs) for x in xs}
    down = HEIGHT - BOTTOM

    def height(y: float) -> float:
        return down - (down - TOP) * y / top

    parts = [text(LEFT, 22, title, size=15, anchor="start")]
    for step in range(5):
        y = top * step / 4
        parts += [
            rule(LEFT, height(y), WIDTH - RIGHT, height(y), "#e5e7eb"),
            text(LEFT - 8, height(y) + 4, f"{y:g}", "end"),
        ]
    parts += [text(places[x], down + 18, f"{x:,.0f}") for x in xs]
    parts += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_title), text(LEFT, 38, y_title, anchor="start")]
    for number, line in enumerate(lines):
        colour = COLOURS[number]
        middles = [(places[x], height(middle(ys))) for x, ys in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in middles)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [rule(places[x], height(min(ys)), places[x], height(max(ys)), colour) for x, ys in line.points]
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in middles]
        if len(lines) > 1:
            parts.append(text(WIDTH - RIGHT, 22 + 16 * number, line.name, "end", colour))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>\n"])


def middle(figures: Sequence[float]) -> float:
    """The median; the lower one of two."""
    return sorted(figures)[(len(figures) - 1) // 2]


def share(x: float, xs: Sequence[float]) -> float:
    """Where on the axis it is, 0 to 1: by its logarithm, and zero one decade before the first that has one."""
    low = min((math.log10(each) for each in xs if each), default=0.0) - (1 if 0 in xs else 0)
    high = math.log10(max(xs)) if max(xs) else low + 1
    return ((math.log10(x) if x else low) - low) / max(high - low, 1e-9)


def nice(most: float) -> float:
    """The end of an axis on which *most* has room: 1, 2, 4, 6 or 8 times a power of ten."""
    unit = 10.0 ** math.floor(math.log10(most))
    return next(step * unit for step in (1.2, 1.6, 2, 3, 4, 6, 8, 12) if step * unit >= 1.05 * most)


def text(x: float, y: float, said: str, anchor: str = "middle", colour: str = "#374151", size: int = 12) -> str:
    """Some words."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}">{escape(said)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
