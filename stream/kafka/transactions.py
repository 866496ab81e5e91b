"""Writes to one partition in transactions, as the only one who can: whoever opens the same id later fences us."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, TransactionalIdAuthorizationFailed

from stream.errors import UserError
from stream.kafka import transactional
from stream.kafka.settings import KafkaSettings

Pair = tuple[bytes, bytes]


class Lost(Exception):
    """Nothing more can be written as this id: another has it now, the broker gave it up, or it was closed.

    What was being written may or may not be there: reading it again, as whoever opens the id next, tells.
    """


class Waiting:
    """Pairs that go out in one transaction."""

    __slots__ = ("committed", "pairs")

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.committed = False


class Transactions:
    """One partition's writer.

    A broker that is away is waited for, without end. Every other failure is final, because nobody can tell what
    happened meanwhile: open anew, then read what is there.
    """

    def __init__(self, settings: KafkaSettings, *, transactional_id: str, topic: str, partition: int) -> None:
        self._settings = settings
        self._id = transactional_id
        self._topic = topic
        self._partition = partition
        self._client: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()
        self._waiting = Waiting()
        self._under_way: asyncio.Timeout | None = None
        self.lost = False

    def __repr__(self) -> str:
        return f"<transactions of {self._id}{', lost' * self.lost}>"

    async def open(self) -> None:
        """Fence whoever had the id before, and end what they left open.

        Raises BrokerUnavailable where that takes too long, UserError where it is not allowed.
        """
        try:
            self._client = await transactional.opened(self._settings, self._id)
        except transactional.FORBIDDEN as error:
            raise self._forbidden("use the transactional id " + self._id) from error

    async def write(self, *pairs: Pair) -> None:
        """Return once the keys and values are committed, together with what others write meanwhile. Raises Lost.

        Where the broker forbids it, raises UserError.
        """
        waiting = self._waiting
        waiting.pairs += pairs
        async with self._turn:
            if waiting.committed:
                return
            if self.lost or waiting is not self._waiting:
                raise Lost(self._id)
            self._waiting = Waiting()
            await self._commit(waiting.pairs)
            waiting.committed = True

    async def close(self) -> None:
        """Write nothing more. Whoever waits is told that it is lost."""
        self.lost = True
        if self._under_way is not None:
            self._under_way.reschedule(asyncio.get_running_loop().time())
        client, self._client = self._client, None
        if client is not None:
            await transactional.stop(client)

    async def _commit(self, pairs: Sequence[Pair]) -> None:
        assert self._client is not None, "open() first"  # noqa: S101 - a bug, not a user's mistake
        client, committed = self._client, False
        try:
            async with asyncio.timeout(None) as self._under_way:
                await client.begin_transaction()
                written = [
                    await client.send(self._topic, value, key=key, partition=self._partition) for key, value in pairs
                ]
                await asyncio.gather(*written)
                await client.commit_transaction()
            committed = True
        except (TransactionalIdAuthorizationFailed, TopicAuthorizationFailedError) as error:
            raise self._forbidden("write to the topic " + self._topic) from error
        except (KafkaError, TimeoutError) as error:
            raise Lost(f"{self._id}: {type(error).__name__}") from error
        finally:
            self._under_way = None
            self.lost |= not committed
            if self.lost:
                _retrieve(client)

    def _forbidden(self, what: str) -> UserError:
        return UserError(f"the broker does not let our user {what}", "allow Write on it, also as a transactional id")


def _retrieve(client: AIOKafkaProducer) -> None:
    """Take note of why it failed wherever it keeps that: else each place is logged later, as never retrieved."""
    batches = client._message_accumulator._batches.values()  # noqa: SLF001
    futures = [batch._drain_waiter for waiting in batches for batch in waiting]  # noqa: SLF001
    for future in (client._txn_manager.wait_for_transaction_end(), *futures):  # noqa: SLF001
        if future is not None and future.done() and not future.cancelled():
            future.exception()
