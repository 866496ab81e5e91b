"""Reads a whole topic from its beginning, outside any group. Reading as a group's member is `source`'s."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.core.records import Record
from stream.kafka.admin import Admin
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings

POLL_SECONDS = 0.5


class Reader:
    """All partitions of one topic: first what is there, then what comes."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    async def what_is_there(self) -> AsyncIterator[Record]:
        """Each committed record up to the ends as they are at the call; in order within a partition."""
        ends = await self._consumer.end_offsets(self._partitions)
        while [end for partition, end in ends.items() if await self._consumer.position(partition) < end]:
            for record in await self._poll():
                yield record

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
async def reading(settings: KafkaSettings, topic: str) -> AsyncIterator[Reader]:
    """A reader at the beginning of *topic*. Raises UserError where there is no such topic, or no broker."""
    async with Admin(settings) as admin:
        count = (await admin.partitions([topic]))[topic]
    consumer = AIOKafkaConsumer(
        **connection(settings),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        partitions = [TopicPartition(topic, partition) for partition in range(count)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        yield Reader(consumer, partitions)
    finally:
        await consumer.stop()
