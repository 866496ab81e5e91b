"""Our own records: there when `send` returns, and refused or unconfirmed in words that tell the two apart."""

import random

import pytest

from stream.kafka.admin import BrokerUnavailable
from stream.kafka.producer import NotAcknowledged, Producer, TooLarge
from stream.kafka.settings import KafkaSettings
from tests.conftest import NewTopic
from tests.kafka.broker import Broker


def at(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[bootstrap])


async def test_a_record_is_there_when_send_returns(broker: Broker, topic: NewTopic) -> None:
    """Key, value, headers and the chosen partition are what a plain reader finds."""
    ours = await topic(partitions=3)

    async with Producer(at(broker.bootstrap)) as producer:
        offset = await producer.send(ours, key=b"k", value=b"v", headers=[("h", b"1"), ("h", b"2")], partition=2)
        [record] = await broker.read_all(ours)

    assert 0 == offset
    assert (2, b"k", b"v") == (record.partition, record.key, record.value)
    assert (("h", b"1"), ("h", b"2")) == tuple(record.headers)


async def test_a_record_without_key_and_value_is_written(broker: Broker, topic: NewTopic) -> None:
    """Its headers may be all that matters."""
    ours = await topic()

    async with Producer(at(broker.bootstrap)) as producer:
        await producer.send(ours, key=None, value=None, headers=[("why", b"too large")])

    [record] = await broker.read_all(ours)
    assert (("why", b"too large"),) == tuple(record.headers)


async def test_a_refused_record_leaves_the_next_ones_alone(broker: Broker, topic: NewTopic) -> None:
    """One that is too large says so at once; what follows is written."""
    ours = await topic(max_message_bytes="2000")
    noise = random.Random(1).randbytes(8000)  # does not compress

    async with Producer(at(broker.bootstrap)) as producer:
        await producer.send(ours, key=None, value=b"before")
        with pytest.raises(TooLarge):
            await producer.send(ours, key=None, value=noise)
        await producer.send(ours, key=None, value=b"after")

    assert [b"before", b"after"] == [record.value for record in await broker.read_all(ours)]


async def test_a_hung_broker_does_not_hang_the_caller(own_broker: Broker) -> None:
    """Within the timeout it is `NotAcknowledged`; when the broker answers again the same producer writes."""
    await own_broker.create("ours")
    async with Producer(at(own_broker.bootstrap), timeout=2) as producer:
        own_broker.pause()
        try:
            with pytest.raises(NotAcknowledged, match="ours: no acknowledgement within 2 s"):
                await producer.send("ours", key=None, value=b"first try")
        finally:
            own_broker.unpause()

        await own_broker.wait()
        while True:
            try:
                await producer.send("ours", key=None, value=b"second try")
                break
            except NotAcknowledged:
                continue

    assert b"second try" in [record.value for record in await own_broker.read_all("ours")]


async def test_no_broker_is_one_plain_error() -> None:
    """It names the servers."""
    with pytest.raises(BrokerUnavailable, match=r"no Kafka broker at 127\.0\.0\.1:1:"):
        async with Producer(at("127.0.0.1:1")):
            pass
