"""Whether what was counted of a partition's offsets adds up, and where it does not.

Evidence in, balance out: where the evidence comes from is the caller's. It rests on one number: the origin, where a
group's counters began. Each commit tells it, and nothing but a position that somebody else moved can change it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Literal, TypeAlias

from stream.core.offsets import MAX_WINDOW, decode
from stream.core.outcomes import Counted

Cause: TypeAlias = Literal["moved", "gone", "lost", "letters", "counters", "anew"]
"""Somebody moved the position; there is none any more; retention was faster; dead letters are missing; there are more
outcomes than offsets; the log is shorter than what was settled of it."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a commit said of a partition. *at* is seconds since the epoch, None where nobody knows."""

    position: int
    totals: Mapping[Counted, int]  # cumulative since the origin
    settled_above: int = 0  # offsets above the position that the totals count as well
    at: float | None = None

    @property
    def settled(self) -> int:
        """How many offsets are settled since the origin."""
        return sum(self.totals.values())

    @property
    def origin(self) -> int:
        """The offset at which the counters began."""
        return self.position + self.settled_above - self.settled

    def counted(self, outcome: Counted) -> int:
        """How many offsets ended so."""
        return self.totals.get(outcome, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of one partition and one group, asked in this order: log's begin, receipts, commit, rest."""

    begin: int  # the first offset that the log still holds
    end: int  # the offset after its last
    from_begin: bool  # whether a group without a position starts at the log's beginning, not at its end
    receipts: Sequence[Point] = ()  # as they were written
    committed: tuple[int, str] | None = None  # position and metadata
    letters: Iterable[int] = ()  # offsets of dead letters


@dataclass(frozen=True, slots=True)
class Uneven:
    """Offsets from *first* to before *end* (none where they are equal) of which the accounts do not add up."""

    cause: Cause
    first: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of the offsets of one partition from one moment to another."""

    first: Point
    until: float | None  # seconds since the epoch; None: now
    end: int  # the range ends before this offset
    offsets: int  # that were not settled at the first moment
    totals: Mapping[Counted, int]  # counted between the two
    pending: int | None  # None where the range ends in the past: what was in the log then is not known
    uneven: tuple[Uneven, ...]  # by their first offset

    @property
    def even(self) -> bool:
        """Whether each offset is accounted for."""
        return not self.uneven


def balance(evidence: Evidence, *, since: float | None = None, until: float | None = None) -> Balance:
    """The balance of what happened between two moments (seconds since the epoch), or a little longer.

    It begins with the last receipt before *since*, or where the counters begin; it ends with the first receipt after
    *until*, or now.
    """
    now = _now(evidence)
    history = in_order([*evidence.receipts, *([] if now is None else [now])])
    path = _path(history, since, until) or [_beginning(evidence.begin if evidence.from_begin else evidence.end)]
    last = path[-1]
    live = now is last or (now is None and (not history or (last is history[-1] and _before(last, until))))
    uneven = [*_uneven(path, evidence, now), *(_end(evidence, now, history) if live else ())]
    totals = Counter[Counted]()
    for earlier, later in pairwise(path):
        totals.update(later.totals)
        totals.subtract(_base(earlier, later).totals)
    unsettled_from = path[0].position + path[0].settled_above
    return Balance(
        first=path[0],
        until=None if live else last.at,
        end=evidence.end if live else last.position,
        offsets=(evidence.end if live else last.position + last.settled_above) - unsettled_from,
        totals=totals,
        pending=_pending(evidence, last) if live else None,
        uneven=tuple(sorted(uneven, key=lambda each: each.first)),
    )


def in_order(points: Iterable[Point]) -> list[Point]:
    """The points without those that say again, or late, what was known: a receipt may be repeated or overtaken."""
    kept: list[Point] = []
    for point in points:
        if kept and (point.position, point.settled) <= (kept[-1].position, kept[-1].settled) and _is_older(point, kept):
            continue
        kept.append(point)
    return kept


def _is_older(point: Point, kept: Sequence[Point]) -> bool:
    return (point.at or 0) <= (kept[-1].at or 0)


def _now(evidence: Evidence) -> Point | None:
    """What the commit says; None where there is none of ours."""
    position, metadata = evidence.committed or (0, "")
    totals, done = decode(position, metadata)
    return Point(position, totals, len(done), inf) if totals else None


def _beginning(origin: int) -> Point:
    return Point(origin, {})


def _before(point: Point, until: float | None) -> bool:
    return until is None or point.at is None or point.at < until


def _path(history: Sequence[Point], since: float | None, until: float | None) -> list[Point]:
    """The points from the one before *since* to the one after *until*, or as far as there are any."""
    if not history:
        return []
    first = next((n for n, point in enumerate(history) if since is None or (point.at or 0) > since), len(history))
    path = [*history[first - 1 :]] if first else [_beginning(history[0].origin), *history]
    last = next((n for n, point in enumerate(path) if not _before(point, until)), len(path) - 1)
    return path[: last + 1]


def _uneven(path: Sequence[Point], evidence: Evidence, now: Point | None) -> list[Uneven]:
    """What is not as it should be from one point to the next."""
    letters = sorted(set(evidence.letters))
    settled = _settled(letters, evidence)
    whole = path[0].at is None
    found = [*_start(path[0], evidence)] if whole else []
    for earlier, later in pairwise(path):
        found += _step(earlier, later, settled if later is now else letters)
    if whole and path[-1] is now and all(each.cause == "lost" for each in found):
        found += _letters(path[0], now, settled)  # exact, where a step allows for what is above its position
    return found


def _start(beginning: Point, evidence: Evidence) -> Iterator[Uneven]:
    """Whether the counters begin where the log did."""
    origin = beginning.position
    if origin < 0:
        yield Uneven("counters", 0, 0, f"the counters hold {-origin:,} more offsets than there are below the position")
    elif origin > evidence.begin and evidence.from_begin:
        text = f"the counters begin at {origin}, and the log holds earlier offsets that none of them counts"
        yield Uneven("moved", evidence.begin, origin, text)


def _step(earlier: Point, later: Point, letters: Sequence[int]) -> Iterator[Uneven]:
    """What is not as it should be between two points that follow each other."""
    base = _base(earlier, later)
    if base is not earlier:
        yield _jump(earlier.position, base.position, "its counters began anew")
    elif earlier.origin != later.origin:
        first, end = sorted((earlier.position, later.position))
        counted = later.settled - earlier.settled
        text = f"the position went from {earlier.position} to {later.position}, and the counters by {counted:,} offsets"
        yield Uneven("moved", first, end, text)
    elif later.position < earlier.position or _fell(earlier, later):
        yield _jump(earlier.position, min(earlier.position, later.position), "counters went down")
    if (lost := later.counted("lost_to_retention") - base.counted("lost_to_retention")) > 0:
        text = f"{lost:,} offsets were gone from the log before they were delivered, and were given up"
        yield Uneven("lost", base.position, later.position, text)
    yield from _letters(base, later, letters)


def _jump(earlier: int, later: int, sign: str) -> Uneven:
    if later > earlier:
        text = f"the position jumped from {earlier} to {later} ({sign}): nothing counts the offsets between"
    elif later < earlier:
        text = f"the position went back from {earlier} to {later} ({sign}): the offsets between are worked on again"
    else:
        text = f"the position was set at {later} ({sign})"
    return Uneven("moved", min(earlier, later), max(earlier, later), text)


def _base(earlier: Point, later: Point) -> Point:
    """The point from which the later one's counters went on: the earlier, or a beginning where they began anew."""
    anew = earlier.origin != later.origin and (not earlier.settled or _fell(earlier, later))
    return _beginning(later.origin) if anew else earlier


def _fell(earlier: Point, later: Point) -> bool:
    return any(later.counted(outcome) < count for outcome, count in earlier.totals.items())


def _letters(earlier: Point, later: Point, letters: Sequence[int]) -> Iterator[Uneven]:
    """Whether each record that was buried between two points has its letter. More letters than that are no harm."""
    buried = later.counted("dead_lettered") - earlier.counted("dead_lettered")
    beyond = later.position + MAX_WINDOW * (later.settled_above > 0)
    found = bisect_left(letters, beyond) - bisect_left(letters, earlier.position)
    if found < buried:
        text = f"{buried:,} records were buried, and {found:,} dead letters are there"
        yield Uneven("letters", earlier.position, later.position, text)


def _settled(letters: Iterable[int], evidence: Evidence) -> list[int]:
    """Of these offsets, those that the commit knows as settled: a crash leaves letters that no commit counts."""
    position, metadata = evidence.committed or (0, "")
    done = decode(position, metadata)[1]
    return [offset for offset in letters if offset < position or offset in done]


def _end(evidence: Evidence, now: Point | None, history: Sequence[Point]) -> Iterator[Uneven]:
    """Whether the group can go on from what it committed."""
    known = history[-1].position if history else evidence.begin
    if evidence.committed is None:
        if history:
            again = evidence.begin if evidence.from_begin else evidence.end
            text = f"the position was {known} and is gone: whoever starts now goes on at {again}"
            yield Uneven("gone", min(known, again), max(known, again), text)
        return
    position, metadata = evidence.committed
    if now is None:
        yield _jump(known, position, "its commit has no counters of ours")
    done = decode(position, metadata)[1]
    if max(done, default=position - 1) >= evidence.end:
        text = f"offsets up to {max(done, default=position - 1)} are settled, and the log ends at {evidence.end}"
        yield Uneven("anew", evidence.end, max(done, default=position - 1) + 1, text)
    elif position < evidence.begin:
        text = f"the position is {position}, and the log begins at {evidence.begin}: what is between was not delivered"
        yield Uneven("lost", position, evidence.begin, text)


def _pending(evidence: Evidence, last: Point) -> int:
    """Offsets in the log that are not settled."""
    position, metadata = evidence.committed or (last.position, "")
    done = decode(position, metadata)[1]
    begin = max(position, evidence.begin)
    return max(0, evidence.end - begin - sum(offset >= begin for offset in done))
