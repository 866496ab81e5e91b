"""The balance of a partition: even whatever happens to those who deliver, uneven whatever others do to the evidence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from stream.core.balance import Balance, Evidence, Point, balance
from stream.core.offsets import OUTCOMES, OffsetTracker, decode, encode, restore
from stream.core.outcomes import Counted
from stream.core.ranges import RangeTracker

NOTHING: dict[Counted, int] = dict.fromkeys(OUTCOMES, 0)


def totals(**counts: int) -> dict[Counted, int]:
    return {outcome: counts.get(outcome, 0) for outcome in OUTCOMES}


def receipt(position: int, at: float = 0.0, above: int = 0, **counts: int) -> Point:
    """What was committed at *at*; delivered from offset 0 on where nothing else is said."""
    return Point(position, totals(**counts or {"delivered": position + above}), above, at)


def commit(position: int, done: Iterable[int] = (), **counts: int) -> tuple[int, str]:
    """Position and metadata of a group."""
    return OffsetTracker("events", 0, position, totals=totals(**counts or {"delivered": position}), done=done).commit()


def evidence(committed: tuple[int, str] | None, *receipts: Point, begin: int = 0, end: int = 100) -> Evidence:
    return Evidence(begin=begin, end=end, from_begin=True, receipts=receipts, committed=committed)


def causes(found: Balance) -> list[tuple[str, int, int]]:
    return [(each.cause, each.first, each.end) for each in found.uneven]


# Even


def test_offsets_are_outcomes_and_pending() -> None:
    """The equation that the command is about."""
    found = balance(replace(evidence(commit(60, {70}, delivered=50, dead_lettered=11)), letters=range(49, 60)))

    assert found.even
    assert (100, 39) == (found.offsets, found.pending)
    assert totals(delivered=50, dead_lettered=11) == found.totals


def test_a_group_that_never_ran_has_everything_before_it() -> None:
    """No commit and no receipt: all is pending, or nothing where it will start at the end."""
    fresh = evidence(None, begin=5)

    assert (True, 95, 95) == (balance(fresh).even, balance(fresh).offsets, balance(fresh).pending)
    late = balance(replace(fresh, from_begin=False))
    assert (True, 0, 0) == (late.even, late.offsets, late.pending)


def test_a_range_is_what_lies_between_two_receipts() -> None:
    """The last one before its first moment, the first one after its second."""
    known = evidence(commit(100), receipt(10, 1.0), receipt(30, 2.0, above=4), receipt(50, 3.0), receipt(80, 4.0))

    found = balance(known, since=2.5, until=2.7)

    assert (True, 30, 50, 2.0, 3.0) == (found.even, found.first.position, found.end, found.first.at, found.until)
    assert (16, None) == (found.offsets, found.pending)
    assert 16 == found.totals["delivered"]


def test_a_range_reaches_as_far_as_there_are_receipts() -> None:
    """Before the first it begins with the counters, after the last it ends with the commit."""
    known = evidence(commit(90), receipt(10, 1.0), receipt(30, 2.0))

    early, late = balance(known, since=0.1, until=0.5), balance(known, since=9.0)

    assert (0, 10, None) == (early.first.position, early.end, early.first.at)
    assert (30, 100, 10) == (late.first.position, late.end, late.pending)


def test_letters_of_what_is_not_committed_are_no_harm() -> None:
    """A crash between the letter's acknowledgement and the commit leaves one too many."""
    known = evidence(commit(60, delivered=59, dead_lettered=1))

    assert balance(replace(known, letters=[3, 40, 60, 61])).even


