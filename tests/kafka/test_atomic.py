"""Records of several topics in one transaction: all or none, and one writer at a time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from stream.errors import UserError
from stream.kafka.atomic import Atomic, Row
from stream.kafka.producer import TooLarge
from stream.kafka.settings import KafkaSettings
from tests.conftest import NewTopic
from tests.kafka.broker import Broker


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


@asynccontextmanager
async def leading_to(broker: Broker, port: socket.socket) -> AsyncIterator[None]:
    """The broker can be reached at this port too, which is bound."""
    host, _, number = broker.bootstrap.rpartition(":")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, onward = await asyncio.open_connection(host, int(number))
        await asyncio.gather(_pass_on(reader, onward), _pass_on(answers, writer))

    async with await asyncio.start_server(connected, sock=port):
        yield


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(65536):
            writer.write(some)
    writer.close()


async def values(broker: Broker, topic: str) -> list[bytes]:
    return [record.value for record in await broker.read_all(topic)]


async def test_what_is_written_together_is_there_together(broker: Broker, topic: NewTopic) -> None:
    """With headers, and in the partition that was named."""
    one, other = await topic(partitions=2), await topic()

    async with Atomic(at(broker), f"{one}.id") as writer:
        for n in b"1", b"2":
            await writer.write([Row(one, b"k", n, (("trace", b"abc"),), 1), Row(other, b"k", n)])

    assert [(1, b"1"), (1, b"2")] == [(record.partition, record.value) for record in await broker.read_all(one)]
    assert (("trace", b"abc"),) == (await broker.read_all(one))[0].headers
    assert [b"1", b"2"] == await values(broker, other)


async def test_of_what_one_topic_refuses_the_other_gets_nothing(broker: Broker, topic: NewTopic) -> None:
    """A record that is too large takes its company with it."""
    one, small = await topic(), await topic(max_message_bytes="1000")
    large = Random(1).randbytes(20_000)  # which no compression makes smaller

    async with Atomic(at(broker), f"{one}.id") as writer:
        await writer.write([Row(one, b"k", b"fine")])
        with pytest.raises(TooLarge):
            await writer.write([Row(one, b"k", b"lost"), Row(small, b"k", large)])

    assert ([b"fine"], []) == (await values(broker, one), await values(broker, small))


async def test_who_begins_later_shuts_out_who_was_there(broker: Broker, topic: NewTopic) -> None:
    """Two that replay at a time would repeat each other."""
    name = await topic()
    async with Atomic(at(broker), f"{name}.id") as former, Atomic(at(broker), f"{name}.id") as later:
        with pytest.raises(UserError, match="another one was begun meanwhile"):
            await former.write([Row(name, b"k", b"too late")])
        await later.write([Row(name, b"k", b"fine")])

    assert [b"fine"] == await values(broker, name)


async def test_what_a_killed_writer_left_open_is_undone_by_the_next(broker: Broker, topic: NewTopic) -> None:
    """At once, not when its time is up: readers would stand still until then."""
    name = await topic()
    killed = Atomic(at(broker), f"{name}.id")
    await killed.__aenter__()
    await killed._client.begin_transaction()
    await killed._client.send_and_wait(name, b"half", key=b"k")

    async with Atomic(at(broker), f"{name}.id") as writer:
        await writer.write([Row(name, b"k", b"whole")])
        assert [b"whole"] == await values(broker, name)
    await killed._client.stop()


async def test_a_broker_that_is_just_coming_back_is_waited_for(broker: Broker, topic: NewTopic) -> None:
    """Its port refuses at first, as while it starts."""
    name, port = await topic(), socket.socket()
    port.bind(("127.0.0.1", 0))
    settings = KafkaSettings(bootstrap_servers=[f"127.0.0.1:{port.getsockname()[1]}"])

    async def write() -> None:
        async with Atomic(settings, f"{name}.id") as writer:
            await writer.write([Row(name, b"k", b"fine")])

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.3)
    async with leading_to(broker, port):
        await writing

    assert [b"fine"] == await values(broker, name)


async def test_an_interrupted_write_is_undone(broker: Broker, topic: NewTopic) -> None:
    """Ctrl-C while the broker is slow leaves nothing behind, and readers go on."""
    name = await topic()
    async with Atomic(at(broker), f"{name}.id") as writer:
        await writer._client.begin_transaction()
        writer._begun = True
        await writer._client.send_and_wait(name, b"half", key=b"k")
    await broker.produce(name, [b"next"])

    async with asyncio.timeout(10):
        assert [b"next"] == await values(broker, name)
