"""Who asked to be erased: one table for all pipelines of a process, read whole at the start and then followed.

Requests are copied here by whoever reads them; later consent lifts an erasure, and any process that sees it says so.
The topic is compacted by person. Which record was written last is chance where several write: the newest erasure holds.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import structlog
from pydantic import ValidationError

from schemas import erasures as schema
from schemas.erasures import Erasure
from schemas.events import IDENTIFIED, Event
from stream.core.offsets import OffsetTracker
from stream.core.records import Record
from stream.kafka.producer import NotAcknowledged, TooLarge
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings
from stream.kafka.source import CommitFailed
from stream.mapping import granted

CONSENT = "marketing"  # the category that lifts
Heard = Callable[[str, Erasure], None]

log = structlog.get_logger()


class Writes(Protocol):
    """A producer, as far as it is needed here."""

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None) -> int: ...


class Erasures:
    """The table, and what this process has to add to it: a companion of every pipeline."""

    crowded = False

    def __init__(self, producer: Writes, *, topic: str, key: bytes, lift_on_consent: bool) -> None:
        self.known: dict[str, Erasure] = {}  # by person
        self.person = lru_cache(maxsize=65_536)(lambda email: schema.person(key, email))
        self._producer = producer
        self._topic = topic
        self._lift_on_consent = lift_on_consent
        self._subscribers: list[Heard] = []
        self._unsaid: dict[str, Erasure] = {}
        self._writing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<erasures of {len(self.known)} persons>"

    def subscribe(self, heard: Heard) -> None:
        """Let *heard* be called with each erasure that begins from now on; what is known already is in `known`."""
        self._subscribers.append(heard)

    def erased(self, persons: Iterable[str], happened_at: float) -> bool:
        """Whether what happened then (seconds since the epoch) must not be delivered, for one of these persons."""
        return any(
            (erasure := self.known.get(person)) is not None and covers(erasure, happened_at) for person in persons
        )

    def consider(self, event: Event, persons: Iterable[str], happened_at: float) -> None:
        """Lift the erasure of who consents again after it; the topic hears of it before the event is settled."""
        if not self._lift_on_consent or not self.known or event.event != IDENTIFIED or not granted(event, CONSENT):
            return
        moment = datetime.fromtimestamp(happened_at, UTC)
        for person in persons:
            erasure = self.known.get(person)
            if erasure is not None and erasure.lifted_at is None and moment > erasure.erased_at:
                lifted = erasure.model_copy(update={"lifted_at": moment})
                self.known[person] = self._unsaid[person] = lifted
                log.info("erasure_lifted", person=person[:8])

    def hear(self, record: Record) -> None:
        """Take in a record of the topic. One that is no erasure is passed over: it must not stop a pipeline."""
        person = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self.known.pop(person, None)
            return
        try:
            erasure = Erasure.model_validate_json(record.value)
        except ValidationError:
            log.warning("not_an_erasure", topic=record.topic, offset=record.offset)
            return
        known = self.known.get(person)
        newest = erasure if known is None else newer(known, erasure)
        self.known[person] = newest
        if newest != erasure:
            self._unsaid[person] = newest  # the topic's last word must be the newest
        if known is None or newest.erased_at > known.erased_at:
            for heard in self._subscribers:
                heard(person, newest)

    async def follow(self, settings: KafkaSettings, ready: asyncio.Event) -> None:
        """Read the topic for ever; *ready* is set once all that was there is known."""
        async with reading(settings, self._topic) as reader:
            async for record in reader.what_is_there():
                self.hear(record)
            log.info("erasures_read", persons=len(self.known))
            ready.set()
            async for record in reader.what_comes():
                self.hear(record)

    # With the pipelines

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        """Nothing: the table is the process's, whichever partitions it has."""

    async def flush(self) -> None:
        """Return when the topic has heard what was lifted up to now. Raises CommitFailed."""
        async with self._writing:
            for person, erasure in list(self._unsaid.items()):
                try:
                    value = erasure.model_dump_json().encode()
                    await self._producer.send(self._topic, key=person.encode(), value=value)
                except (NotAcknowledged, TooLarge) as error:
                    raise CommitFailed(f"a lifted erasure cannot be written: {error}") from error
                if self._unsaid.get(person) == erasure:
                    del self._unsaid[person]

    async def revoked(self) -> None:
        """Nothing: see `assigned`."""


def covers(erasure: Erasure, happened_at: float) -> bool:
    """Whether what happened then, in seconds since the epoch, must not be delivered."""
    return erasure.lifted_at is None or happened_at <= erasure.erased_at.timestamp()


def newer(one: Erasure, other: Erasure) -> Erasure:
    """Which of two erasures of a person holds: the newer one, and of the same one the lifted."""
    if one.erased_at != other.erased_at:
        return max(one, other, key=lambda erasure: erasure.erased_at)
    return one if other.lifted_at is None else other
