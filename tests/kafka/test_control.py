"""Operators' commands reach every member, also one that starts later."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

from schemas.control import Command
from stream.kafka.producer import Producer
from stream.kafka.settings import KafkaSettings
from stream.topics.control import current, follow, write
from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PAUSE = Command(action="pause", at=NOON, reason="migration")
RESUME = Command(action="resume", at=NOON)


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


async def test_a_command_is_json_under_the_destinations_name(broker: Broker, topic: NewTopic) -> None:
    """Other tools can read and write it."""
    control = await topic(cleanup_policy="compact")

    async with Producer(at(broker)) as producer:
        await write(producer, control, "attio", PAUSE)

    [record] = await broker.read_all(control)
    assert b"attio" == record.key
    assert b'{"action":"pause","at":"2024-05-01T12:00:00Z","reason":"migration"}' == record.value


async def test_a_member_that_starts_later_knows_the_last_word(broker: Broker, topic: NewTopic) -> None:
    """What was said before does not flicker past; a withdrawn command and foreign records count for nothing."""
    control = await topic(cleanup_policy="compact")
    async with Producer(at(broker)) as producer:
        await write(producer, control, "attio", PAUSE)
        await write(producer, control, "attio", RESUME)
        await write(producer, control, "sms", PAUSE)
        await write(producer, control, "gone", PAUSE)
    await broker.produce(control, [Sent(None, b"gone"), Sent(b"not a command", b"sms")])

    assert {"attio": RESUME, "sms": PAUSE} == await current(at(broker), control)


async def test_a_command_reaches_a_member_that_runs(broker: Broker, topic: NewTopic) -> None:
    """First what holds now, even when that is nothing, then each change."""
    control = await topic(cleanup_policy="compact")

    async with asyncio.timeout(30), Producer(at(broker)) as producer, aclosing(follow(at(broker), control)) as commands:
        assert {} == await anext(commands)
        await write(producer, control, "attio", PAUSE)
        assert {"attio": PAUSE} == await anext(commands)
        await write(producer, control, "attio", PAUSE)
        await write(producer, control, "attio", RESUME)
        assert {"attio": RESUME} == await anext(commands)
