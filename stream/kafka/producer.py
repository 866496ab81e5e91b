"""Writes to our own topics, one record at a time, and returns when the broker has it. Retrying is the caller's."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from stream.kafka.admin import BrokerUnavailable, explain
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings

LARGEST = 64 * 1024 * 1024  # bytes of a record; below this the broker's own limit decides
REQUEST_SECONDS = 5.0
BATCH_BYTES = 256 * 1024  # of what `write` sends as one; the client sends a partition's batches one after the other
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between two tries of what must be written
AT_ONCE = 500  # records that `load` has on their way

Keyed: TypeAlias = tuple[bytes, bytes | None, Sequence[tuple[str, bytes]], int]
"""A record to write: key, value, headers, and its time in milliseconds since the epoch."""


class TooLarge(Exception):
    """The broker does not take a record of this size, however often it is tried."""


class NotAcknowledged(Exception):
    """The broker did not confirm the record: it may be written all the same. The text says why."""


class Producer:
    """A connection that writes. Entering it connects, or raises BrokerUnavailable.

    Not idempotent in Kafka's sense, on purpose: with `enable_idempotence` the client leaves a gap in its sequence when
    the broker refuses a record, and everything after that is refused as out of order. What is written here bears being
    written twice: letters have an identity, commands and receipts replace what was said before.

    *timeout* is how many seconds one record may take.
    """

    def __init__(self, settings: KafkaSettings, *, timeout: float = 15.0) -> None:
        self._settings = settings
        self._timeout = timeout

    async def __aenter__(self) -> "Producer":
        self._client = AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            compression_type="gzip",
            max_request_size=LARGEST,
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
        )
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._client.stop()
            problem, hint = explain(error)
            servers = ", ".join(self._settings.bootstrap_servers)
            raise BrokerUnavailable(f"no Kafka broker at {servers}: {problem}", hint) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.stop()

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> int:
        """The record's offset, once all replicas in sync have it.

        Without a partition the key chooses one. Raises TooLarge or NotAcknowledged.
        """
        if key is None and value is None:
            value = b""  # the client refuses to write nothing at all
        async with self._acknowledged(topic):
            written = await self._client.send_and_wait(
                topic, value, key=key, partition=partition, headers=list(headers)
            )
        return int(written.offset)

    async def write(self, topic: str, partition: int, records: Iterable[Keyed]) -> list[int]:
        """The offsets of these records, in their order, once all replicas in sync have them.

        Cheaper than `send` for many: they are laid out in batches here. Raises TooLarge or NotAcknowledged; then some
        of them may be written.
        """
        counts, written = [], []
        async with self._acknowledged(topic):
            for batch in self._batches(records):
                counts.append(batch.record_count())
                written.append(await self._client.send_batch(batch, topic, partition=partition))
            results: list[Any] = await asyncio.gather(*written, return_exceptions=True)
            if errors := [result for result in results if isinstance(result, BaseException)]:
                raise errors[0]
        firsts = [int(result.offset) for result in results]
        return [first + n for first, count in zip(firsts, counts, strict=True) for n in range(count)]

    def _batches(self, records: Iterable[Keyed]) -> Iterator[BatchBuilder]:
        batch = BatchBuilder(BATCH_BYTES, DefaultRecordBatch.CODEC_LZ4)
        for key, value, headers, timestamp in records:
            if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:  # it is full
                yield batch
                batch = BatchBuilder(BATCH_BYTES, DefaultRecordBatch.CODEC_LZ4)
                batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
        if batch.record_count():
            yield batch

    async def load(self, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> AsyncGenerator[int, None]:
        """Write keys with their values; gives, every so often, how many the broker has.

        In order within a partition, which sends that run side by side would not be: one that has to wait for room is
        overtaken. Raises TooLarge or NotAcknowledged; then some of those on their way may be written.
        """
        waiting, count = iter(records), 0
        while chunk := list(islice(waiting, AT_ONCE)):
            async with self._acknowledged(topic):
                written = [await self._client.send(topic, value, key=key) for key, value in chunk]
                results = await asyncio.gather(*written, return_exceptions=True)
                if errors := [result for result in results if isinstance(result, BaseException)]:
                    raise errors[0]
            count += len(chunk)
            yield count

    @asynccontextmanager
    async def _acknowledged(self, topic: str) -> AsyncIterator[None]:
        """Bounds what is awaited in it, and translates how it fails."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except MessageSizeTooLargeError as error:
            raise TooLarge(f"{topic} does not take a record of this size") from error
        except TimeoutError as error:
            raise NotAcknowledged(f"{topic}: no acknowledgement within {self._timeout:g} s") from error
        except KafkaError as error:
            raise NotAcknowledged(f"{topic}: {error}") from error


async def acknowledged(write: Callable[[], Awaitable[int]], *, waits: Callable[[str], None]) -> None:
    """Try *write* until the broker has confirmed it, however long that takes; *waits* is told why it goes on.

    It may be written more than once. Raises TooLarge.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            await write()
        except NotAcknowledged as error:
            waits(str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return
