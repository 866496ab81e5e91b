"""The offset tracker: what is settled, from where to commit, and what survives a restart."""

from collections.abc import Iterable, Mapping
from random import Random

import pytest

from stream.core.offsets import (
    MAX_WINDOW,
    METADATA_LIMIT,
    OUTCOMES,
    Mark,
    OffsetTracker,
    SettledTwice,
    check,
    decode,
    restore,
)
from stream.core.outcomes import Counted


def tracking(*offsets: int, window: int = MAX_WINDOW) -> OffsetTracker:
    tracker = OffsetTracker("events", 0, offsets[0], window=window)
    for offset in offsets:
        assert tracker.admit(offset)
    return tracker


def written(position: int, totals: Mapping[Counted, int], settled: Iterable[int]) -> str:
    return OffsetTracker("events", 0, position, totals=totals, done=settled).commit()[1]


def balance(tracker: OffsetTracker) -> bool:
    return sum(tracker.totals.values()) == tracker.position - tracker.origin + tracker.settled_above


def test_the_position_waits_for_the_lowest_pending_offset() -> None:
    """Finishing 7 before 5 commits nothing new."""
    tracker = tracking(5, 6, 7)

    tracker.settle(7, "delivered")

    assert 5 == tracker.position


def test_the_position_passes_everything_settled_in_a_row() -> None:
    """Finishing 5 after 6 and 7 moves the position over all three."""
    tracker = tracking(5, 6, 7)

    for offset in (7, 6, 5):
        tracker.settle(offset, "delivered")

    assert 8 == tracker.position
    assert 0 == tracker.settled_above


def test_offsets_missing_from_the_log_are_absent() -> None:
    """Compaction and transaction markers leave gaps that nobody waits for."""
    tracker = tracking(5, 9)

    tracker.settle(5, "delivered")

    assert 9 == tracker.position
    assert 3 == tracker.totals["absent"]
    assert balance(tracker)


def test_a_gap_larger_than_the_window_is_passed_while_nothing_is_unsettled() -> None:
    """A compacted topic can skip millions of offsets at once."""
    tracker = OffsetTracker("events", 0, 5, window=10)

    assert tracker.admits(5_000_005)
    tracker.admit(5_000_005)

    assert 5_000_005 == tracker.position
    assert 5_000_000 == tracker.totals["absent"]


def test_the_window_bounds_how_far_reading_runs_ahead() -> None:
    """Position + window is the first offset that is not admitted."""
    tracker = tracking(5, window=10)

    assert tracker.admits(14)
    assert not tracker.admits(15)


def test_an_offset_read_twice_is_passed_over() -> None:
    """A seek back brings records again."""
    tracker = tracking(5, 6)

    assert not tracker.admit(5)
    assert 2 == tracker.unsettled


def test_settling_twice_is_a_bug_and_says_so() -> None:
    """An offset is counted under exactly one outcome."""
    tracker = tracking(5, 6, 7)
    tracker.settle(6, "delivered")

    for offset in (6, 4, 8):
        with pytest.raises(SettledTwice):
            tracker.settle(offset, "delivered")


def test_a_closed_tracker_hears_nothing() -> None:
    """A late result of a revoked partition changes nothing."""
    tracker = tracking(5, 6)
    tracker.close()

    tracker.settle(5, "delivered")

    assert 5 == tracker.position
    assert 0 == tracker.totals["delivered"]


def test_a_restart_passes_over_what_was_settled_above_the_position() -> None:
    """The bitmap at work."""
    before = tracking(5, 6, 7, 8)
    before.settle(6, "delivered")
    before.settle(8, "filtered")

    after = restore("events", 0, *before.commit())

    assert [True, False, True, False] == [after.admit(offset) for offset in (5, 6, 7, 8)]
    assert before.totals == after.totals
    assert before.origin == after.origin


def test_a_restored_bitmap_and_a_gap_count_each_offset_once() -> None:
    """Offsets that compaction took since the commit are absent, those settled before it are not counted again."""
    before = tracking(*range(5, 10))
    for offset in (7, 9):
        before.settle(offset, "delivered")
    after = restore("events", 0, *before.commit())

    after.admit(10)

    assert 10 == after.position
    assert {"delivered": 2, "absent": 3} == {word: n for word, n in after.totals.items() if n}
    assert balance(after)


def test_a_restored_bitmap_after_a_gap_is_not_read_again() -> None:
    """Compaction may take what the position waited for; what was settled above it stays settled."""
    before = tracking(5, 6, 7)
    before.settle(6, "delivered")
    after = restore("events", 0, *before.commit())

    assert not after.admit(6)

    assert 7 == after.position
    assert 0 == after.unsettled
    assert balance(after)


