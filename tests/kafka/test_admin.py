"""What the broker is asked: answers are complete, refusals say what to do."""

import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import OffsetAndMetadata

from stream.errors import UserError
from stream.kafka.admin import FOREVER, Admin, BrokerUnavailable
from stream.kafka.settings import KafkaSettings
from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent


def at(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[bootstrap])


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def commit(broker: Broker, group: str, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False
    ) as consumer:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)


async def test_an_unreachable_broker_is_one_plain_error(closed_port: str, caplog: pytest.LogCaptureFixture) -> None:
    """It names the servers and the cause, and the client's own complaints stay out of the log."""
    with caplog.at_level(logging.WARNING), pytest.raises(BrokerUnavailable) as refused:
        async with Admin(at(closed_port)):
            pass

    assert f"no Kafka broker at {closed_port}: the connection was refused" == refused.value.text
    assert "kafka.bootstrap_servers" in refused.value.hint
    assert [] == caplog.messages


async def test_an_unknown_name_is_one_plain_error(caplog: pytest.LogCaptureFixture) -> None:
    """A host name that resolves to nothing is told apart from a refused connection."""
    with pytest.raises(BrokerUnavailable, match="the name is not known"):
        async with Admin(at("kafka.invalid:9092")):
            pass


async def test_a_silent_broker_is_given_up_in_time(silent_port: str) -> None:
    """A port that accepts and never answers does not hang the start."""
    started = time.monotonic()

    with pytest.raises(BrokerUnavailable, match="no answer in time"):
        async with Admin(at(silent_port), timeout=1):
            pass

    assert time.monotonic() - started < 3


async def test_partitions_are_counted(broker: Broker, topic: NewTopic) -> None:
    """Two topics, each with its number."""
    one, two = await topic(partitions=1), await topic(partitions=3)

    async with Admin(at(broker.bootstrap)) as admin:
        assert {one: 1, two: 3} == await admin.partitions([one, two])


async def test_a_missing_source_topic_is_named(broker: Broker, topic: NewTopic) -> None:
    """Only the missing ones are named, and none is created by asking."""
    there = await topic()

    async with Admin(at(broker.bootstrap)) as admin:
        with pytest.raises(UserError, match=r"no topics not\.here, nor\.here at"):
            await admin.partitions([there, "not.here", "nor.here"])
        with pytest.raises(UserError, match=r"no topic not\.here at"):
            await admin.partitions(["not.here"])


async def test_a_topic_is_asked_for_by_name_and_not_created_by_that(
    broker: Broker, topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands of others, and a broker that creates topics by itself must not."""
    there, sent = await topic(), []
    send = AIOKafkaConnection.send

    def noted(connection: AIOKafkaConnection, request: Any, *rest: Any, **options: Any) -> Any:
        if isinstance(request, MetadataRequest):
            sent.append((request._topics, request._allow_auto_topic_creation))
        return send(connection, request, *rest, **options)

    monkeypatch.setattr(AIOKafkaConnection, "send", noted)
    async with Admin(at(broker.bootstrap)) as admin:
        assert {there: 1} == await admin.partitions([there])
        assert not await admin.has("not.here")

    assert [([there], False), (["not.here"], False)] == [each for each in sent if each[0] != []]


async def test_our_own_topic_is_created_once_and_compacted(broker: Broker) -> None:
    """It can be written at once; a second start finds it and leaves it as it is."""
    async with Admin(at(broker.bootstrap)) as admin:
        assert 2 == await admin.ensure("ours.compacted", partitions=2, compacted=True, create=True)
        assert 2 == await admin.ensure("ours.compacted", partitions=5, compacted=False, create=True)

    assert 1 == await broker.produce("ours.compacted", [Sent(b"at once", b"key")])
    assert "compact" == await broker.config("ours.compacted", "cleanup.policy")


async def test_a_topic_is_kept_for_as_long_as_asked(broker: Broker) -> None:
    """A dead letter that is gone is an event that is lost."""
    async with Admin(at(broker.bootstrap)) as admin:
        await admin.ensure("ours.letters", partitions=1, compacted=False, create=True, retention=FOREVER)
        await admin.ensure("ours.journal", partitions=1, compacted=False, create=True, retention=60.0)

    assert "-1" == await broker.config("ours.letters", "retention.ms")
    assert "60000" == await broker.config("ours.journal", "retention.ms")


async def test_a_topic_that_may_not_be_created_is_an_error_that_says_how(broker: Broker) -> None:
    """`kafka.create_topics: false` leaves it to the operator, who needs to know what to create."""
    async with Admin(at(broker.bootstrap)) as admin:
        with pytest.raises(UserError) as refused:
            await admin.ensure("ours.absent", partitions=3, compacted=True, create=False)

    assert refused.value.text.startswith("no topic ours.absent at")
    assert refused.value.hint.startswith("create it with 3 partitions and cleanup.policy=compact")


async def test_committed_positions_come_with_their_metadata(broker: Broker, topic: NewTopic) -> None:
    """4,096 characters of it, and partitions without a position are left out."""
    events = await topic(partitions=3)
    text = "x" * 4096
    await commit(broker, "readers", {TopicPartition(events, 1): OffsetAndMetadata(7, text)})

    async with Admin(at(broker.bootstrap)) as admin:
        found = await admin.group_offsets("readers", [(events, partition) for partition in range(3)])
        nothing = await admin.group_offsets("never.seen", [(events, 0)])

    assert {(events, 1): (7, text)} == found
    assert {} == nothing


async def test_logs_have_a_beginning_and_an_end(broker: Broker, topic: NewTopic) -> None:
    """Deleted records move the beginning."""
    events = await topic(partitions=2)
    await broker.produce(events, [b"one"])
    [(partition, _)] = [(p, end) for p, end in (await broker.ends(events)).items() if end]
    await broker.delete_before(events, partition, 1)

    async with Admin(at(broker.bootstrap)) as admin:
        both = [(events, 0), (events, 1)]
        begins, ends = await admin.begin_offsets(both), await admin.end_offsets(both)

    assert {(events, partition): 1, (events, 1 - partition): 0} == begins == ends


async def test_the_first_question_about_a_log_is_answered_at_once(broker: Broker, topic: NewTopic) -> None:
    """Its leader is known when it is asked, where the client alone would find none, pause and try again."""
    events = await topic()

    async with Admin(at(broker.bootstrap), timeout=3) as admin:
        admin._reader._fetcher._retry_backoff = 60
        found = await admin.begin_offsets([(events, 0)])

    assert {(events, 0): 0} == found


async def test_a_broker_that_hangs_is_unavailable_and_answers_again_later(own_broker: Broker) -> None:
    """A question during the hang fails in time, never with an empty answer; the same connection object recovers."""
    await own_broker.create("crm.events")
    async with Admin(at(own_broker.bootstrap), timeout=2) as admin:
        own_broker.pause()
        try:
            with pytest.raises(BrokerUnavailable):
                await admin.group_offsets("readers", [("crm.events", 0)])
            with pytest.raises(BrokerUnavailable):
                await admin.end_offsets([("crm.events", 0)])
        finally:
            own_broker.unpause()

        await own_broker.wait()
        assert {("crm.events", 0): 0} == await admin.end_offsets([("crm.events", 0)])
