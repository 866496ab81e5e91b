"""Receipts on a real broker: what was committed, not too often, and never in the way of those who commit."""

import asyncio
from datetime import UTC, datetime

import orjson
from structlog.testing import capture_logs

from stream.core.balance import Point
from stream.core.offsets import OUTCOMES, Mark, OffsetTracker
from stream.kafka.producer import Producer
from stream.kafka.settings import KafkaSettings
from stream.topics.receipts import Receipts, receipts
from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent

NOON = 1_714_564_800.25  # 2024-05-01T12:00:00.25Z
NOTHING = dict.fromkeys(OUTCOMES, 0)


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


def writing(producer: Producer, topic: str) -> Receipts:
    return Receipts(producer, topic=topic, group="crm.attio", destination="attio", wall=lambda: NOON)


def tracking(*settled: int, partition: int = 3) -> OffsetTracker:
    """A partition of which a hundred records were read and these were delivered."""
    tracker = OffsetTracker("crm.events", partition, 0)
    for offset in range(100):
        tracker.admit(offset)
    for offset in settled:
        tracker.settle(offset, "delivered")
    return tracker


async def found(broker: Broker, topic: str) -> list[tuple[bytes, Point]]:
    return [receipt async for receipt in receipts(at(broker), topic)]


async def test_a_receipt_says_what_was_committed(broker: Broker, topic: NewTopic) -> None:
    """The shape of design section 7; what is settled above the position only where there is some."""
    ours = await topic()
    tracker = tracking(0, 1)

    async with Producer(at(broker)) as producer:
        written = writing(producer, ours)
        written.note([Mark.of(tracker)])
        await written.finish()
        tracker.settle(7, "filtered")
        written.note([Mark.of(tracker)])
        await written.finish()

    first, second = await broker.read_all(ours)
    assert b"crm.attio/crm.events/3" == first.key
    shape = {"destination": "attio", "topic": "crm.events", "partition": 3, "position": 2}
    totals = NOTHING | {"delivered": 2}
    assert shape | {"totals": totals, "at": "2024-05-01T12:00:00.250000Z"} == orjson.loads(first.value)
    totals = totals | {"filtered": 1}
    assert {"totals": totals, "settled_above": 1}.items() <= orjson.loads(second.value).items()
    assert datetime.fromtimestamp(first.timestamp / 1000, UTC) == datetime.fromtimestamp(NOON, UTC)


async def test_receipts_are_read_as_they_were_written(broker: Broker, topic: NewTopic) -> None:
    """Records that are no receipts are passed over."""
    ours = await topic(partitions=2)
    await broker.produce(ours, [Sent(b"not a receipt"), Sent(None, b"gone"), Sent(b'{"position": -1}', b"odd")])

    async with Producer(at(broker)) as producer:
        written = writing(producer, ours)
        written.note([Mark.of(tracking(0, 1, 5)), Mark.of(tracking(partition=4))])
        await written.finish()

    assert [
        (b"crm.attio/crm.events/3", Point(2, NOTHING | {"delivered": 3}, 1, NOON)),
        (b"crm.attio/crm.events/4", Point(0, NOTHING, 0, NOON)),
    ] == await found(broker, ours)


async def test_a_partition_has_few_receipts(broker: Broker, topic: NewTopic) -> None:
    """The first, then ever fewer, the last at the end, however often it was committed; none where nothing changed."""
    ours = await topic()
    tracker = tracking()

    async with Producer(at(broker)) as producer:
        written = writing(producer, ours)
        regularly = asyncio.create_task(written.write_regularly())
        for offset in range(80):
            written.note([Mark.of(tracker), Mark.of(tracking(0, partition=4))])
            tracker.settle(offset, "delivered")
            await asyncio.sleep(0.05)
        regularly.cancel()
        await written.finish()

    receipts_of = {
        partition: [point.position for key, point in await found(broker, ours) if key.endswith(partition)]
        for partition in (b"3", b"4")
    }
    assert [1] == receipts_of[b"4"]
    assert (0, 79) == (receipts_of[b"3"][0], receipts_of[b"3"][-1])
    assert 4 <= len(receipts_of[b"3"]) <= 6


async def test_a_partition_s_first_commit_is_not_passed_over(broker: Broker, topic: NewTopic) -> None:
    """However short the member lives: a position that somebody moved shows there."""
    ours = await topic()
    tracker = tracking()

    async with Producer(at(broker)) as producer:
        written = writing(producer, ours)
        for offset in range(5):
            written.note([Mark.of(tracker)])
            tracker.settle(offset, "delivered")
        await written.finish()

    assert [0, 4] == [point.position for _, point in await found(broker, ours)]


async def test_a_broker_that_hangs_delays_nobody(own_broker: Broker) -> None:
    """Noting waits for nothing, and the end for a moment at most; the next receipts are written again."""
    await own_broker.create("receipts")
    async with Producer(at(own_broker), timeout=20) as producer:
        written = writing(producer, "receipts")
        written.note([Mark.of(tracking(0))])
        own_broker.pause()
        with capture_logs() as said:
            await written.finish()
        assert ["no acknowledgement in time"] == [line["reason"] for line in said]
        own_broker.unpause()
        await own_broker.wait()
        written.note([Mark.of(tracking(0, 1))])
        await written.finish()

    assert 2 == (await found(own_broker, "receipts"))[-1][1].position