@pytest.mark.parametrize("metadata", ["", "hello", ":", "1:1,2,3,4,5,6:", None])
def test_metadata_that_is_not_ours_is_ignored(metadata: str | None) -> None:
    """It costs repeats, never a record."""
    assert ({}, set()) == decode(5, metadata)


@pytest.mark.parametrize("said", ["2:1,2,3:AA==", "2:1,2,3,4,5,x:AA==", "2:1,2,3,4,5,6:?", "2", "3:1,2,3,4,5,6:"])
def test_metadata_of_another_form_is_ignored(said: str) -> None:
    """However well it is checked."""
    assert ({}, set()) == decode(5, f"{said}:{check(5, said)}")


def test_metadata_for_another_position_is_ignored() -> None:
    """MirrorMaker translates a group's positions and copies the metadata: its bits would name records never settled."""
    position, metadata = tracking(5, 6, 7).commit()
    settled = written(position, dict.fromkeys(OUTCOMES, 1), {7})

    assert ({}, set()) == decode(position - 1, settled)
    assert ({}, set()) == decode(position - 1, metadata)


@pytest.mark.parametrize("place", range(20))
def test_metadata_that_has_changed_since_is_ignored(place: int) -> None:
    """One bit of it would be a record lost."""
    metadata = written(5, dict.fromkeys(OUTCOMES, 1), {7, 9})
    changed = metadata[:place] + chr(ord(metadata[place]) ^ 1) + metadata[place + 1 :]

    assert ({}, set()) == decode(5, changed)


def test_the_largest_window_fits_into_the_broker_s_limit() -> None:
    """A full window with counters of thirteen digits stays within 4,096 characters."""
    totals = dict.fromkeys(OffsetTracker("events", 0, 0).totals, 10**13)
    settled = set(range(1, MAX_WINDOW))

    text = written(0, totals, settled)

    assert METADATA_LIMIT >= len(text)
    assert (totals, settled) == decode(0, text)


def test_what_lies_far_below_the_position_is_forgotten() -> None:
    """Memory is what is above the position, also where something always is."""
    tracker = tracking(*range(40_000))
    tracker.settle(0, "delivered")

    for offset in range(2, 40_000, 2):
        tracker.settle(offset, "delivered")
        if offset > 2:
            tracker.settle(offset - 3, "delivered")

    assert (39_997, 1) == (tracker.position, tracker.settled_above)
    assert decode(*tracker.commit())[1] == {39_998}
    assert 8192 > len(tracker._flags)


def test_metadata_over_the_limit_is_refused_by_the_encoder() -> None:
    """Better a loud stop than a commit the broker refuses for ever."""
    totals = dict.fromkeys(OffsetTracker("events", 0, 0).totals, 10**40)

    with pytest.raises(ValueError, match="4096"):
        written(0, totals, {MAX_WINDOW})


def test_nothing_changed_after_a_commit_until_something_settles() -> None:
    """Only changed partitions are committed."""
    tracker = tracking(5, 6)
    tracker.committed(Mark.of(tracker))
    assert not tracker.changed

    tracker.settle(6, "delivered")

    assert tracker.changed


@pytest.mark.parametrize("seed", range(60))
def test_any_order_of_settling_keeps_the_balance_and_loses_nothing(seed: int) -> None:
    """Random logs with gaps, random completion, random restarts: every offset is counted exactly once."""
    random = Random(seed)
    log = [offset for offset in range(300) if random.random() > 0.1]
    tracker = OffsetTracker("events", 0, 0, window=64)
    seen: list[int] = []
    waiting: list[int] = []
    while len(seen) < len(log):
        ahead = [offset for offset in log if offset >= tracker.next_offset]
        if ahead and tracker.admits(ahead[0]) and random.random() < 0.6:
            if tracker.admit(ahead[0]):
                waiting.append(ahead[0])
        elif waiting:
            offset = waiting.pop(random.randrange(len(waiting)))
            tracker.settle(offset, random.choice(OUTCOMES[:1] + OUTCOMES[2:4]))
            seen.append(offset)
        if random.random() < 0.05:
            tracker = restore("events", 0, *tracker.commit(), window=64)
            waiting.clear()
        assert balance(tracker)
        assert tracker.position <= min(waiting, default=300)
    assert sorted(seen) == log
    assert 299 >= tracker.position >= log[-1] or tracker.position == log[-1] + 1
