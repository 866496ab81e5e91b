"""The journal of calls that must not be repeated: an intent before each call, its end after it, in a topic of our own.

It is beside the source's partitions, one of its own for each. Only who opened a partition last can write to it, so a
member that was replaced cannot begin a call, whatever it believes; and the new one reads what the old one began.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TypeAlias

import structlog
from pydantic import ValidationError

from schemas.journal import Entry, Word, call_id
from schemas.replays import REPLAY
from stream.core.offsets import OffsetTracker
from stream.core.records import Message, Record
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings
from stream.kafka.transactions import Lost, Transactions
from stream.topics import names
from stream.topics.beside import Kind

Facts: TypeAlias = Iterable[tuple[str, str | int]]

RETENTION_SECONDS = 7 * 24 * 3600.0

log = structlog.get_logger()


def journals(group: str) -> Kind:
    """The journals of a destination's *group*: they must be there before a partition is assigned."""
    return Kind(lambda topic: names.journal(group, topic), retention=RETENTION_SECONDS)


class Standing(Enum):
    """What is known of a message's call."""

    FREE = auto()  # it was not made: it may be
    PENDING = auto()  # another message's call of the same id is under way
    UNKNOWN = auto()  # it was begun, and nobody knows whether it was made
    SENT = auto()  # the vendor took it
    LOST = auto()  # the partition is another's, or will be assigned anew: nothing of it may be sent or settled


class Page:
    """What one partition's journal says: the last word on each call. About 150 bytes a call."""

    __slots__ = ("_words", "next_offset")

    def __init__(self) -> None:
        self._words: dict[bytes, bool] = {}  # whether it was sent; where it was withdrawn, nothing is kept
        self.next_offset = 0  # of the journal's partition: everything below was read

    def __len__(self) -> int:
        return len(self._words)

    def hear(self, call: bytes, word: Word) -> None:
        """The next word on a call. What was sent stays sent."""
        match word:
            case "intent":
                self._words.setdefault(call, False)
            case "withdrawn":
                if not self._words.get(call, True):
                    del self._words[call]
            case "sent":
                self._words[call] = True

    def standing(self, call: bytes) -> Standing:
        """FREE, UNKNOWN or SENT."""
        sent = self._words.get(call)
        if sent is None:
            return Standing.FREE
        return Standing.SENT if sent else Standing.UNKNOWN


@dataclass(slots=True, eq=False)
class Volume:
    """The journal of one assigned partition."""

    page: Page
    writer: Transactions
    under_way: set[bytes] = field(default_factory=set)
    given_up: bool = False


