"""What a destination remembers between events, by key: in memory, in SQLite files, and in a compacted topic.

A changelog topic for each source topic, partition by partition: whoever takes a partition over reads it there. What
is remembered and why is the affair of those who put it in: see `traits`.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from time import time

import structlog

from stream.core.offsets import OffsetTracker
from stream.core.records import Record
from stream.errors import UserError
from stream.kafka.admin import Admin
from stream.kafka.producer import NotAcknowledged, Producer, TooLarge
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings
from stream.kafka.source import CommitFailed, Partition
from stream.topics import names
from stream.topics.beside import Kind
from stream.topics.state_file import Entry, StateFile

OFFSET, TAG = "crmstream.offset", "crmstream.tag"  # headers of the changelog's records
LARGEST = 512 * 1024  # bytes of a value: less than any broker takes
MOST_WAITING = 10_000  # changes, of all partitions together, for which reading goes on
_OFFSET = re.compile(rb"-?[0-9]{1,18}")
AT_ONCE = 2000  # changes that are written, or read back, in one go
STEP = 200  # changes that a file takes between two turns of the event loop: some milliseconds
MOST_UNFILED = 20_000  # changes, of all partitions together, that the files have not yet; of one at most AT_ONCE
FAR = 10_000  # records of the changelog that a start after a crash may have to read besides

log = structlog.get_logger()


def changelogs(group: str) -> Kind:
    """The changelogs of a destination's *group*: they must be there before a partition is assigned."""
    return Kind(lambda topic: names.state(group, topic), compacted=True)