@dataclass
class World:
    """A partition whose log grows, whose members come and go, and whose receipts are lost, repeated and overtaken."""

    random: Random
    kind: type[OffsetTracker]
    end: int = 0
    clock: float = 0.0
    records: list[int] = field(default_factory=list)
    letters: list[int] = field(default_factory=list)
    receipts: list[Point] = field(default_factory=list)
    committed: tuple[int, str] | None = None

    def live(self, tracker: OffsetTracker, turns: int) -> OffsetTracker:
        """So many turns of reading, settling, committing, crashing."""
        waiting = []
        for _ in range(turns):
            self.clock += 1
            self.grow()
            ahead = next((offset for offset in self.records if offset >= tracker.next_offset), None)
            if ahead is not None and tracker.admits(ahead) and tracker.admit(ahead):
                waiting.append(ahead)
            if waiting and self.random.random() < 0.6:
                self._settle(tracker, waiting)
            if self.random.random() < 0.3:
                self._commit(tracker)
            if self.random.random() < 0.05 and self.committed is not None:
                tracker, waiting = restore("events", 0, *self.committed, window=32, kind=self.kind), []
        self._commit(tracker)
        return tracker

    def grow(self, records: int = 1) -> None:
        """Write to the log. Markers and what compaction took leave gaps."""
        for _ in range(records):
            self.end += self.random.choice((1, 1, 1, 3))
            self.records.append(self.end - 1)

    def certified(self) -> tuple[int, str]:
        """What is committed, with a receipt for it."""
        assert self.committed is not None
        position, metadata = self.committed
        counts, done = decode(position, metadata)
        self.receipts.append(Point(position, counts, len(done), self.clock))
        return position, metadata

    def _settle(self, tracker: OffsetTracker, waiting: list[int]) -> None:
        outcome = self.random.choice(OUTCOMES[:4])
        if isinstance(tracker, RangeTracker):
            if outcome == "dead_lettered":
                self.letters += waiting
            tracker.settle_all({outcome: len(waiting)})
            waiting.clear()
            return
        offset = waiting.pop(self.random.randrange(len(waiting)))
        if outcome == "dead_lettered":
            self.letters.append(offset)
        tracker.settle(offset, outcome)

    def _commit(self, tracker: OffsetTracker) -> None:
        self.committed = tracker.commit()
        written = Point(tracker.position, dict(tracker.totals), tracker.settled_above, self.clock)
        for _ in range(self.random.choice((0, 1, 1, 2))):
            late = self.random.choice((0, 0, 0, 3))
            self.receipts.insert(max(0, len(self.receipts) - late), written)

    @property
    def evidence(self) -> Evidence:
        return Evidence(
            begin=0,
            end=self.end,
            from_begin=True,
            receipts=self.receipts,
            committed=self.committed,
            letters=self.letters,
        )


def lived(seed: int, kind: type[OffsetTracker] = OffsetTracker) -> World:
    world = World(Random(seed), kind)
    world.live(kind("events", 0, 0, window=32), turns=200)
    return world


@pytest.mark.parametrize("kind", [OffsetTracker, RangeTracker])
@pytest.mark.parametrize("seed", range(100))
def test_crashes_and_lost_receipts_leave_it_even(seed: int, kind: type[OffsetTracker]) -> None:
    """For the whole, and for any part: as many offsets as outcomes and pending."""
    world = lived(seed, kind)
    for since, until in [(None, None), *(sorted(world.random.choices(range(220), k=2)) for _ in range(20))]:
        found = balance(world.evidence, since=since, until=until)

        assert () == found.uneven
        assert found.offsets == sum(found.totals.values()) + (found.pending or 0)
    assert sum(balance(world.evidence).totals.values()) > 50


@pytest.mark.parametrize("seed", range(100))
def test_a_moved_position_is_found_wherever_it_happened(seed: int) -> None:
    """Forwards or back, without metadata or with that of another commit; at once, and when all went on well."""
    world, random = lived(seed), Random(seed)
    world.grow(40)
    position, metadata = world.certified()
    counts, done = decode(position, metadata)
    forged = position + len(done)  # with the same counters this one says nothing else than the commit did
    moved = random.choice([offset for offset in range(1, world.end) if offset not in (position, forged)])
    kept = encode(moved, counts, b"")
    world.committed = moved, random.choice(["", kept])

    at_once = balance(world.evidence)
    tracker = restore("events", 0, *world.committed, window=32)
    world.committed = tracker.commit()
    world.live(tracker, turns=100)
    later = balance(world.evidence)

    assert {"moved"} == {each.cause for each in at_once.uneven}
    assert "moved" in {each.cause for each in later.uneven}


@pytest.mark.parametrize("seed", range(100))
def test_a_missing_letter_is_found(seed: int) -> None:
    """Any one of those that the commit knows as settled."""
    world = lived(seed)
    position, metadata = world.certified()
    counts, done = decode(position, metadata)
    known = sorted({offset for offset in world.letters if offset < position or offset in done})
    world.random.shuffle(known)  # crashes leave more of them than are counted

    found = balance(replace(world.evidence, letters=known[: counts["dead_lettered"] - 1]))

    assert {"letters"} == {each.cause for each in found.uneven}


# Uneven


