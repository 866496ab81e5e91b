"""Writes records to several topics at once: all of them, or none. One writer at a time under an id."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    TopicAuthorizationFailedError,
)

from stream.errors import UserError
from stream.kafka import transactional
from stream.kafka.producer import LARGEST, NotAcknowledged, TooLarge
from stream.kafka.settings import KafkaSettings

WRITE_SECONDS = 30.0  # that one transaction may take
FORBIDDEN = (*transactional.FORBIDDEN, TopicAuthorizationFailedError)


@dataclass(frozen=True, slots=True)
class Row:
    """A record to write. Without a partition the key chooses one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class Atomic:
    """A connection that writes in transactions. Entering it ends those that others left open under *transactional_id*.

    Whoever enters it later under the same id shuts this one out. Entering raises BrokerUnavailable, or UserError where
    the broker forbids it.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        self._settings = settings
        self._id = transactional_id
        self._begun = False

    async def __aenter__(self) -> "Atomic":
        try:
            self._client = await transactional.opened(
                self._settings, self._id, compression_type="gzip", max_request_size=LARGEST
            )
        except transactional.FORBIDDEN as error:
            raise self._forbidden() from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Undo what was begun, as far as the broker hears of it; else it does so after `TRANSACTION_SECONDS`."""
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(transactional.REQUEST_SECONDS):
                if self._begun:
                    await self._client.abort_transaction()
        await transactional.stop(self._client)

    async def write(self, rows: Sequence[Row]) -> None:
        """Return once all are committed.

        Raises TooLarge, or UserError where another writer has the id: then none is written. Raises NotAcknowledged
        where nobody knows. After any of these it writes no more: enter another one.
        """
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._client.begin_transaction()
                self._begun = True
                written = [
                    await self._client.send(
                        row.topic, row.value, key=row.key, partition=row.partition, headers=list(row.headers)
                    )
                    for row in rows
                ]
                results = await asyncio.gather(*written, return_exceptions=True)
                if errors := [result for result in results if isinstance(result, BaseException)]:
                    raise next((each for each in errors if isinstance(each, MessageSizeTooLargeError)), errors[0])
                self._begun = False
                await self._client.commit_transaction()
        except (KafkaError, TimeoutError) as error:
            self._begun = isinstance(error, MessageSizeTooLargeError)  # of the others nothing is left to undo
            raise self._translated(error) from error

    def _translated(self, error: BaseException) -> Exception:
        match error:
            case MessageSizeTooLargeError():
                return TooLarge("a topic does not take a record of this size")
            case ProducerFenced() | InvalidProducerEpoch():
                return UserError(
                    "another one was begun meanwhile, or this one stood still for too long",
                    "wait until the other one has ended, then run it again",
                )
            case _ if isinstance(error, FORBIDDEN):
                return self._forbidden()
            case _:
                return NotAcknowledged(f"{self._id}: {str(error) or 'no acknowledgement in time'}")

    def _forbidden(self) -> UserError:
        return UserError(
            "the broker does not let our user write what is needed",
            f"allow Write on the source topics, on the topic {self._id}, and on the transactional id {self._id}",
        )
