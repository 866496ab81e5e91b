"""Reads a whole topic from its beginning, outside any group. Reading as a group's member is `source`'s."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.core.records import Record
from stream.kafka.admin import Admin, BrokerUnavailable, explain
from stream.kafka.ending import leave
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings

POLL_SECONDS = 0.5
START_SECONDS = 30.0  # for which a broker that does not answer is asked again
PAUSE_SECONDS = 0.5  # between two tries
STALL_SECONDS = 30.0  # without an answer, or anything of what is there


class Reader:
    """Partitions of one topic: first what is there, then what comes."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    async def what_is_there(self) -> AsyncIterator[Record]:
        """Each committed record up to the ends as they are at the call; in order within a partition.

        Raises BrokerUnavailable where for STALL_SECONDS no more of it comes: a reader that waits for ever would hold up
        its whole group.
        """
        clock = asyncio.get_running_loop().time
        ends, positions, since = await self._ends(), await self._positions(), clock()
        while any(at < end for at, end in zip(positions, ends, strict=True)):
            for record in await self._poll():
                yield record
            if (reached := await self._positions()) != positions:
                positions, since = reached, clock()
            elif clock() > since + STALL_SECONDS:
                raise self._stalled()

    async def _ends(self) -> list[int]:
        async with self._in_time():
            ends = await self._consumer.end_offsets(self._partitions)
        return [ends[partition] for partition in self._partitions]

    async def _positions(self) -> list[int]:
        async with self._in_time():
            return [await self._consumer.position(partition) for partition in self._partitions]

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                yield
        except TimeoutError:
            raise self._stalled() from None

    def _stalled(self) -> BrokerUnavailable:
        topics = ", ".join({partition.topic for partition in self._partitions})
        return BrokerUnavailable(f"the Kafka broker gives nothing more of {topics}, though its end is not reached")

    async def newest(self, count: int) -> AsyncIterator[Record]:
        """Of each partition at most so many of the records that are there now; in order within it."""
        begins = await self._consumer.beginning_offsets(self._partitions)
        for partition, end in (await self._consumer.end_offsets(self._partitions)).items():
            self._consumer.seek(partition, max(begins[partition], end - count))
        async for record in self.what_is_there():
            yield record

    async def what_comes(self) -> AsyncIterator[Record]:
        """What is written from there on, for ever."""
        while True:
            for record in await self._poll():
                yield record

    async def _poll(self) -> list[Record]:
        batches = await self._consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000))
        return [record for batch in batches.values() for record in batch]


@asynccontextmanager
async def reading(
    settings: KafkaSettings, topic: str, *, starts: Mapping[int, int] | None = None
) -> AsyncIterator[Reader]:
    """A reader at the beginning of *topic*. Raises UserError where there is no such topic, or no broker.

    *starts*: only these partitions, each from its offset, or from the beginning where the log does not hold it.
    """
    if starts is None:
        async with Admin(settings) as admin:
            count = (await admin.partitions([topic]))[topic]
    consumer = AIOKafkaConsumer(
        **connection(settings),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await _start(consumer, settings)
        partitions = [TopicPartition(topic, partition) for partition in (range(count) if starts is None else starts)]
        consumer.assign(partitions)
        if starts is None:
            await consumer.seek_to_beginning(*partitions)
        else:
            for partition in partitions:
                consumer.seek(partition, starts[partition.partition])
        yield Reader(consumer, partitions)
    finally:
        await leave(consumer)


async def _start(consumer: AIOKafkaConsumer, settings: KafkaSettings) -> None:
    """Connect. A broker that is gone is waited for: partitions come to a member just while one restarts."""
    end = asyncio.get_running_loop().time() + START_SECONDS
    while True:
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            if not getattr(error, "retriable", True) or asyncio.get_running_loop().time() > end:
                problem, hint = explain(error)
                servers = ", ".join(settings.bootstrap_servers)
                raise BrokerUnavailable(f"no Kafka broker at {servers}: {problem}", hint) from error
        else:
            return
        await asyncio.sleep(PAUSE_SECONDS)
