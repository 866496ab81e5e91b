"""Asks the broker: is it there, which topics it has, what a group committed, where logs end. Creates our own topics.

Every answer is complete or an error: a read that failed is never taken for "nothing there".
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from socket import gaierror
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import (
    GroupLoadInProgressError,
    InvalidPartitionsError,
    KafkaError,
    KafkaTimeoutError,
    NotControllerError,
    TopicAlreadyExistsError,
    for_code,
)

from stream.errors import UserError
from stream.kafka.ending import leave
from stream.kafka.security import connection, refusal
from stream.kafka.settings import KafkaSettings

T = TypeVar("T")
Partition = tuple[str, int]

FOREVER = float("inf")  # as a topic's retention
REQUEST_SECONDS = 5.0  # one request; a hung broker is noticed after this and another asked
PAUSE_SECONDS = 0.1  # between two tries


class BrokerUnavailable(UserError):
    """No broker answered in time. A caller that can wait may ask again."""


class Admin:
    """The broker, as far as it answers questions. Entering it connects.

    *timeout* is how many seconds one question may take, all its tries together. Whatever it asks raises
    BrokerUnavailable when that is over, or UserError where the broker refuses.
    """

    def __init__(self, settings: KafkaSettings, *, timeout: float = 10.0) -> None:
        self._settings = settings
        self._timeout = timeout
        self._servers = ", ".join(settings.bootstrap_servers)

    async def __aenter__(self) -> "Admin":
        arguments = connection(self._settings) | {"request_timeout_ms": int(REQUEST_SECONDS * 1000)}
        self._client = AIOKafkaAdminClient(**arguments)
        self._reader = AIOKafkaConsumer(**arguments, isolation_level="read_committed", enable_auto_commit=False)
        try:
            with _Causes() as causes:
                await self._reach(causes)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await leave(self._reader)
        await self._client.close()

    async def partitions(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions each of these topics has. Raises UserError that names those which are missing."""
        found = await self._describe()
        wanted = list(topics)
        if missing := [topic for topic in wanted if topic not in found]:
            names = ", ".join(missing)
            raise UserError(
                f"no topic {names} at {self._servers}"
                if len(missing) == 1
                else f"no topics {names} at {self._servers}",
                "create what is missing, correct the name in the file, or let our user see it",
            )
        return {topic: len(found[topic]["partitions"]) for topic in wanted}

    async def has(self, topic: str) -> bool:
        """Whether there is such a topic, as far as our user sees."""
        return topic in await self._describe()

    async def ensure(
        self, topic: str, *, partitions: int, compacted: bool, create: bool, retention: float | None = None
    ) -> int:
        """How many partitions our own *topic* has, created where it is missing, each with a leader.

        *retention* is in seconds, or FOREVER; None: the broker's own. A topic that exists is left as it is. Raises
        UserError that says what to create where *create* is False.
        """
        found = await self._describe()
        configs = {"cleanup.policy": "compact"} if compacted else {}
        if retention is not None:
            configs["retention.ms"] = "-1" if retention == FOREVER else str(int(retention * 1000))
        if topic not in found:
            if not create:
                what = f"{partitions} partition{'s' * (partitions > 1)}"
                what += "".join(f" and {name}={value}" for name, value in configs.items())
                raise UserError(
                    f"no topic {topic} at {self._servers}",
                    f"create it with {what}, or set `kafka.create_topics: true`",
                )
            await self._create(topic, partitions, configs)
        return await self._ask(lambda: self._led(topic))

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """Give our own *topic* so many partitions in all, each with a leader."""

        async def ask() -> None:
            with suppress(InvalidPartitionsError):  # another process was faster
                await self._client.create_partitions({topic: NewPartitions(partitions)})

        await self._ask(ask)
        await self._ask(lambda: self._led(topic, partitions))

    async def group_offsets(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, str]]:
        """Position and metadata of those partitions for which *group* has committed one."""
        wanted = [TopicPartition(*partition) for partition in partitions]
        if not wanted:  # asking for none means asking for all
            return {}

        async def ask() -> dict[Partition, tuple[int, str]]:
            found = await self._client.list_consumer_group_offsets(group, partitions=wanted)
            if len(found) < len(wanted):  # the client overlooks an error that concerns the whole group
                raise GroupLoadInProgressError
            return {(p.topic, p.partition): (at.offset, at.metadata) for p, at in found.items() if at.offset >= 0}

        return await self._ask(ask)

    async def members(self, group: str) -> list[str]:
        """The ids of the group's members. A static one's is its `group_instance_id` with something random after it."""

        async def ask() -> list[str]:
            [answer] = await self._client.describe_consumer_groups([group])
            [(error, _, _, _, _, members, *_)] = answer.groups
            if error:
                raise for_code(error)
            return [member[0] for member in members]

        return await self._ask(ask)

    async def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that each partition still holds."""
        return await self._offsets(self._reader.beginning_offsets, partitions)

    async def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset after the last one that may be read: open transactions are not passed."""
        return await self._offsets(self._reader.end_offsets, partitions)

    async def _reach(self, causes: "_Causes") -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.start()
                await self._reader.start()
                await self._client.list_topics()  # by the address the broker advertises, which may be another one
        except (KafkaError, OSError, TimeoutError) as error:
            problem, hint = explain(causes.found[-1] if causes.found else error)
            raise BrokerUnavailable(f"no Kafka broker at {self._servers}: {problem}", hint) from error

    async def _describe(self) -> dict[str, Any]:
        """All topics: asking for one by name would make a broker create it that creates topics by itself."""
        return {topic["topic"]: topic for topic in await self._ask(self._client.describe_topics)}

    async def _create(self, topic: str, partitions: int, configs: dict[str, str]) -> None:
        # -1: as many replicas as the broker's default says. The empty assignment is what makes the client accept that.
        new = NewTopic(topic, partitions, -1, replica_assignments={}, topic_configs=configs)

        async def ask() -> None:
            try:
                [(_, code, message)] = (await self._client.create_topics([new])).topic_errors
            except AttributeError:  # how the client takes it when no controller is known, as during an election
                raise NotControllerError from None
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:  # another process may have been faster
                raise error(f"{topic}: {message}")

        await self._ask(ask)

    async def _led(self, topic: str, partitions: int = 1) -> int:
        """Metadata spreads after a topic was created: producing before each partition has a leader fails."""
        while True:
            for found in await self._client.describe_topics():
                there = found["partitions"] if found["topic"] == topic else []
                if len(there) >= partitions and all(partition["leader"] >= 0 for partition in there):
                    return len(there)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _offsets(
        self,
        ask: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]],
        partitions: Iterable[Partition],
    ) -> dict[Partition, int]:
        wanted = [TopicPartition(*partition) for partition in partitions]
        found = await self._ask(lambda: ask(wanted))
        return {(topic, partition): offset for (topic, partition), offset in found.items()}

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer. What may pass is asked again, until the time is over."""
        last: BaseException | None = None
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        return await question()
                    except KafkaError as error:
                        if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                            raise
                        last = error
                    await asyncio.sleep(PAUSE_SECONDS)
        except (TimeoutError, KafkaTimeoutError) as error:
            problem, hint = explain(last or error)
            raise BrokerUnavailable(f"the Kafka broker at {self._servers} did not answer: {problem}", hint) from last
        except KafkaError as error:
            raise UserError(f"the Kafka broker at {self._servers} refused: {error}") from error


def explain(error: BaseException) -> tuple[str, str]:
    """What kept us from the broker, in plain words, and what to do. Holds neither user name nor password."""
    if (found := refusal(error)) is not None:
        return found
    match error:
        case gaierror():
            return "the name is not known", "see kafka.bootstrap_servers, and the addresses that the broker advertises"
        case ConnectionRefusedError():
            return "the connection was refused", "is it running? see kafka.bootstrap_servers"
        case TimeoutError():
            return "no answer in time", "is it running? see kafka.bootstrap_servers and kafka.security.protocol"
        case OSError():
            text = (error.strerror or type(error).__name__).lower()
            return text, "see kafka.bootstrap_servers, and the addresses that the broker advertises"
        case _:
            return str(error), ""


class _Causes(logging.Filter):
    """Keeps the client's complaints from the log while we connect, and why it complained: it raises without a cause."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[BaseException] = []
        self._logger = logging.getLogger("aiokafka")

    def __enter__(self) -> "_Causes":
        self._logger.addFilter(self)
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)  # commands that show no logs have it higher: nothing would be asked of us
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)
        self._logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Nothing passes."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        self.found += [argument for argument in arguments if isinstance(argument, BaseException)]
        return False
