"""The client of those who write in transactions: opened as soon as the broker lets it, stopped whatever it says.

What is written is their own affair: see `atomic` and `transactions`.
"""

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError, TransactionalIdAuthorizationFailed

from stream.kafka.admin import BrokerUnavailable, explain
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings

REQUEST_SECONDS = 5.0
OPEN_SECONDS = 30.0
CLOSE_SECONDS = 5.0
PAUSE_SECONDS = 0.2  # between two tries to open
TRANSACTION_SECONDS = 15.0  # after which the broker undoes what was left open, and readers go on

FORBIDDEN = (TransactionalIdAuthorizationFailed, ClusterAuthorizationFailedError)


async def opened(settings: KafkaSettings, transactional_id: str, **arguments: Any) -> AIOKafkaProducer:
    """A client that has fenced whoever had the id before, and undone what they left open.

    Raises BrokerUnavailable where that takes longer than `OPEN_SECONDS`, or one of FORBIDDEN.
    """
    last: BaseException = TimeoutError()
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            while True:
                try:
                    return await _started(settings, transactional_id, arguments)
                except FORBIDDEN:
                    raise
                except (KafkaError, OSError, AssertionError) as error:  # asserted: that a broker is known
                    last = error
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError as error:
        problem, hint = explain(last)
        raise BrokerUnavailable(f"could not open the transactions of {transactional_id}: {problem}", hint) from error


async def stop(client: AIOKafkaProducer) -> None:
    """Stop it even where the broker does not answer: it would wait for what it still has to say."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.stop()
    except (KafkaError, TimeoutError):
        with suppress(KafkaError):
            await client.client.close()


async def _started(settings: KafkaSettings, transactional_id: str, arguments: dict[str, Any]) -> AIOKafkaProducer:
    client = AIOKafkaProducer(
        **connection(settings),
        transactional_id=transactional_id,
        transaction_timeout_ms=int(TRANSACTION_SECONDS * 1000),
        request_timeout_ms=int(REQUEST_SECONDS * 1000),
        **arguments,
    )
    try:
        await client.start()
    except BaseException:
        await stop(client)
        raise
    return client
