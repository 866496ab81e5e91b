"""The group's member on a real broker: what `tests/e2e` cannot show from outside."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from stream.core.offsets import Mark, OffsetTracker
from stream.kafka import source as opened
from stream.kafka.admin import Admin, BrokerUnavailable
from stream.kafka.settings import KafkaSettings
from stream.kafka.source import Source
from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent

SESSION = 6.0  # seconds


class Owner:
    """Takes its time over each assignment."""

    def __init__(self, seconds: float = 0.0, *, unavailable: int = 0) -> None:
        self.seconds = seconds
        self.unavailable = unavailable  # times that no broker answers what it asks
        self.assigned = self.revoked = 0
        self.trackers: Sequence[OffsetTracker] = ()

    async def assign(self, trackers: Sequence[OffsetTracker]) -> None:
        self.assigned += 1
        if self.assigned <= self.unavailable:
            raise BrokerUnavailable("no Kafka broker")
        self.trackers = trackers
        await asyncio.sleep(self.seconds)

    async def revoke(self) -> None:
        self.revoked += 1


@asynccontextmanager
async def member(broker: Broker, topic: str, owner: Owner, window: int = 100) -> AsyncIterator[Source]:
    """A member of a group of its own, whose partitions go to *owner*."""
    settings = KafkaSettings(bootstrap_servers=[broker.bootstrap], session_timeout=SESSION)
    async with Admin(settings) as admin:
        source = Source(settings, admin=admin, topics=[topic], group=f"{topic}.group", start="earliest", window=window)
        await source.open(owner)
        try:
            yield source
        finally:
            await source.close()


async def read(source: Source, count: int) -> list[bytes | None]:
    """So many values, in the order in which they come."""
    found: list[bytes | None] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            for _, records in await source.poll(100, timeout=0.2):
                found += [record.value for record in records]
    return found


async def test_an_assignment_that_takes_longer_than_the_session_keeps_it(broker: Broker, topic: NewTopic) -> None:
    """Reading a long journal must not cost the partitions it is read for."""
    name = await topic()
    await broker.produce(name, [b"1", b"2"])
    owner = Owner(SESSION + 2)
    async with member(broker, name, owner) as source:
        assert [b"1", b"2"] == await read(source, 2)
        await source.commit([Mark.of(tracker) for tracker in owner.trackers])
        assert (1, 1) == (owner.assigned, owner.revoked)


async def test_what_stands_does_not_fill_the_buffer(broker: Broker, topic: NewTopic) -> None:
    """Partitions with least to do are read first: else the contacts of those that go on wait behind one that stands."""
    name = await topic(partitions=2)
    await broker.produce(name, [Sent(bytes(1000), partition=number % 2) for number in range(4_000)])
    owner, polled = Owner(), Counter[int]()
    async with member(broker, name, owner, window=2_000) as source, asyncio.timeout(30):
        while sum(polled.values()) < 2_000:
            for tracker, records in await source.poll(100, timeout=0.2):
                polled[tracker.partition] += len(records)
                for record in records:
                    tracker.admit(record.offset)
                    if tracker.partition == 0:
                        tracker.settle(record.offset, "delivered")
            await asyncio.sleep(0.05)  # what is fetched ahead is there again

    assert polled[0] > 3 * polled[1]


async def test_a_broker_that_is_away_while_partitions_come_is_waited_for(
    broker: Broker, topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes, without leaving the group: the member has not lost its place."""
    monkeypatch.setattr(opened, "AGAIN_SECONDS", 0.1)
    name = await topic()
    await broker.produce(name, [b"1", b"2"])
    owner = Owner(unavailable=3)
    async with member(broker, name, owner) as source:
        assert [b"1", b"2"] == await read(source, 2)
        assert (4, 1) == (owner.assigned, owner.revoked)


async def test_a_client_that_cancels_itself_does_not_end_us(
    broker: Broker, topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancelled task looks like a clean end to whoever waits for it, and hides why it ends."""
    async with member(broker, await topic(), Owner()) as source:
        stop = source._client.stop

        async def cancelled() -> None:
            await stop()
            raise asyncio.CancelledError

        monkeypatch.setattr(source._client, "stop", cancelled)


async def test_a_client_that_does_not_end_keeps_nobody_from_ending(
    broker: Broker, topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wait for an answer that never comes, with everything committed."""
    monkeypatch.setattr(opened, "LEAVE_SECONDS", 0.2)
    async with member(broker, await topic(), Owner()) as source:
        consumer = source._client
        monkeypatch.setattr(consumer._coordinator, "close", asyncio.Event().wait)

        await asyncio.wait_for(source.close(), 10)

        monkeypatch.undo()
        await consumer._coordinator.close()
        await consumer._client.close()


async def test_who_asks_for_its_partitions_anew_gets_them(broker: Broker, topic: NewTopic) -> None:
    """They are revoked and assigned again, and what was not committed is read again."""
    name = await topic()
    await broker.produce(name, [b"1", b"2"])
    owner = Owner()
    async with member(broker, name, owner) as source:
        assert [b"1", b"2"] == await read(source, 2)
        source.rejoin()
        assert [b"1", b"2"] == await read(source, 2)
        assert (2, 2) == (owner.assigned, owner.revoked)
