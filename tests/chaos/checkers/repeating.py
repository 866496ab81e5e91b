"""What was taken more than once, out of turn, or from a member that was replaced: and whether a fault explains it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import inf
from typing import Literal

from tests.chaos.checkers.run import ON_THE_WIRE, WAKING, Event, Place, Run, Stop
from tests.chaos.ledger import Taken

LONGEST_CALL = 10.0  # seconds: `http.timeout`


@dataclass(frozen=True, slots=True)
class Repeat:
    """An event that was taken again, and what explains it."""

    first: Taken  # the one before
    again: Taken
    cause: Literal["stop", "vendor", "broker", "fenced", ""]
    stop: Stop | None = None  # of a member, where one is the cause


@dataclass(frozen=True, slots=True)
class Crash:
    """What was repeated because of one stop of a member, next to what could have been."""

    stop: Stop
    repeats: int
    bound: int  # events that were in flight, or were answered since the last commit


def repeats(run: Run) -> Iterator[str]:
    """No repeats but for a fault: few after a crash, none after a clean stop or a rebalance (design 1, README).

    Decided by the vendors' logs. An event may come again
    - where the call before was not answered, another call for its contact failed after it, or the vendor could not be
      reached just then, as an event may take several calls: the vendor's doing;
    - where its member was killed, frozen or ended badly with the call in flight, or before a commit could follow the
      answer: within `commit_every`, a second, and what a plain client had to wait for the broker at that time;
    - where the broker, or a full disk, kept commits from being made when one would have followed; or a machine on which
      the member took a second and more to say how it is: then it reads answers too late, too.
    A call that must not be repeated never comes twice, whatever happened.
    """
    for each in _repeats(run):
        first, again = each.first, each.again
        if not run.terms[first.destination].repeatable:
            yield f"{_named(again)} must not be repeated, and was after {again.at - first.at:.3f} s"
        elif not each.cause:
            where = "the same door" if first.door == again.door else "another member's door"
            yield f"{_named(again)} was taken again after {again.at - first.at:.3f} s, at {where}"


def repeated_after_commit(run: Run) -> Iterator[str]:
    """What a commit calls settled, below the position or above it, is not sent again (design 3, "Offsets").

    Decided by samples of the commits and the vendors' logs. Allows what `fenced` judges.
    """
    for each in _repeats(run):
        record = run.written.get(_event(each.again))
        if record is None or each.cause == "fenced":
            continue
        told_at = run.settled.get(Place(each.again.destination, record.topic, record.partition, record.offset))
        if told_at is not None and told_at < each.again.at:
            yield f"{_named(each.again)} was taken again {each.again.at - told_at:.3f} s after a commit settled it"


def fenced(run: Run) -> Iterator[str]:
    """A member that was replaced while it slept delivers nothing but what was on the wire (design 3, README).

    Decided by the doors: calls from the sleeper for events that another member delivered since it fell
    asleep, or delivered again after it. Allows as many calls as may be in flight at once, less those that the vendor
    had taken and not answered when the sleep began.
    """
    late: defaultdict[Stop, set[int]] = defaultdict(set)
    for each in _repeats(run):
        if each.cause == "fenced" and each.stop is not None:
            late[each.stop].add((each.again if each.again.door == each.stop.door else each.first).call)
    for stop, calls in late.items():
        most = max(0, run.terms[stop.destination].concurrency - stop.in_flight)
        if len(calls) > most:
            yield (
                f"{stop.destination}: {stop.member} had been replaced while it slept, and made {len(calls)} calls; "
                f"at most {most} can have been on the wire"
            )


def inversions(run: Run) -> Iterator[str]:
    """The first deliveries of a contact come in log order, and the last one is the newest (design 4, invariant 3).

    Decided by the vendors' logs, for ordered destinations. An event may come late that was a dead letter before: a
    crash may have lost the commit that said so. What `fenced` judges is not looked at. Of a person who was erased the
    newest may be missing: an old one came again, and the others were not to come any more.
    """
    stale = {id(each.again) for each in _repeats(run) if each.cause == "fenced"}
    newest: dict[tuple[str, str], Taken] = {}
    last: dict[tuple[str, str], Taken] = {}
    for taken in run.ledger.taken:
        whose = taken.destination, taken.contact
        if not run.terms[taken.destination].ordered or id(taken) in stale or _buried_before(run, taken):
            continue
        last[whose] = taken
        if taken.n > newest.setdefault(whose, taken).n:
            newest[whose] = taken
        elif taken.n < newest[whose].n and taken is run.taken[taken.destination][_event(taken)][0]:
            yield f"{_named(taken)} came {taken.at - newest[whose].at:.3f} s after event {newest[whose].n}"
    for whose, taken in last.items():
        if taken.contact in run.erasures:
            continue
        if taken.n < newest[whose].n and taken is not run.taken[taken.destination][_event(taken)][0]:
            yield f"{_named(taken)} was taken again at the end, after event {newest[whose].n}"


def worst_repeats(run: Run) -> list[Crash]:
    """What each stop of a member led to, the most repeats first."""
    repeated = {(each.stop, _event(each.again)) for each in _repeats(run) if each.cause == "stop"}
    counted = Counter(stop for stop, _ in repeated)  # of events: one may have come twice before the stop, too
    crashes = [Crash(stop, counted[stop], _unconfirmed(run, stop)) for stop in run.stops]
    return sorted(crashes, key=lambda crash: crash.repeats, reverse=True)


def _unconfirmed(run: Run, stop: Stop) -> int:
    """How many events were in flight at a stop, or answered before it and in no commit that was seen by then."""
    at_its_door = run.at_door[stop.destination, stop.door]
    return len({_event(each) for each in at_its_door if _interrupted(run, each, stop) and not _seen(run, each, stop)})


def _seen(run: Run, taken: Taken, stop: Stop) -> bool:
    """Whether a commit was seen to settle the event before the stop."""
    record = run.written.get(_event(taken))
    if record is None:
        return False
    place = Place(taken.destination, record.topic, record.partition, record.offset)
    return run.settled.get(place, inf) <= stop.at


@lru_cache(maxsize=1)
def _repeats(run: Run) -> list[Repeat]:
    """All that was taken more than once, each judged."""
    stops: defaultdict[tuple[str, str], list[Stop]] = defaultdict(list)
    for stop in run.stops:
        stops[stop.destination, stop.door].append(stop)
    return [
        _judged(run, first, again, stops)
        for taken in run.taken.values()
        for takings in taken.values()
        for first, again in pairwise(takings)
    ]


def _judged(run: Run, first: Taken, again: Taken, stops: Mapping[tuple[str, str], list[Stop]]) -> Repeat:
    """With the first cause that explains it."""
    session = run.terms[first.destination].session_timeout
    for stop in stops.get((first.destination, first.door), ()):
        if stop.at <= again.at and _interrupted(run, first, stop):
            return Repeat(first, again, "stop", stop)
    if first.answered is None or run.troubled(first, again.at) or run.unreachable(first):
        return Repeat(first, again, "vendor")
    if first.door != again.door:
        for door in (again.door, first.door):
            for stop in stops.get((first.destination, door), ()):
                if stop.how == "frozen" and _replaced(first, again, stop, session):
                    return Repeat(first, again, "fenced", stop)
    for fault in run.hindrances(first.destination, first.door):
        since = run.committed_since(first.destination, fault.at, first.door)
        if since <= first.answered and first.at <= fault.until + session + WAKING and fault.at <= again.at:
            return Repeat(first, again, "broker")
    return Repeat(first, again, "")


def _interrupted(run: Run, taken: Taken, stop: Stop) -> bool:
    """Whether a stop found the event in flight, or answered and perhaps not committed."""
    if taken.at > stop.at + ON_THE_WIRE:
        return False
    if taken.answered is None:
        return taken.at >= stop.at - LONGEST_CALL
    return taken.answered >= stop.committed_since or run.troubled(taken, stop.at)


def _replaced(first: Taken, again: Taken, sleep: Stop, session: float) -> bool:
    """Whether one of the two came from a sleeper after another member had its partition: no nap is that long."""
    if sleep.until - sleep.at < session / 2:
        return False
    end = sleep.until + WAKING
    if again.door == sleep.door:
        return sleep.at < first.at and again.at <= end
    return sleep.at + ON_THE_WIRE < first.at <= end


def _buried_before(run: Run, taken: Taken) -> bool:
    record = run.written.get(_event(taken))
    if record is None:
        return False
    letters = run.letters.get(Place(taken.destination, record.topic, record.partition, record.offset), ())
    return any(letter.at <= taken.at for letter in letters)


def _event(taken: Taken) -> Event:
    return taken.contact, taken.n


def _named(taken: Taken) -> str:
    return f"{taken.destination}: event {taken.n} of {taken.contact}"
