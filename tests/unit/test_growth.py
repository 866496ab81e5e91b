"""The benchmarks of growth: what they measure runs, what they draw is to scale, and a cost that grows is found."""

from xml.etree import ElementTree

import pytest

from benchmarks import million
from benchmarks.graph import Line, draw, nice, share
from benchmarks.growth import SERIES, Points, alone, growth
from benchmarks.inside import WINDOW, Cost, Size
from benchmarks.places import filled
from stream.core.offsets import METADATA_LIMIT

SVG = "{http://www.w3.org/2000/svg}"


def costs(*figures: float) -> list[Cost]:
    return [Cost(figure, commits=1, longest_stall_ms=1.0, peak_mb=100.0) for figure in figures]


@pytest.mark.parametrize("grown", [{"delayed": 6}, {"above": 20}, {"remembered": 50}])
def test_a_point_is_measured(grown: dict[str, int]) -> None:
    """In a process of its own: contacts that wait, bits above every position, users that are known."""
    found = alone(Size(events=400, keys=50, partitions=3, **grown))

    assert 0 < found.cpu_us_per_event
    assert 0 < found.peak_mb


def test_the_largest_sizes_fit_their_windows() -> None:
    """Else a partition would stand, and nothing would be measured but waiting."""
    for series in SERIES:
        for size in series.sizes.values():
            others = size.delayed * 2 + size.events + 5_000
            assert others / size.partitions * (size.above > 0 or size.delayed > 0) + size.above < WINDOW


def test_a_cost_that_grows_is_found_by_its_best_runs() -> None:
    """What else the machine did in one of them says nothing."""
    points: Points = {1: costs(20.0, 90.0), 10: costs(22.0, 21.0), 100: costs(30.0, 31.0)}

    assert pytest.approx(1.5) == growth(points)


def test_a_graph_is_drawn_to_scale_from_zero() -> None:
    """Twice the cost is twice as high, and each ten times as many are as far apart."""
    drawn = draw("CPU", "keys", "µs", [Line("now", [(1, [10.0]), (10, [20.0, 5.0, 30.0]), (100, [40.0])])])

    picture = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in picture.iter(f"{SVG}circle")]
    zero = max(float(line.attrib["y1"]) for line in picture.iter(f"{SVG}line"))
    heights = [zero - y for _, y in dots]
    assert heights == pytest.approx([heights[0], 2 * heights[0], 4 * heights[0]], abs=0.2)
    assert dots[1][0] - dots[0][0] == pytest.approx(dots[2][0] - dots[1][0], abs=0.2)


@pytest.mark.parametrize("most, end", [(0.9, 1.2), (11.0, 12.0), (12.0, 16.0), (31.4, 40.0), (99.0, 120.0)])
def test_an_axis_has_room_for_what_is_on_it(most: float, end: float) -> None:
    """And ends at a round figure."""
    assert pytest.approx(end) == nice(most)


def test_nothing_at_all_has_its_place_before_the_first() -> None:
    """A logarithm has no zero."""
    assert [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0] == [
        share(x, (0, 100, 1000, 10_000)) for x in (0, 100, 1000, 10_000)
    ]


def test_a_million_events_a_second_are_added_up() -> None:
    """By hand: at 50 µs they keep 50 cores busy, 63 members at 80 %, and 40,000 accounts of 25 calls a second."""
    load = million.Load(1e6, 50.0, 1, 0.8, 10, 1_000, 100.0, ("Attio", 25))

    found = dict(load.rows())

    assert (63, 630) == (load.members, load.all_partitions)
    assert "252" == found["commits a second, four of each member"]
    assert "1.00 GB/s" == found["read from the broker (1000 bytes an event)"]
    assert "**40,000**" == found["accounts at Attio, 25 calls a second each"]


def test_figures_are_put_into_their_place() -> None:
    """Whatever was there before, and nothing else is touched."""
    readme = "head\n<!-- growth: begin -->\nold\n<!-- growth: end -->\ntail\n"

    assert "head\n<!-- growth: begin -->\n| new |\n<!-- growth: end -->\ntail\n" == filled(
        readme, "growth", "| new |\n"
    )
    with pytest.raises(ValueError, match="no place for scaling"):
        filled(readme, "scaling", "| new |")


def test_a_commit_s_text_is_as_long_as_the_product_writes_it() -> None:
    """Few bits, few characters; the fullest window leaves no room."""
    assert 150 > million.metadata_bytes(100)
    assert METADATA_LIMIT - 100 < million.metadata_bytes(WINDOW - 1) <= METADATA_LIMIT
