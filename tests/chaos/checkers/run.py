"""A ledger arranged for the checkers' questions: who took what when, whose fault may have been the cause."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Literal, NamedTuple, TypeAlias

from tests.chaos.ledger import Committed, Erasure, Fault, Ledger, Letter, Life, Taken, Written
from tests.e2e.members import offsets

ROUND_TRIP = 1.0  # seconds that a commit may take on a busy machine, where a plain client's question takes no longer
ON_THE_WIRE = 1.0  # seconds in which what a process had written when it was stopped reaches a vendor's log
NEXT_CALL = 1.0  # seconds after an answer in which an event's next call begins
WAKING = 3.0  # seconds in which a thawed member finds out that it was replaced, and is a member again

HINDERING = ("broker", "disk", "machine")
"""How kinds of faults begin that keep commits from being made."""

UNREACHABLE = ("down", "certificate")
"""Kinds of faults in which a vendor sees nothing of the calls that are made to it."""

Event: TypeAlias = tuple[str, int]
"""Contact and number."""


class Place(NamedTuple):
    """A destination's offset."""

    destination: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Stop:
    """A member's destination that was killed, ended badly, or frozen: it knew no more than it had committed."""

    member: str
    destination: str
    door: str
    how: Literal["killed", "frozen", "ended"]
    at: float
    until: float  # when it was thawed; for ever where it is gone
    in_flight: int  # calls that the vendor had taken and not answered
    committed_since: float  # what was answered before this time must have been committed


