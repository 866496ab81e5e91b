"""Receipts: what each destination has committed, written every so often, and read back for `verify`.

They are about what is committed already, so nothing waits for them: one that is lost or written twice makes a range
coarser. What they add up to is `stream.core.balance`'s.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import structlog
from pydantic import ValidationError

from schemas.receipts import Receipt, Totals, key
from stream.core.balance import Point
from stream.core.offsets import OUTCOMES, Mark, decode
from stream.kafka.producer import Keyed, NotAcknowledged, Producer, TooLarge
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two receipts of a partition; each is twice the last
TURN_SECONDS = 0.5  # between two looks whether one is due
LAST_SECONDS = 2.0  # that a rebalance or a stop waits for the last ones
Place: TypeAlias = tuple[str, int]
Noted: TypeAlias = tuple[Mark, float]
"""What was committed, and when, in seconds since the epoch."""

log = structlog.get_logger()


class Receipts:
    """One destination's receipts on this member."""

    def __init__(
        self, producer: Producer, *, topic: str, group: str, destination: str, wall: Callable[[], float]
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._group = group
        self._destination = destination
        self._wall = wall
        self._noted: dict[Place, list[Noted]] = {}  # what is not written yet
        self._last: dict[Place, tuple[int, str]] = {}  # what was noted last
        self._pauses: dict[Place, float] = {}
        self._due: dict[Place, float] = {}
        self._loop = asyncio.get_running_loop()

    def note(self, marks: Iterable[Mark]) -> None:
        """Keep what was committed just now, for the receipts to come.

        The first commit of a partition is not passed over for a later one: there it shows whether anybody moved it.
        """
        now = self._wall()
        for mark in marks:
            place = mark.tracker.topic, mark.tracker.partition
            if self._last.get(place) == (mark.position, mark.metadata):
                continue
            noted = self._noted.setdefault(place, [])
            del noted[0 if place in self._due else 1 :]
            noted.append((mark, now))
            self._last[place] = mark.position, mark.metadata

    async def write_regularly(self) -> None:
        """Write what is due, for ever."""
        while True:
            await asyncio.sleep(TURN_SECONDS)
            now = self._loop.time()
            await self._write([place for place in self._noted if self._due.get(place, now) <= now])

    async def finish(self) -> None:
        """Write all that is noted, if that takes no longer than a moment. Whoever owns the partitions next goes on."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._write(list(self._noted))
        except TimeoutError:
            log.warning("receipts_lost", destination=self._destination, reason="no acknowledgement in time")
        self._noted.clear()
        self._last.clear()
        self._pauses.clear()
        self._due.clear()

    async def _write(self, places: Sequence[Place]) -> None:
        if not places:
            return
        for place in places:
            pause = self._pauses.get(place, FIRST_PAUSE)
            self._due[place] = self._loop.time() + pause
            self._pauses[place] = min(2 * pause, LONGEST_PAUSE)
        records: list[Keyed] = [
            (key(self._group, *place), self._receipt(mark, at).to_json(), [], int(at * 1000))
            for place in places
            for mark, at in self._noted.pop(place)
        ]
        try:
            await self._producer.write(self._topic, 0, records)
        except (NotAcknowledged, TooLarge) as error:
            log.warning("receipts_lost", destination=self._destination, reason=str(error))

    def _receipt(self, mark: Mark, at: float) -> Receipt:
        return Receipt(
            destination=self._destination,
            topic=mark.tracker.topic,
            partition=mark.tracker.partition,
            position=mark.position,
            totals=Totals.model_validate(decode(mark.position, mark.metadata)[0]),
            settled_above=mark.settled_above,
            at=datetime.fromtimestamp(at, UTC),
        )


async def receipts(settings: KafkaSettings, topic: str) -> AsyncGenerator[tuple[bytes, Point], None]:
    """Every receipt that is in *topic* now, by its key, as it was written. Raises UserError where there is no topic.

    Records that are no receipts are passed over. Whoever stops early closes it with `aclosing`.
    """
    async with reading(settings, topic) as reader:
        async for record in reader.what_is_there():
            point = _point(record.value)
            if point is not None and record.key is not None:
                yield record.key, point


def _point(value: bytes | None) -> Point | None:
    try:
        receipt = Receipt.model_validate_json(value or b"")
    except ValidationError:
        return None
    totals = {outcome: getattr(receipt.totals, outcome) for outcome in OUTCOMES}
    return Point(receipt.position, totals, receipt.settled_above, receipt.at.timestamp())
