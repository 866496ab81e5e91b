"""Writes to our own topics, one record at a time, and returns when the broker has it. Retrying is the caller's."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream.kafka.admin import BrokerUnavailable, explain
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings

LARGEST = 64 * 1024 * 1024  # bytes of a record; below this the broker's own limit decides
REQUEST_SECONDS = 5.0


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
        try:
            async with asyncio.timeout(self._timeout):
                written = await self._client.send_and_wait(
                    topic, value, key=key, partition=partition, headers=list(headers)
                )
        except MessageSizeTooLargeError as error:
            raise TooLarge(f"{topic} does not take a record of this size") from error
        except TimeoutError as error:
            raise NotAcknowledged(f"{topic}: no acknowledgement within {self._timeout:g} s") from error
        except KafkaError as error:
            raise NotAcknowledged(f"{topic}: {error}") from error
        return int(written.offset)