class Run:
    """One run as its ledger tells it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.terms = ledger.terms
        self.taken: dict[str, dict[Event, list[Taken]]] = {name: {} for name in ledger.terms}
        self.at_door: defaultdict[tuple[str, str], list[Taken]] = defaultdict(list)
        for taken in ledger.taken:
            self.taken[taken.destination].setdefault((taken.contact, taken.n), []).append(taken)
            self.at_door[taken.destination, taken.door].append(taken)
        self.written: dict[Event, Written] = {(each.contact, each.n): each for each in ledger.written}
        self.log = {(each.topic, each.partition, each.offset): each for each in ledger.written}
        self.letters: defaultdict[Place, list[Letter]] = defaultdict(list)
        for letter in ledger.letters:
            self.letters[Place(letter.destination, letter.topic, letter.partition, letter.offset)].append(letter)
        self.by_partition: defaultdict[tuple[str, int], list[Written]] = defaultdict(list)
        for record in ledger.written:
            self.by_partition[record.topic, record.partition].append(record)
        self.erasures: dict[str, Erasure] = {each.contact: each for each in ledger.erasures}
        self._hindrances = [fault for fault in ledger.faults if fault.kind.startswith(HINDERING)]
        self._starved: defaultdict[str, list[Fault]] = defaultdict(list)
        for fault in ledger.faults:
            if fault.kind == "starved":
                self._starved[fault.detail].append(fault)
        self._members = {(name, door): life.member for life in ledger.lives for name, door in life.doors.items()}

    def hindrances(self, destination: str = "", door: str = "") -> list[Fault]:
        """What kept commits from being made: those of everybody, and those of the member at this door."""
        member = self._members.get((destination, door))
        return self._hindrances + (self._starved[member] if member else [])

    def wanted(self) -> Iterator[tuple[Place, Written]]:
        """Each record with each destination that must deliver or bury it."""
        for record in self.ledger.written:
            for destination in record.takers:
                yield Place(destination, record.topic, record.partition, record.offset), record

    def takings(self, destination: str, record: Written) -> list[Taken]:
        """How often the vendor took it, in order."""
        return self.taken[destination].get((record.contact, record.n), [])

    def may_be_erased(self, record: Written) -> bool:
        """Whether the record may be filtered because its person was erased."""
        erasure = self.erasures.get(record.contact)
        if erasure is None:
            return False
        return erasure.lifted_at is None or record.at <= erasure.lifted_at

    def troubled(self, taken: Taken, until: float) -> bool:
        """Whether a call for the contact failed after this one and before *until*: the event may take several."""
        times = self._troubles.get((taken.destination, taken.contact), [])
        after = bisect_right(times, taken.at)
        return after < len(times) and times[after] <= until

    def unreachable(self, taken: Taken) -> bool:
        """Whether the vendor could not be reached just after it had answered: an event's next call never arrived."""
        answered = inf if taken.answered is None else taken.answered
        return any(
            fault.at - NEXT_CALL <= answered <= fault.until
            for fault in self.ledger.faults
            if fault.kind in UNREACHABLE and fault.destination == taken.destination
        )

    @cached_property
    def _troubles(self) -> dict[tuple[str, str], list[float]]:
        found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for asked in self.ledger.asked:
            if asked.status is None or asked.status >= 400:
                for contact in asked.contacts:
                    found[asked.destination, contact].append(asked.at)
        return found

    @cached_property
    def settled(self) -> dict[Place, float]:
        """When a sample first said that an offset is settled: it was so at this time at the latest."""
        found: dict[Place, float] = {}
        reached: dict[tuple[str, str, int], int] = {}
        above: defaultdict[tuple[str, str, int], int] = defaultdict(int)  # bit i is offset i
        for each in self.ledger.commits:
            where = each.destination, each.topic, each.partition
            below = range(reached.get(where, 0), each.position)
            bits = each.above << each.position + 1
            for offset in (*below, *offsets(0, bits & ~above[where])):
                found.setdefault(Place(*where, offset), each.told_at)
            above[where] |= bits
            reached[where] = max(reached.get(where, 0), each.position)
        return found

    @cached_property
    def final(self) -> dict[tuple[str, str, int], Committed]:
        """The last sample of each partition."""
        return {(each.destination, each.topic, each.partition): each for each in self.ledger.commits}

    @cached_property
    def stops(self) -> list[Stop]:
        """In their order."""
        found = []
        for number, life in enumerate(self.ledger.lives):
            if life.fate not in ("killed", "frozen", "ended") or (life.fate == "ended" and self._ended_well(life)):
                continue
            how: Literal["killed", "frozen", "ended"] = life.fate
            until = inf
            if how == "frozen":
                until = next((each.at for each in self.ledger.lives[number:] if _ends_sleep(each, life.member)), inf)
            for destination, door in life.doors.items():
                in_flight = {each.call for each in self.at_door[destination, door] if _in_flight(each, life.at)}
                since = self.committed_since(destination, life.at, door)
                found.append(Stop(life.member, destination, door, how, life.at, until, len(in_flight), since))
        return found

    def _ended_well(self, ended: Life) -> bool:
        """Whether it left by itself, or was killed: that is told before."""
        if ended.detail.split()[-1:] in ([], ["0"]):
            return True
        return any(each.fate == "killed" and each.member == ended.member for each in self.ledger.lives)

    def committed_since(self, destination: str, at: float, door: str) -> float:
        """What was answered before this time was committed by *at*: a turn of the commits, and a round trip.

        Where a fault kept commits from being made, it is as much before the fault.
        """
        lag = self.terms[destination].commit_every + ROUND_TRIP + self._slowness(at)
        since = at - lag
        for fault in sorted(self.hindrances(destination, door), key=lambda fault: fault.at, reverse=True):
            if fault.at <= at and fault.until >= since:
                since = min(since, fault.at - lag)
        return since

    def _slowness(self, at: float) -> float:
        """How long a plain client waited for the broker about that time."""
        first = bisect_left(self._sampled_at, at - 5)
        last = bisect_left(self._sampled_at, at + 1)
        return max((each.told_at - each.asked_at for each in self._samples[first:last]), default=0.0)

    @cached_property
    def _samples(self) -> list[Committed]:
        return sorted(self.ledger.commits, key=lambda each: each.told_at)

    @cached_property
    def _sampled_at(self) -> list[float]:
        return [each.told_at for each in self._samples]


def _in_flight(taken: Taken, at: float) -> bool:
    return taken.at <= at and (taken.at >= at - ON_THE_WIRE if taken.answered is None else taken.answered > at)


def _ends_sleep(life: Life, member: str) -> bool:
    return life.member == member and life.fate in ("thawed", "killed", "ended")
