"""`python -m benchmarks.growth`: what an event costs, as keys, partitions, delayed keys and the window grow.

Each point is a process of its own on one core, see `inside`. Writes a Markdown table, the figures as JSON and a graph
of each series; `--beside FILE` draws those of an earlier run too. Fails where a cost grows that must not.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog

from benchmarks import places
from benchmarks.graph import Line, draw, middle
from benchmarks.inside import Cost, Size, cost

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "results"
REPEAT = 3
ALLOWED = 1.25  # times the cost at its least: caches and the machine's own ups and downs are in it


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that grows while all else stays."""

    name: str
    title: str
    sizes: Mapping[int, Size]
    allowed: float = ALLOWED

    def smaller(self, by: int) -> "Series":
        """The same with fewer events, and without what takes long to set up."""
        sizes = {x: replace(size, events=size.events // by) for x, size in self.sizes.items()}
        return replace(self, sizes={x: size for x, size in sizes.items() if x <= 100_000})


SERIES = (
    Series("keys", "contacts", {n: Size(events=max(200_000, n), keys=n) for n in (1_000, 10_000, 100_000, 1_000_000)}),
    Series(
        "users",
        "contacts whose traits are remembered, each event changing one",
        {n: Size(keys=n, remembered=n) for n in (1_000, 10_000, 100_000, 1_000_000)},
        allowed=3.0,  # a few users' changes are written once for many events; many users' are not at hand but in a file
    ),
    Series("partitions", "partitions", {n: Size(partitions=n) for n in (1, 10, 100)}),
    Series("delayed", "contacts that failed and wait", {n: Size(delayed=n) for n in (0, 100, 1_000, 10_000)}),
    Series(
        "window",
        "offsets settled above the position, of each of 100 partitions",
        {n: Size(partitions=100, above=n) for n in (0, 1_000, 10_000, 21_500)},
    ),
)


def main() -> int:
    """The exit code: 1 where a cost grew by more than it may."""
    given = arguments()
    if given.point:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        sys.stdout.buffer.write(orjson.dumps(asdict(cost(Size(**orjson.loads(given.point))))))
        return 0
    asked = [series for series in SERIES if not given.series or series.name in given.series]
    if given.quick:
        asked = [series.smaller(by=10) for series in asked]
    found = {series.name: measured(series, 1 if given.quick else given.repeat) for series in asked}
    earlier = orjson.loads(given.beside.read_bytes()) if given.beside else {}
    table = write(given.to, asked, found, {name: read(points) for name, points in earlier.items()})
    if given.write:
        places.write("growth", table)
    grown = [series.name for series in asked if growth(found[series.name]) > series.allowed]
    for name in grown:
        print(f"growth: an event costs {growth(found[name]):.2f} times as much as {name} grow", file=sys.stderr)
    return int(bool(grown) and not given.quick)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="./dev bench growth", description=__doc__)
    parser.add_argument("--series", action="append", choices=[each.name for each in SERIES], help="repeatable")
    parser.add_argument("--repeat", type=int, default=REPEAT, help="runs of each point (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, once: speed is not judged")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder for what is written (%(default)s)")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="growth.json of an earlier run, drawn as well")
    parser.add_argument("--write", action="store_true", help="the table into benchmarks/README.md, too")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    return parser.parse_args()


Points = dict[int, list[Cost]]


def measured(series: Series, repeat: int) -> Points:
    """Each size so many times; rounds, so that what the machine does besides meets all alike."""
    points: Points = {x: [] for x in series.sizes}
    for _ in range(repeat):
        for x, size in series.sizes.items():
            points[x].append(alone(size))
            last = points[x][-1]
            print(f"{series.name} {x:,}: {last.cpu_us_per_event:.1f} µs an event", file=sys.stderr, flush=True)
    return points


def alone(size: Size) -> Cost:
    """Measured in a process of its own, on one core."""
    core = min(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.growth", "--point"]
    ended = subprocess.run([*command, orjson.dumps(size)], cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300)
    return Cost(**orjson.loads(ended.stdout))


def growth(points: Points) -> float:
    """How many times what it costs at the least it costs at the most."""
    costs = [best(costs) for costs in points.values()]
    return max(costs) / min(costs)


def best(costs: Sequence[Cost]) -> float:
    """The cheapest run: what else the machine does only ever makes it dearer."""
    return min(each.cpu_us_per_event for each in costs)


def read(points: Mapping[str, Sequence[Mapping[str, float]]]) -> Points:
    """What `write` has written."""
    return {int(x): [Cost(**each) for each in costs] for x, costs in points.items()}  # type: ignore[arg-type]


def write(folder: Path, asked: Sequence[Series], found: Mapping[str, Points], earlier: Mapping[str, Points]) -> str:
    """The figures as JSON, a table, and a graph of each series. Gives the table."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = {
        name: {str(x): [asdict(each) for each in costs] for x, costs in points.items()}
        for name, points in found.items()
    }
    (folder / "growth.json").write_bytes(orjson.dumps(everything, option=orjson.OPT_INDENT_2))
    rows = [row(series.title, x, costs) for series in asked for x, costs in found[series.name].items()]
    head = ("what grows", "how many", "CPU µs an event (lowest to highest)", "commits", "longest stall, ms", "peak MB")
    table = "\n".join(f"| {' | '.join(each)} |" for each in (head, ("---",) * len(head), *rows))
    markdown = f"# Growth, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n\n{table}\n"
    (folder / "growth.md").write_text(markdown, encoding="utf-8")
    print(markdown)
    for series in asked:
        lines = [line("now", found[series.name])]
        lines += [line("before", earlier[series.name])] if series.name in earlier else []
        graph = draw("CPU for one event", series.title, "µs", lines)
        (folder / f"growth-{series.name}.svg").write_text(graph, encoding="utf-8")
    return table


def line(name: str, points: Points) -> Line:
    """A series as a graph shows it."""
    return Line(name, [(x, [each.cpu_us_per_event for each in costs]) for x, costs in points.items()])


def row(title: str, x: int, costs: Sequence[Cost]) -> tuple[str, ...]:
    """A point as people read it."""
    cpu = [each.cpu_us_per_event for each in costs]
    return (
        title,
        f"{x:,}",
        f"**{middle(cpu):.1f}** ({min(cpu):.1f} to {max(cpu):.1f})",
        f"{middle([each.commits for each in costs]):.0f}",
        f"{middle([each.longest_stall_ms for each in costs]):.0f}",
        f"{max(each.peak_mb for each in costs):.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())