class Journal:
    """One destination's journals. A companion of its pipeline.

    *group* is the consumer group's id, *rule* tells apart the calls one event may lead to, *lost* asks for the
    partitions to be assigned anew, *wall* is seconds since the epoch.
    """

    crowded = False

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        rule: Callable[[Message], str],
        lost: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._group = group
        self._rule = rule
        self._lost = lost
        self._wall = wall
        self._pages: dict[tuple[str, int], Page] = {}  # from one assignment to the next: then only news are read
        self._volumes: dict[OffsetTracker, Volume] = {}

    # As a companion

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        """Open the partitions' journals, which fences their former owners, then read them to their ends."""
        places = [(tracker.topic, tracker.partition) for tracker in trackers]
        self._pages = {place: self._pages.get(place, Page()) for place in places}
        writers = [self._writer(*place) for place in places]
        volumes = {
            tracker: Volume(self._pages[place], writer)
            for tracker, place, writer in zip(trackers, places, writers, strict=True)
        }
        try:
            await _open(writers)
            for topic in dict.fromkeys(topic for topic, _ in places):
                await self._read(topic, [number for name, number in places if name == topic])
        except BaseException:
            await _close(writers)
            raise
        self._volumes = volumes

    async def flush(self) -> None:
        """Nothing: each word is committed before its message settles."""

    async def revoked(self) -> None:
        """Close the journals. A call that is still under way then ends without a word, and is parked by the next."""
        volumes, self._volumes = self._volumes, {}
        await _close(volume.writer for volume in volumes.values())

    # As delivery needs it

    def standing(self, message: Message) -> Standing:
        """Whether the message's call may be begun."""
        volume = self._volumes.get(message.tracker)
        if volume is None or volume.writer.lost:
            return Standing.LOST
        call = self._call(message)
        return Standing.PENDING if call in volume.under_way else volume.page.standing(call)

    async def begin(self, message: Message) -> bool:
        """Whether the call may be made: its intent is committed. False too where it is FREE no more."""
        volume = self._volumes.get(message.tracker)
        if volume is None or self.standing(message) is not Standing.FREE:
            return False
        call = self._call(message)
        volume.under_way.add(call)
        if await self._write(volume, message, call, "intent"):
            return True
        volume.under_way.discard(call)
        return False

    async def end(self, message: Message, word: Word | None, facts: Facts = ()) -> bool:
        """Whether the message may settle or be tried again: how its call ended is committed. None: nobody knows.

        *facts*: what the vendor said of a call that it took.
        """
        volume = self._volumes.get(message.tracker)
        if volume is None:
            return False
        call = self._call(message)
        try:
            return word is None or await self._write(volume, message, call, word, facts)
        finally:
            volume.under_way.discard(call)

    async def _write(self, volume: Volume, message: Message, call: bytes, word: Word, facts: Facts = ()) -> bool:
        at = datetime.fromtimestamp(self._wall(), UTC)
        rule, offset = self._rule(message), message.record.offset
        entry = Entry(word=word, offset=offset, rule=rule, at=at, vendor=dict(facts) or None)
        try:
            await volume.writer.write((call.hex().encode(), entry.model_dump_json(exclude_none=True).encode()))
        except Lost as error:
            self._give_up(volume, message.tracker, str(error))
            return False
        volume.page.hear(call, word)
        return True

    def _give_up(self, volume: Volume, tracker: OffsetTracker, reason: str) -> None:
        if volume.given_up or self._volumes.get(tracker) is not volume:
            return  # said before, or closed by ourselves
        volume.given_up = True
        log.warning("journal_lost", group=self._group, topic=tracker.topic, partition=tracker.partition, reason=reason)
        self._lost()

    async def _read(self, topic: str, partitions: Sequence[int]) -> None:
        starts = {number: self._pages[topic, number].next_offset for number in partitions}
        async with reading(self._settings, names.journal(self._group, topic), starts=starts) as reader:
            async for record in reader.what_is_there():
                page = self._pages[topic, record.partition]
                page.next_offset = record.offset + 1
                _hear(record, page)

    def _writer(self, topic: str, partition: int) -> Transactions:
        return Transactions(
            self._settings,
            transactional_id=f"{self._group}.{topic}.{partition}",
            topic=names.journal(self._group, topic),
            partition=partition,
        )

    def _call(self, message: Message) -> bytes:
        record = message.record
        replay = next((value for name, value in record.headers if name == REPLAY), b"")
        place = (record.topic, record.partition, record.offset)
        return call_id(message.message_id, place, rule=self._rule(message), replay=replay.decode(errors="replace"))


async def _open(writers: Iterable[Transactions]) -> None:
    opened = await asyncio.gather(*(writer.open() for writer in writers), return_exceptions=True)
    if errors := [error for error in opened if error is not None]:
        raise errors[0]


async def _close(writers: Iterable[Transactions]) -> None:
    await asyncio.gather(*(writer.close() for writer in writers))


def _hear(record: Record, page: Page) -> None:
    """One that is no entry is passed over: it must not stop a pipeline."""
    try:
        page.hear(bytes.fromhex((record.key or b"").decode()), Entry.model_validate_json(record.value or b"").word)
    except (ValueError, ValidationError):
        log.warning("not_a_journal_entry", topic=record.topic, offset=record.offset)
