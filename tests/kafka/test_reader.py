"""Reading a whole topic outside any group, where the broker is not there at once."""

import asyncio
import time
from typing import Any

import pytest
from aiokafka import TopicPartition

from stream.kafka import reader
from stream.kafka.admin import BrokerUnavailable
from stream.kafka.settings import KafkaSettings
from tests.conftest import NewTopic
from tests.e2e.members import free_port
from tests.kafka.broker import Broker

AWAY_SECONDS = 1.5


async def test_a_broker_that_is_away_for_a_moment_is_waited_for(broker: Broker, topic: NewTopic) -> None:
    """A member may be given partitions just when a broker restarts: that must not end it."""
    name, port = await topic(), free_port()
    await broker.produce(name, [b"1", b"2"])
    began = time.monotonic()

    reading = asyncio.create_task(read(KafkaSettings(bootstrap_servers=[f"127.0.0.1:{port}"]), name))
    await asyncio.sleep(AWAY_SECONDS)
    assert not reading.done()
    async with await asyncio.start_server(lambda *ends: passed_on(broker, *ends), "127.0.0.1", port):
        found = await reading

    assert [b"1", b"2"] == found
    assert time.monotonic() > began + AWAY_SECONDS


class Silent:
    """A client that knows of records, and gets none."""

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """One record in each."""
        return dict.fromkeys(partitions, 1)

    async def position(self, partition: TopicPartition) -> int:
        """Before it."""
        return 0

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """Nothing."""
        await asyncio.sleep(0.01)
        return {}


async def test_what_never_comes_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that is stuck while it takes partitions on would hold up its whole group."""
    monkeypatch.setattr(reader, "STALL_SECONDS", 0.1)
    silent: Any = Silent()

    with pytest.raises(BrokerUnavailable, match=r"nothing more of crm\.state"):
        [_ async for _ in reader.Reader(silent, [TopicPartition("crm.state", 0)]).what_is_there()]


async def read(settings: KafkaSettings, topic: str) -> list[bytes | None]:
    """The values of partition 0."""
    async with reader.reading(settings, topic, starts={0: 0}) as opened:
        return [record.value async for record in opened.what_is_there()]


async def passed_on(broker: Broker, caller: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
    """The broker at another address; what it is asked there first is where it really is."""
    host, port = broker.bootstrap.rsplit(":", 1)
    there, calls = await asyncio.open_connection(host, int(port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(copied(caller, calls))
        tasks.create_task(copied(there, answers))


async def copied(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Byte for byte, until it ends."""
    while received := await source.read(65_536):
        target.write(received)
    target.close()
