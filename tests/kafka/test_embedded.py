"""The demo's broker does what the demo needs of it; no container is involved."""

import asyncio
import socket

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream.kafka.admin import Admin
from stream.kafka.embedded import PARTITIONS, embedded_broker
from stream.kafka.producer import Producer
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings
from stream.kafka.transactions import Transactions


async def test_a_group_reads_commits_and_finds_its_metadata_again() -> None:
    """Produce, join, read, commit with metadata, read it back: the whole round that a pipeline needs."""
    with embedded_broker(["crm.events"]) as bootstrap:
        settings = KafkaSettings(bootstrap_servers=[bootstrap])
        async with Producer(settings) as producer:
            for number in range(20):
                await producer.send("crm.events", key=b"%d" % number, value=b"event")
        async with AIOKafkaConsumer(
            "crm.events",
            bootstrap_servers=bootstrap,
            group_id="crmstream.attio",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
        ) as consumer:
            seen = [(await consumer.getone()).key for _ in range(20)]
            await consumer.commit({TopicPartition("crm.events", 2): OffsetAndMetadata(1, "x" * 4096)})
        async with Admin(settings) as admin:
            committed = await admin.group_offsets("crmstream.attio", [("crm.events", p) for p in range(PARTITIONS)])
            ends = await admin.end_offsets([("crm.events", p) for p in range(PARTITIONS)])

    assert {b"%d" % number for number in range(20)} == set(seen)
    assert {("crm.events", 2): (1, "x" * 4096)} == committed
    assert 20 == sum(ends.values())


async def test_its_topics_are_there_from_the_start() -> None:
    """Ours count as existing, so a start creates none."""
    with embedded_broker(["crm.events", "crm.control"]) as bootstrap:
        async with Admin(KafkaSettings(bootstrap_servers=[bootstrap])) as admin:
            assert {"crm.events": PARTITIONS} == await admin.partitions(["crm.events"])
            assert PARTITIONS == await admin.ensure("crm.control", partitions=1, compacted=True, create=True)


async def test_a_journal_can_be_kept_on_it() -> None:
    """Transactions commit, so a destination whose calls must not be repeated works in the demo. It fences nobody."""
    with embedded_broker(["journal"]) as bootstrap:
        settings = KafkaSettings(bootstrap_servers=[bootstrap])
        async with reading(settings, "journal", starts={0: 0}) as reader:
            assert [] == [record async for record in reader.what_is_there()]
        writer = Transactions(settings, transactional_id="crm.sms.crm.events.0", topic="journal", partition=0)
        await writer.open()
        try:
            for _ in range(3):
                await asyncio.gather(*(writer.write((b"call", b"intent")) for _ in range(5)))
        finally:
            await writer.close()
        async with Admin(settings) as admin:
            ends = await admin.end_offsets([("journal", 0)])

    assert ends["journal", 0] >= 15


def test_it_ends_with_its_block() -> None:
    """Nothing listens afterwards."""
    with embedded_broker([]) as bootstrap:
        host, _, port = bootstrap.rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
