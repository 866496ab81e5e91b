"""Offsets that are settled together: what a run's tracker counts, and what it commits."""

import pytest

from stream.core.offsets import OffsetTracker, SettledTwice, restore
from stream.core.ranges import RangeTracker


def tracking(*offsets: int) -> RangeTracker:
    """A tracker that has read these offsets, from position 5 on."""
    tracker = RangeTracker("events", 0, 5)
    for offset in offsets:
        assert tracker.admit(offset)
    return tracker


def adds_up(tracker: OffsetTracker) -> bool:
    """The counters are those of all offsets below the position."""
    return sum(tracker.totals.values()) == tracker.position - tracker.origin


def test_the_position_waits_for_the_run() -> None:
    """Whatever is known of single offsets before it."""
    tracker = tracking(5, 6, 7)

    tracker.settle(5, "filtered")

    assert (5, 3) == (tracker.position, tracker.unsettled)
    assert adds_up(tracker)


def test_a_run_settles_all_that_was_read() -> None:
    """What was known before it, and what it adds."""
    tracker = tracking(5, 6, 7)
    tracker.settle(5, "filtered")

    tracker.settle_all({"delivered": 1, "coalesced": 1})

    assert (8, 0) == (tracker.position, tracker.unsettled)
    assert (1, 1, 1) == tuple(tracker.totals[each] for each in ("delivered", "coalesced", "filtered"))
    assert adds_up(tracker)


@pytest.mark.parametrize("delivered", [1, 3])
def test_a_run_accounts_for_each_record(delivered: int) -> None:
    """One outcome too few or too many is a bug that must be seen."""
    with pytest.raises(SettledTwice):
        tracking(5, 6).settle_all({"delivered": delivered})


def test_no_more_is_known_than_was_read() -> None:
    """Neither twice, nor of an offset that was not read."""
    tracker = tracking(5)
    tracker.settle(5, "filtered")

    for offset in (5, 6):
        with pytest.raises(SettledTwice):
            tracker.settle(offset, "filtered")


def test_gaps_are_counted_when_the_position_passes_them() -> None:
    """A committed counter never speaks of what lies above the position."""
    tracker = tracking(5, 7, 9)

    assert 0 == tracker.totals["absent"]
    tracker.settle_all({"delivered": 3})

    assert (10, 2) == (tracker.position, tracker.totals["absent"])
    assert adds_up(tracker)


def test_markers_behind_the_last_record_move_a_settled_position() -> None:
    """So that `--drain` ends."""
    tracker = tracking()

    tracker.pass_over(8, "absent")

    assert (8, 3) == (tracker.position, tracker.totals["absent"])


def test_an_offset_is_read_once() -> None:
    """What a seek brings again is passed over."""
    tracker = tracking(5, 6)

    assert not tracker.admit(5)
    assert 2 == tracker.unsettled


def test_no_span_bounds_it() -> None:
    """Contacts do, not offsets: see `stream.runs`."""
    assert tracking(5).admits(10_000_000)


def test_a_commit_describes_it() -> None:
    """Position and counters, nothing above; read back as the same."""
    tracker = tracking(5, 6)
    tracker.settle_all({"delivered": 2})
    tracker.admit(7)

    position, metadata = tracker.commit()
    again = restore("events", 0, position, metadata, kind=RangeTracker)

    assert isinstance(again, RangeTracker)
    assert (7, tracker.totals, 0) == (again.position, again.totals, again.settled_above)


def test_late_results_change_nothing() -> None:
    """A revoked partition is somebody else's."""
    tracker = tracking(5)
    tracker.close()

    tracker.settle(5, "filtered")
    tracker.settle_all({"delivered": 1})

    assert 5 == tracker.position
