"""Dead letters: records that will not be delivered, with the reason beside them; written, and read back.

Why a record is buried is decided in `stream.core.health`; the headers are `schemas.dead_letters`'s.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass

import structlog

from schemas.dead_letters import CONNECT, OURS, DeadLetter, Headers
from schemas.replays import REPLAY, WRITTEN_AT, ReplayId
from stream.core.health import Bury
from stream.core.records import Record, written_at
from stream.kafka.producer import Producer, TooLarge, acknowledged
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings

OMITTED = f"{OURS}value"
HASH = f"{OURS}value_sha256"

log = structlog.get_logger()


class DeadLetters:
    """Where one destination's dead letters go."""

    def __init__(self, producer: Producer, *, topic: str, destination: str, wall: Callable[[], float]) -> None:
        self._producer = producer
        self._topic = topic
        self._destination = destination
        self._wall = wall

    async def bury(
        self,
        record: Record,
        bury: Bury,
        *,
        attempts: int,
        first_failed_at: float | None,
    ) -> None:
        """Return once the broker has acknowledged the letter, however long that takes.

        The record keeps its key, value and headers. What the broker does not take for its size is left out: the value,
        then the headers; replay reads them at the source. *first_failed_at* is in seconds since the epoch; None: now.
        """
        letter = DeadLetter(
            destination=self._destination,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=bury.reason,
            detail=bury.detail,
            attempts=attempts,
            first_failed_at=self._wall() if first_failed_at is None else first_failed_at,
            status=bury.status,
        )
        theirs = original(record.headers)
        ours = [*letter.headers(), (WRITTEN_AT, str(written_at(record)).encode())]
        try:
            await self._write(record.key, record.value, theirs + ours)
        except TooLarge:
            ours += [(OMITTED, b"omitted"), (HASH, hashlib.sha256(record.value or b"").hexdigest().encode())]
            try:
                await self._write(record.key, None, theirs + ours)
            except TooLarge:
                await self._write(record.key, None, ours)

    async def _write(self, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        await acknowledged(
            lambda: self._producer.send(self._topic, key=key, value=value, headers=headers),
            waits=lambda why: log.warning("dead_letter_waits", destination=self._destination, reason=why),
        )  # perhaps twice: one identity


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it lies in its topic. *headers* are the record's own, *buried_at* is seconds since the epoch.

    *written_at* is when the event was first in its topic, in milliseconds since the epoch.
    """

    about: DeadLetter
    key: bytes | None
    value: bytes | None
    headers: Headers
    buried_at: float
    written_at: int
    value_sha256: str | None = None  # set where the value was too large for the topic and is only at the source

    @property
    def origin(self) -> str:
        """The identity of the event's first letter: its own, unless the record that was buried is a replay."""
        replay = ReplayId.of(self.headers)
        return self.about.identity if replay is None else replay.identity

    @property
    def origin_offset(self) -> int:
        """Where the event itself is in its partition: what came after it is later."""
        replay = ReplayId.of(self.headers)
        return self.about.offset if replay is None else replay.offset


async def letters(settings: KafkaSettings, topic: str) -> AsyncGenerator[Letter, None]:
    """Every letter that is in *topic* now, once. Raises UserError where there is no such topic.

    Records that are no letters are passed over. Whoever stops early closes it with `aclosing`.
    """
    seen: set[str] = set()
    async with reading(settings, topic) as reader:
        async for record in reader.what_is_there():
            letter = _letter(record)
            if letter is not None and letter.about.identity not in seen:
                seen.add(letter.about.identity)
                yield letter


def original(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """The headers that came with the record, without what says why one was buried."""
    return [(name, value) for name, value in headers if name == REPLAY or not name.startswith((CONNECT, OURS))]


def _letter(record: Record) -> Letter | None:
    try:
        about = DeadLetter.from_headers(record.headers)
    except ValueError:
        return None
    hashes = [value.decode(errors="replace") for name, value in record.headers if name == HASH]
    return Letter(
        about=about,
        key=record.key,
        value=record.value,
        headers=original(record.headers),
        buried_at=record.timestamp / 1000,
        written_at=min(written_at(record), int(about.first_failed_at * 1000)),
        value_sha256=hashes[0] if hashes else None,
    )
