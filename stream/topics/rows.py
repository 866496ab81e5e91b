"""Contacts' rows for a destination that takes files: what it was told last, and what has changed since.

What it was told outlives this member (`state`). What has changed is of unsettled records, which will be read again: it
ends with the process (`waiting`).
"""

import asyncio
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Protocol

import orjson
import structlog

from schemas.erasures import Erasure
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Counted
from stream.core.ranges import RangeTracker
from stream.core.records import Message
from stream.kafka.source import Partition
from stream.topics.erasures import Erasures, covers
from stream.topics.waiting import Said, Waiting, WaitingRows, merged

ROW, MAPPING = b"row:", b"mapping:"  # what keys of the state begin with
AT_ONCE = 1000  # rows between two turns of the event loop

log = structlog.get_logger()
Judge = Callable[[Waiting, OffsetTracker], str | None]
"""Why a contact's row must not go out, as a reason word; what it is told is the newest that was said."""


class Keeps(Protocol):
    """The state, as rows need it: see `stream.topics.state.State`."""

    def get(self, place: Partition, key: bytes) -> bytes | None: ...
    def put(self, place: Partition, key: bytes, value: bytes | None, offset: int, *, tag: bytes | None) -> bool: ...
    def drop(self, place: Partition, key: bytes) -> None: ...
    def items(self, place: Partition, prefix: bytes) -> Iterator[tuple[bytes, bytes]]: ...
    def tagged(self, tag: bytes) -> list[tuple[Partition, bytes]]: ...
    async def flush(self) -> None: ...


@dataclass(slots=True)
class Comparison:
    """What a run would do with the rows that wait. *counts* are of the records behind them."""

    changed: int = 0  # rows to send
    coalesced: int = 0  # records that travel in a row with a newer one
    counts: defaultdict[OffsetTracker, Counter[Counted]] = field(default_factory=lambda: defaultdict(Counter))
    filtered: Counter[str] = field(default_factory=Counter)  # the filtered ones among them, by reason
    stamps: "array[float]" = field(default_factory=lambda: array("d"))  # of the newest record behind each row, ms