@dataclass(slots=True, eq=False)
class Part:
    """One partition's share. A change waits, then is on its way to the changelog, then unfiled, then in the file.

    The file is written late: what changes often is written once for many changes.
    """

    place: Partition
    file: StateFile
    most_unfiled: int = AT_ONCE
    newest: int = -1  # the highest offset of a record that was heard
    live: bool = False  # whether it was heard since the partition was assigned: what it said is still waiting
    waiting: dict[bytes, Entry | None] = field(default_factory=dict)
    under_way: dict[bytes, Entry | None] = field(default_factory=dict)
    unfiled: dict[bytes, Entry | None] = field(default_factory=dict)
    position: int = 0  # of the changelog, as far as it is unfiled or in the file
    stamp: int = 0  # the time (ms) of the record before it

    def get(self, key: bytes) -> Entry | None:
        """What is remembered under *key*, written or not."""
        for changes in (self.waiting, self.under_way, self.unfiled):
            if key in changes:
                return changes[key]
        return self.file.get(key)

    def reached(self, changes: Iterable[tuple[bytes, Entry | None]], position: int, stamp: int) -> None:
        """The changelog has these, up to a position."""
        self.unfiled.update(changes)
        if position > self.position:
            self.position, self.stamp = position, stamp

    @property
    def due(self) -> bool:
        """Whether the file is to be brought on."""
        return len(self.unfiled) >= self.most_unfiled or self.position - self.file.position >= FAR

    def put_away(self) -> None:
        """Bring the file to where the changelog is now. Raises UserError where it cannot be."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """The same, step by step."""
        keys = sorted(self.unfiled)  # neighbours in the file are written together
        position, stamp = self.position, self.stamp
        for start in range(0, len(keys), STEP):
            some = [(key, self.unfiled[key]) for key in keys[start : start + STEP] if key in self.unfiled]
            self.file.apply(some, position=self.file.position, stamp=self.file.stamp)
            for key, _ in some:
                del self.unfiled[key]
            yield
        if position > self.file.position:
            self.file.apply((), position=position, stamp=stamp)


class State:
    """One destination's state on this member: a companion of its pipeline.

    Of partitions that are not assigned nothing is remembered, and putting something in does nothing.
    """

    def __init__(self, settings: KafkaSettings, *, admin: Admin, producer: Producer, folder: Path, group: str) -> None:
        self._settings = settings
        self._admin = admin
        self._producer = producer
        self._folder = folder
        self._group = group
        self._parts: dict[Partition, Part] = {}
        self._flushing = asyncio.Lock()
        self._filing: asyncio.Task[None] | None = None

    # What is remembered

    def get(self, place: Partition, key: bytes) -> bytes | None:
        """The value under *key*."""
        part = self._parts.get(place)
        entry = part and part.get(key)
        return entry.value if entry else None

    def put(self, place: Partition, key: bytes, value: bytes | None, offset: int, *, tag: bytes | None = None) -> bool:
        """Remember *value*, which the source's record at *offset* says; None forgets it.

        False, and nothing is changed, where a record at this offset or a later one has been heard already. Raises
        ValueError for a value that is too large.
        """
        if value is not None and len(value) > LARGEST:
            raise ValueError(f"{len(value)} bytes are too many for an entry: at most {LARGEST}")
        part = self._parts.get(place)
        if part is None:
            return False
        if offset > part.newest:
            part.newest, part.live = offset, True
        else:
            known = part.waiting.get(key) if part.live and offset == part.newest else part.get(key)
            if known is not None and known.offset >= offset:
                return False
        part.waiting[key] = None if value is None else Entry(value, offset, tag)
        return True

    def amend(self, place: Partition, key: bytes, value: bytes, *, tag: bytes | None = None) -> None:
        """Replace the value under *key*, if there is one, as if the record that wrote it had said this.

        A *tag* replaces the one it has.
        """
        part = self._parts.get(place)
        entry = part and part.get(key)
        if part and entry:
            part.waiting[key] = Entry(value, entry.offset, tag or entry.tag)

    def drop(self, place: Partition, key: bytes) -> None:
        """Forget what is under *key*, whichever record said it."""
        if (part := self._parts.get(place)) is not None:
            part.waiting[key] = None

    def tagged(self, tag: bytes) -> list[tuple[Partition, bytes]]:
        """Where there are entries with this tag."""
        found = []
        for place, part in self._parts.items():
            changed = part.unfiled | part.under_way | part.waiting
            keys = {key for key, entry in changed.items() if entry is not None and entry.tag == tag}
            keys.update(key for key in part.file.tagged(tag) if key not in changed)
            found += [(place, key) for key in sorted(keys)]
        return found

    def untagged(self, place: Partition, prefix: bytes) -> list[bytes]:
        """The keys that begin with *prefix* and have no tag, as the last `flush` left them."""
        return self._filed(place).untagged(prefix)

    def items(self, place: Partition, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Each key that begins with *prefix*, and its value, as the last `flush` left them."""
        return ((key, entry.value) for key, entry in self._filed(place).items(prefix))

    def count(self, place: Partition, prefix: bytes) -> int:
        """How many keys begin with *prefix*, as the last `flush` left them."""
        return self._filed(place).count(prefix)

    def oldest(self, place: Partition, prefix: bytes, most: int) -> list[bytes]:
        """So many keys that begin with *prefix*, those first that were not written for longest."""
        part = self._parts[place]
        found = self._filed(place).oldest(prefix, most)
        return [key for key in found if key not in part.waiting and key not in part.under_way]

    def _filed(self, place: Partition) -> StateFile:
        part = self._parts[place]
        part.put_away()
        return part.file

    # With the pipeline

    @property
    def crowded(self) -> bool:
        """Whether so many changes wait that memory would grow."""
        return sum(len(part.waiting) for part in self._parts.values()) >= MOST_WAITING

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        """Take these partitions on: open their files, and read from the changelog what these do not know."""
        self._close()
        for tracker in trackers:
            place = tracker.topic, tracker.partition
            self._parts[place] = Part(place, self._file(place), min(AT_ONCE, MOST_UNFILED // len(trackers)))
        for topic, places in groupby(sorted(self._parts), lambda place: place[0]):
            await self._restore(topic, [self._parts[place] for place in places])
        for place, end in (await self._admin.end_offsets(self._parts)).items() if self._parts else ():
            part = self._parts[place]
            if part.file.date_back(end):
                log.warning("source_topic_was_made_anew", topic=place[0], partition=place[1])
            part.newest = part.file.newest()
            part.position, part.stamp = part.file.position, part.file.stamp

    async def flush(self) -> None:
        """Return when what was put in up to now is in the changelog. Raises CommitFailed."""
        async with self._flushing:
            changed = [part for part in self._parts.values() if part.waiting]
            results = await asyncio.gather(*map(self._write, changed), return_exceptions=True)
            if failures := [result for result in results if result is not None]:
                raise failures[0]
        self._bring_on()

    async def revoked(self) -> None:
        """Give the partitions up. What is not in the changelog by now is of records that will be read again."""
        self._close()

    def _bring_on(self) -> None:
        """Have the files written that are due, beside everything else. Raises UserError where the last time failed."""
        if self._filing is not None and self._filing.done():
            filing, self._filing = self._filing, None
            filing.result()
        due = [part for part in self._parts.values() if part.due]
        if due and self._filing is None:
            self._filing = asyncio.create_task(_put_away(due), name="state files")

    def _close(self) -> None:
        if self._filing is not None and not self._filing.cancel():
            self._filing.exception()  # of no interest any more
        self._filing = None
        for part in self._parts.values():
            with suppress(UserError):  # a full disk: the file is behind, and the changelog gives it back
                part.put_away()
            part.file.close()
        self._parts = {}

    def _file(self, place: Partition) -> StateFile:
        topic, partition = place
        path = self._folder / self._group / f"{topic}-{partition}.sqlite"
        return StateFile(path, whose=f"{names.state(self._group, topic)}/{partition}")

    # The changelog

    async def _write(self, part: Part) -> None:
        """Changes reach the file after the changelog has them: a file never knows more than the next owner can."""
        part.under_way, part.waiting = part.waiting, {}
        left = part.under_way
        try:
            changes = list(part.under_way.items())
            for start in range(0, len(changes), AT_ONCE):
                await self._write_some(part, changes[start : start + AT_ONCE])
            left = {}
        except (NotAcknowledged, TooLarge) as error:
            raise CommitFailed(f"what is to be remembered cannot be written: {error}") from error
        finally:
            part.waiting = left | part.waiting
            part.under_way = {}

    async def _write_some(self, part: Part, changes: Sequence[tuple[bytes, Entry | None]]) -> None:
        topic, partition = part.place
        stamp = int(time() * 1000)
        records = [(key, entry.value if entry else None, _headers(entry), stamp) for key, entry in changes]
        offsets = await self._producer.write(names.state(self._group, topic), partition, records)
        position = part.position
        for offset in offsets:  # one left out is of somebody else: it will have to be read
            if offset == position:
                position += 1
        if self._parts.get(part.place) is part:
            part.reached(changes, position, stamp)

    async def _restore(self, topic: str, parts: Sequence[Part]) -> None:
        """Bring the files to the changelog's end."""
        by_number = {part.place[1]: part for part in parts}
        anew = await self._read(topic, by_number)
        for number in anew:
            by_number[number].file.clear()
        await self._read(topic, {number: by_number[number] for number in anew})
        log.info("state_restored", topic=topic, partitions=len(parts), from_the_start=len(anew))

    async def _read(self, topic: str, parts: Mapping[int, Part]) -> list[int]:
        """Read on from each file's position; gives those whose file is of another changelog than this."""
        if not parts:
            return []
        starts = {number: max(0, part.file.position - 1) for number, part in parts.items()}
        unproved = {number for number, part in parts.items() if part.file.position}
        read: dict[int, list[Record]] = {number: [] for number in parts}
        foreign: set[int] = set()
        async with reading(self._settings, names.state(self._group, topic), starts=starts) as reader:
            async for record in reader.what_is_there():
                number, file = record.partition, parts[record.partition].file
                if number in foreign:
                    continue
                if number in unproved:
                    unproved.discard(number)
                    if (record.offset, record.timestamp) != (file.position - 1, file.stamp):
                        foreign.add(number)
                    continue
                read[number].append(record)
                if len(read[number]) == AT_ONCE:
                    _apply(file, read[number])
        for number, records in read.items():
            _apply(parts[number].file, records)
        return sorted(foreign | unproved)


async def _put_away(parts: Iterable[Part]) -> None:
    for part in parts:
        for _ in part.steps():
            await asyncio.sleep(0)


def _apply(file: StateFile, records: list[Record]) -> None:
    """Write the changelog's records to the file, and forget them."""
    if records:
        changes = [(record.key or b"", _entry(record)) for record in records]
        file.apply(changes, position=records[-1].offset + 1, stamp=records[-1].timestamp)
        records.clear()


def _headers(entry: Entry | None) -> list[tuple[str, bytes]]:
    if entry is None:
        return []
    headers = [(OFFSET, b"%d" % entry.offset)]
    return headers if entry.tag is None else [*headers, (TAG, entry.tag)]


def _entry(record: Record) -> Entry | None:
    """What a record of the changelog says; None: the key is forgotten. One that is not ours says nothing."""
    headers = dict(record.headers)
    offset = headers.get(OFFSET) or b""
    if record.value is None or not _OFFSET.fullmatch(offset):
        return None
    return Entry(record.value, int(offset), headers.get(TAG))
