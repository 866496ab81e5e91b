"""Dead letters: the record as it came, the reason beside it, and nothing counted as buried that is not."""

import asyncio
import hashlib
import random
from dataclasses import replace

import pytest

from stream.core.health import Bury
from stream.errors import UserError
from stream.kafka.producer import Producer
from stream.kafka.settings import KafkaSettings
from stream.topics.dead_letters import DeadLetters, Letter, letters
from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent
from tests.unit.partition import LogRecord

REFUSED = Bury("rejected", "no such field")
NOON = 1_700_000_000.0  # 2023-11-14T22:13:20Z


CAME = LogRecord(42, b'{"type": "identify"}', timestamp=0, key=b"user-1", topic="crm.events", partition=3)


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


async def bury(producer: Producer, topic: str, record: LogRecord, because: Bury = REFUSED) -> None:
    burials = DeadLetters(producer, topic=topic, destination="attio", wall=lambda: NOON)
    await burials.bury(record, because, attempts=1, first_failed_at=None)


async def found(broker: Broker, topic: str) -> list[Letter]:
    return [letter async for letter in letters(at(broker), topic)]


async def test_a_letter_keeps_the_record_and_says_why(broker: Broker, topic: NewTopic) -> None:
    """Key, value and headers are the record's; Kafka Connect's headers and ours name place and reason."""
    dead = await topic()

    async with Producer(at(broker)) as producer:
        await bury(producer, dead, replace(CAME, headers=(("trace", b"abc"),)), Bury("rejected", "no such field", 422))

    [record] = await broker.read_all(dead)
    headers = dict(record.headers)
    assert (b"user-1", b'{"type": "identify"}', b"abc") == (record.key, record.value, headers["trace"])
    assert {
        "__connect.errors.topic": b"crm.events",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"42",
        "__connect.errors.connector.name": b"attio",
        "crmstream.destination": b"attio",
        "crmstream.reason": b"rejected",
        "crmstream.detail": b"no such field",
        "crmstream.status": b"422",
        "crmstream.attempts": b"1",
        "crmstream.first_failed_at": b"2023-11-14T22:13:20.000Z",
    }.items() <= headers.items()


async def test_headers_of_an_earlier_letter_do_not_pass_for_this_one(broker: Broker, topic: NewTopic) -> None:
    """A replayed record carries old words about itself: ours win, only the replay's mark stays."""
    dead = await topic()
    old = [("crmstream.status", b"500"), ("crmstream.reason", b"exhausted"), ("crmstream.replay", b"attio/e/0/1#1")]

    async with Producer(at(broker)) as producer:
        await bury(producer, dead, replace(CAME, headers=(*old, ("trace", b"abc"))))

    [letter] = await found(broker, dead)
    assert ("rejected", None) == (letter.about.reason, letter.about.status)
    assert [("crmstream.replay", b"attio/e/0/1#1"), ("trace", b"abc")] == letter.headers


async def test_a_letter_that_was_written_twice_is_read_once(broker: Broker, topic: NewTopic) -> None:
    """Identity is destination, topic, partition and offset; records that are no letters are passed over."""
    dead = await topic(partitions=3)
    await broker.produce(dead, [Sent(b"not a letter")])

    async with Producer(at(broker)) as producer:
        for offset in (1, 2, 1, 3, 2):
            await bury(producer, dead, replace(CAME, offset=offset))

    assert [1, 2, 3] == sorted(letter.about.offset for letter in await found(broker, dead))
    assert 6 == sum((await broker.ends(dead)).values())


async def test_a_value_that_is_too_large_is_left_out_with_its_hash(broker: Broker, topic: NewTopic) -> None:
    """The letter is there all the same, and says where the value is missing."""
    dead = await topic(max_message_bytes="4000")
    value = random.Random(1).randbytes(20_000)

    async with Producer(at(broker)) as producer:
        await bury(producer, dead, replace(CAME, value=value))

    [record] = await broker.read_all(dead)
    digest = hashlib.sha256(value).hexdigest()
    assert record.value is None
    assert {"crmstream.value": b"omitted", "crmstream.value_sha256": digest.encode()}.items() <= dict(
        record.headers
    ).items()
    [letter] = await found(broker, dead)
    assert (None, digest) == (letter.value, letter.value_sha256)


async def test_headers_that_are_too_large_are_left_out_as_well(broker: Broker, topic: NewTopic) -> None:
    """Nothing about a record keeps its letter from being written."""
    dead = await topic(max_message_bytes="4000")

    async with Producer(at(broker)) as producer:
        await bury(producer, dead, replace(CAME, key=None, headers=(("huge", random.Random(1).randbytes(20_000)),)))

    [letter] = await found(broker, dead)
    assert 42 == letter.about.offset


async def test_a_burial_waits_for_a_broker_that_hangs(own_broker: Broker) -> None:
    """It returns after the broker answers again, and the letter is there."""
    await own_broker.create("dead")
    async with Producer(at(own_broker), timeout=1) as producer:
        own_broker.pause()
        burial = asyncio.create_task(bury(producer, "dead", CAME))
        await asyncio.sleep(2.5)
        assert not burial.done()

        own_broker.unpause()
        await asyncio.wait_for(burial, 60)

    assert [42] == [letter.about.offset for letter in await found(own_broker, "dead")]


async def test_letters_of_a_topic_that_does_not_exist_are_an_error(broker: Broker) -> None:
    """A mistyped name must not look like an empty topic."""
    with pytest.raises(UserError, match=r"no topic no\.such\.topic at"):
        await found(broker, "no.such.topic")