class Rows:
    """The rows of the assigned partitions; `add` and a run take turns."""

    crowded = False

    def __init__(
        self, state: Keeps, *, columns: Sequence[str], fingerprint: str, erasures: Erasures | None = None
    ) -> None:
        self.contacts = 0  # with unsettled events; one that is in several partitions counts in each
        self.again = 0  # to be sent because the mapping has changed
        self.erased = 0  # records whose contact was erased while they waited
        self._state = state
        self._columns = tuple(columns)
        self._mapping = MAPPING + fingerprint.encode()
        self._erasures = erasures
        self._frozen = False
        self._unheard: list[tuple[str, Erasure]] = []
        self._trackers: list[RangeTracker] = []
        self._numbers: dict[OffsetTracker, int] = {}
        self._waiting = WaitingRows()
        if erasures is not None:
            erasures.subscribe(self.erase)

    def __repr__(self) -> str:
        return f"<{self.contacts} rows waiting, {self.again} again>"

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        """Start over with these partitions, whose state is there."""
        await self.revoked()
        self._trackers = [tracker for tracker in trackers if isinstance(tracker, RangeTracker)]
        self._numbers = {tracker: number for number, tracker in enumerate(trackers)}
        for person, erasure in list(self._erasures.known.items()) if self._erasures else ():
            self.erase(person, erasure)
        for tracker in trackers:
            if self._state.get(_place(tracker), self._mapping) is None:
                await self._send_again(tracker)
        if self.again:
            log.warning("mapping_changed", rows_to_send_again=self.again)

    async def flush(self) -> None:
        """Nothing: what a run has told is remembered by `keep`, before its offsets are settled."""

    async def revoked(self) -> None:
        """Forget what waits: whoever owns the partitions reads it again."""
        self._forget()
        self._trackers, self._numbers = [], {}

    def add(self, message: Message) -> None:
        """A contact's newest values. What an event from before the newest says only fills gaps."""
        number = self._numbers[message.tracker]
        stamp, person = message.record.timestamp, self._person(message.key)
        row = Waiting(message.key, number, message.event_time, stamp, 1, False, person, message.body)
        if (before := self._waiting.get(message.key, number)) is not None:
            row = before.joined(row)
        self.contacts += row.events == 1
        self._waiting.put(row)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A run looks at the rows: what would change them waits, and the caller adds none."""
        self._frozen = True
        try:
            yield
        finally:
            self._frozen = False
            while self._unheard:
                self.erase(*self._unheard.pop(0))

    def erase(self, person: str, erasure: Erasure) -> None:
        """Forget what is known of the person, and what waits, as far as the erasure covers it."""
        if self._frozen:
            self._unheard.append((person, erasure))
            return
        for place, key in self._state.tagged(_tag(person)):
            found = self._state.get(place, key)
            if found is not None and covers(erasure, orjson.loads(found)[0]):
                self._state.drop(place, key)
        for row in self._waiting.of_person(person):
            if covers(erasure, row.happened_at):
                self._waiting.remove(row)
                self.contacts -= row.events > 0
                self.again -= row.again
                self._trackers[row.place].know(row.events, "filtered")
                self.erased += row.events

    async def compare(self, judge: Judge | None = None, proceed: Callable[[], None] = lambda: None) -> Comparison:
        """Find the rows to send: those that differ from what the destination was told last.

        *proceed* is called now and then, and raises where the partitions are no longer ours.
        """
        self._waiting.begin()
        comparison = Comparison()
        for number, rows in enumerate(self._waiting.by_contact(), 1):
            self._compare(rows, judge, comparison)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
                proceed()
        return comparison

    def outgoing(self) -> Iterator[Sequence[str]]:
        """The rows to send, by contact, each with its values in the order of the columns."""
        return self._waiting.outgoing()

    async def keep(self, proceed: Callable[[], None] = lambda: None) -> None:
        """The rows were sent: return when that is remembered. Raises CommitFailed; then ask again.

        *proceed* is as for `compare`.
        """
        for learnt in self._waiting.learnt():
            for contact, number, value in learnt:
                tracker, person = self._trackers[number], self._person(contact)
                key, newest = ROW + contact.encode(), tracker.next_offset - 1
                self._state.put(_place(tracker), key, value, newest, tag=_tag(person) if person else None)
            await self._state.flush()
            proceed()
        for tracker in self._trackers:
            self._keep_mapping(tracker)
        await self._state.flush()

    def settled(self) -> None:
        """All that waited is done."""
        self._forget()

    def _forget(self) -> None:
        self._waiting.close()
        self._waiting = WaitingRows()
        self.contacts = self.again = 0

    def _person(self, contact: str) -> str | None:
        return self._erasures.person(contact) if self._erasures else None

    async def _send_again(self, tracker: OffsetTracker) -> None:
        """Every row that the destination was told under another mapping."""
        number = self._numbers[tracker]
        for key, _ in self._state.items(_place(tracker), ROW):
            contact = key.removeprefix(ROW).decode()
            self._waiting.put(Waiting(contact, number, float("-inf"), 0, 0, True, self._person(contact), b"{}"))
            self.again += 1
            if self.again % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _compare(self, rows: Sequence[Waiting], judge: Judge | None, comparison: Comparison) -> None:
        newest = max(rows, key=attrgetter("time"))
        reason = judge(newest, self._trackers[newest.place]) if judge and newest.events else None
        if reason is None:
            told = [told for row in rows if (told := self._told(row)) is not None]
            time, now = merged([*told, *(row.said for row in rows)])
            line = self._line(now)
            last = self._line(max(told, key=itemgetter(0))[1]) if told else None
            if line == last and not any(row.again for row in rows):
                reason = "unchanged"
            else:
                fields = {column: text for column, text in zip(self._columns, line, strict=True) if text}
                value = orjson.dumps([time, fields])
                self._waiting.send(line, [(row.contact, row.place, value) for row in rows if row.events])
        self._count(rows, newest, reason, comparison)

    def _line(self, fields: dict[str, str]) -> list[str]:
        return [fields.get(column, "") for column in self._columns]

    def _told(self, row: Waiting) -> Said | None:
        found = self._state.get(_place(self._trackers[row.place]), ROW + row.contact.encode())
        if found is None:
            return None
        time, fields = orjson.loads(found)
        return time, fields

    def _count(self, rows: Sequence[Waiting], newest: Waiting, reason: str | None, comparison: Comparison) -> None:
        """The newest record behind a row that is sent is delivered, the others travel with it."""
        comparison.changed += reason is None
        for row in rows:
            counts = comparison.counts[self._trackers[row.place]]
            if reason is not None:
                counts["filtered"] += row.events
                comparison.filtered[reason] += row.events
            elif row is newest and row.events:
                counts["delivered"] += 1
                counts["coalesced"] += row.events - 1
                comparison.coalesced += row.events - 1
                comparison.stamps.append(row.stamp)
            else:
                counts["coalesced"] += row.events
                comparison.coalesced += row.events

    def _keep_mapping(self, tracker: OffsetTracker) -> None:
        place = _place(tracker)
        if self._state.get(place, self._mapping) is None:
            for key in [key for key, _ in self._state.items(place, MAPPING)]:
                self._state.drop(place, key)
            self._state.put(place, self._mapping, b"{}", tracker.next_offset - 1, tag=None)


def _place(tracker: OffsetTracker) -> Partition:
    return tracker.topic, tracker.partition


def _tag(person: str) -> bytes:
    return ROW + person.encode()