def test_a_letter_that_no_commit_knows_stands_in_for_none() -> None:
    """One record is buried and its letter is missing; another's letter was acknowledged just before a crash."""
    known = replace(evidence(commit(60, {70}, delivered=60, dead_lettered=1)), letters=[65])

    assert [("letters", 0, 60)] == causes(balance(known))
    assert balance(replace(known, letters=[70])).even


@pytest.mark.parametrize(
    "known, uneven",
    [
        pytest.param(evidence((70, ""), receipt(50, 1.0)), ("moved", 50, 70), id="forward, metadata lost"),
        pytest.param(evidence((20, ""), receipt(50, 1.0)), ("moved", 20, 50), id="back, metadata lost"),
        pytest.param(evidence((50, "mine"), receipt(50, 1.0)), ("moved", 50, 50), id="the same, metadata foreign"),
        pytest.param(evidence((70, "")), ("moved", 0, 70), id="no receipts, metadata lost"),
        pytest.param(
            evidence(commit(90, delivered=20), receipt(50, 1.0)), ("moved", 50, 70), id="forward, and went on"
        ),
        pytest.param(evidence(commit(60, delivered=40), receipt(50, 1.0)), ("moved", 20, 50), id="back, and went on"),
        pytest.param(evidence(commit(90, delivered=20)), ("moved", 0, 70), id="no receipts, forward, and went on"),
        pytest.param(
            evidence(commit(90, delivered=70), receipt(50, 1.0)), ("moved", 50, 90), id="forward, metadata kept"
        ),
        pytest.param(evidence(commit(30, delivered=50)), ("counters", 0, 0), id="no receipts, back, metadata kept"),
        pytest.param(
            evidence(commit(60), receipt(50, 1.0), receipt(10, 2.0)), ("moved", 10, 50), id="back to the beginning"
        ),
        pytest.param(
            evidence(commit(60, delivered=30, filtered=30), receipt(50, 1.0)),
            ("moved", 50, 50),
            id="back to the beginning, and past where it was",
        ),
        pytest.param(evidence(None, receipt(50, 1.0)), ("gone", 0, 50), id="no position any more"),
        pytest.param(evidence(commit(30), begin=40), ("lost", 30, 40), id="retention was faster"),
        pytest.param(
            evidence(commit(60, delivered=50, lost_to_retention=10), receipt(30, 1.0), begin=40),
            ("lost", 30, 60),
            id="retention was faster, and that was accepted",
        ),
        pytest.param(
            evidence(commit(60, delivered=57, dead_lettered=3), receipt(30, 1.0)), ("letters", 30, 60), id="letters"
        ),
        pytest.param(evidence(commit(60), end=40), ("anew", 40, 60), id="the log is shorter than the position"),
        pytest.param(
            evidence(commit(30, {50}, delivered=31), end=40), ("anew", 40, 51), id="the log is shorter than the bitmap"
        ),
    ],
)
def test_what_is_uneven_is_named(known: Evidence, uneven: tuple[str, int, int]) -> None:
    """Its cause, and the range of offsets; the end is not in it."""
    assert [uneven] == causes(balance(known))


def test_a_loss_counts_only_in_the_range_it_happened_in() -> None:
    """What came after it can be even."""
    after = totals(delivered=50, lost_to_retention=10)
    known = evidence(
        commit(80, delivered=70, lost_to_retention=10), receipt(30, 1.0), Point(60, after, 0, 2.0), begin=40
    )

    assert [("lost", 30, 60)] == causes(balance(known))
    assert [] == causes(balance(known, since=2.0))
    assert [] == causes(balance(known, until=1.0))


def test_the_first_range_without_its_letters_is_named() -> None:
    """Receipts say between which two of them the records were buried."""
    known = evidence(
        commit(90, delivered=85, dead_lettered=5),
        receipt(30, 1.0, delivered=28, dead_lettered=2),
        receipt(60, 2.0, delivered=55, dead_lettered=5),
    )

    found = balance(replace(known, letters=[1, 2, 40, 41]))

    assert [("letters", 30, 60)] == causes(found)
    assert "3 records were buried, and 2 dead letters are there" == found.uneven[0].text


def test_a_receipt_that_comes_late_is_no_move() -> None:
    """A member that was stopped between commit and receipt writes it when another has gone on."""
    receipts: Sequence[Point] = (receipt(50, 2.0), receipt(40, 1.0), receipt(50, 2.0), receipt(60, 3.0))

    assert [] == causes(balance(evidence(commit(70), *receipts)))
