"""Topics of our own beside the source's: as many partitions, at the start and when the source grows."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from stream.core.offsets import OffsetTracker
from stream.errors import UserError
from stream.kafka.admin import Admin
from stream.kafka.settings import KafkaSettings
from stream.topics import names
from stream.topics.beside import Beside, Kind
from stream.topics.journal import journals
from stream.topics.state import changelogs
from tests.conftest import NewTopic
from tests.kafka.broker import Broker

GROUP = "crmstream.attio"


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


def trackers(topic: str, *partitions: int) -> list[OffsetTracker]:
    return [OffsetTracker(topic, partition, 0) for partition in partitions]


async def grow(broker: Broker, topic: str, partitions: int) -> None:
    """Give a topic so many, as an operator would; return when they are seen."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_partitions({topic: NewPartitions(partitions)})
    finally:
        await admin.close()
    while len(await broker.ends(topic)) < partitions:  # noqa: ASYNC110 - the broker sets no event
        await asyncio.sleep(0.05)


async def test_ours_grows_when_a_partition_is_assigned_that_was_not_there(broker: Broker, topic: NewTopic) -> None:
    """While it runs, before those that write there hear of it; where all were there, nothing is asked or made."""
    events = await topic(partitions=2)
    changelog = names.state(GROUP, events)
    async with Admin(at(broker)) as admin:
        beside = Beside(admin, changelogs(GROUP), create=True)
        await beside.ensure([events])
        assert {0, 1} == set(await broker.ends(changelog))
        await grow(broker, events, 3)

        await beside.assigned(trackers(events, 0, 1))
        assert {0, 1} == set(await broker.ends(changelog))
        await beside.assigned(trackers(events, 1, 2))
        assert {0, 1, 2} == set(await broker.ends(changelog))


@pytest.mark.parametrize("kind", [changelogs(GROUP), journals(GROUP)], ids=["state", "journal"])
async def test_too_few_partitions_are_an_error_where_we_may_not_add_any(
    broker: Broker, topic: NewTopic, kind: Kind
) -> None:
    """Its name, what it has and what it needs are said."""
    events = await topic(partitions=3)
    await broker.create(kind.name(events), 2)

    async with Admin(at(broker)) as admin:
        with pytest.raises(UserError, match=r"has 2 partitions, and .* has 3") as caught:
            await Beside(admin, kind, create=False).ensure([events])

    assert f"give {kind.name(events)} as many" in caught.value.hint
    assert {0, 1} == set(await broker.ends(kind.name(events)))


@pytest.mark.parametrize(
    "kind, wanted",
    [
        (changelogs(GROUP), "3 partitions and cleanup.policy=compact"),
        (journals(GROUP), "3 partitions and retention.ms=604800000"),
    ],
    ids=["state", "journal"],
)
async def test_a_topic_that_we_may_not_create_is_an_error_that_says_how(
    broker: Broker, topic: NewTopic, kind: Kind, wanted: str
) -> None:
    """What was asked for is named, and nothing is made."""
    events = await topic(partitions=3)

    async with Admin(at(broker)) as admin:
        with pytest.raises(UserError) as caught:
            await Beside(admin, kind, create=False).ensure([events])

    assert f"create it with {wanted}" in caught.value.hint
    assert kind.name(events) not in await broker.topics()
