"""One writer a partition: who opens its transactions later is the only one who can write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stream.kafka.settings import KafkaSettings
from stream.kafka.transactions import Lost, Transactions
from tests.conftest import NewTopic
from tests.kafka.broker import Broker


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


@asynccontextmanager
async def opened(broker: Broker, topic: str) -> AsyncIterator[Transactions]:
    """A writer that fenced whoever wrote to partition 0 before."""
    writer = Transactions(at(broker), transactional_id=f"{topic}.0", topic=topic, partition=0)
    await writer.open()
    try:
        yield writer
    finally:
        await writer.close()


async def values(broker: Broker, topic: str) -> list[bytes]:
    return [record.value for record in await broker.read_all(topic)]


async def test_who_opens_later_is_the_only_one_who_writes(broker: Broker, topic: NewTopic) -> None:
    """A member that was replaced learns it by its next write, and nothing of that write is ever read."""
    name = await topic()
    async with opened(broker, name) as former:
        await former.write((b"a", b"before"))
        async with opened(broker, name) as later:
            with pytest.raises(Lost, match="ProducerFenced"):
                await former.write((b"a", b"too late"))
            await later.write((b"a", b"after"))

    assert former.lost
    assert [b"before", b"after"] == await values(broker, name)


async def test_a_fenced_writer_stays_fenced(broker: Broker, topic: NewTopic) -> None:
    """It does not open anew by itself: the other one would be fenced in turn."""
    name = await topic()
    async with opened(broker, name) as former, opened(broker, name) as later:
        for _ in range(2):
            with pytest.raises(Lost):
                await former.write((b"a", b"too late"))
        await later.write((b"a", b"after"))

    assert [b"after"] == await values(broker, name)


async def test_what_the_former_owner_left_open_is_undone_by_opening(broker: Broker, topic: NewTopic) -> None:
    """A member that died within a transaction holds nobody up, though its time is not over."""
    name = await topic()
    async with opened(broker, name) as dying:
        assert dying._client is not None
        await dying._client.begin_transaction()
        await dying._client.send_and_wait(name, b"half", key=b"a", partition=0)
        async with asyncio.timeout(10), opened(broker, name) as heir:
            await heir.write((b"a", b"whole"))

            assert [b"whole"] == await values(broker, name)


async def test_writes_that_wait_together_share_a_transaction(broker: Broker, topic: NewTopic) -> None:
    """Each transaction leaves a marker in the log: the end tells how many there were."""
    name = await topic()
    async with opened(broker, name) as writer:
        await asyncio.gather(*(writer.write((b"a", b"%d" % number)) for number in range(50)))

    assert {b"%d" % number for number in range(50)} == set(await values(broker, name))
    assert {0: 52} == await broker.ends(name), "one for the first, one for all that waited for it"


# A broker that is away


async def test_a_write_waits_for_a_broker_that_hangs(own_broker: Broker) -> None:
    """It returns once the broker answers again, and what it wrote is there once."""
    await own_broker.create("journal")
    async with opened(own_broker, "journal") as writer:
        await writer.write((b"a", b"before"))
        own_broker.pause()
        write = asyncio.create_task(writer.write((b"a", b"during")))
        await asyncio.sleep(7)  # longer than a request may take
        assert not write.done()

        own_broker.unpause()
        async with asyncio.timeout(30):
            await write

    async with opened(own_broker, "journal"):  # as whoever reads a journal does: that waits until all is decided
        assert [b"before", b"during"] == await values(own_broker, "journal")


async def test_closing_does_not_wait_for_a_broker_that_hangs(own_broker: Broker) -> None:
    """Who waits for a write is told that it is lost; the group does not wait for us."""
    await own_broker.create("journal")
    writer = Transactions(at(own_broker), transactional_id="j.0", topic="journal", partition=0)
    await writer.open()
    own_broker.pause()
    writes = [asyncio.create_task(writer.write((b"a", b"b"))) for _ in range(3)]
    await asyncio.sleep(0.5)

    async with asyncio.timeout(15):
        await writer.close()
    own_broker.unpause()

    ends = await asyncio.gather(*writes, return_exceptions=True)
    assert [Lost] * 3 == [type(end) for end in ends]


@pytest.mark.timeout(180)
async def test_after_a_crash_of_the_broker_the_journal_goes_on_or_is_opened_anew(own_broker: Broker) -> None:
    """A write that was under way is either committed or lost; opened anew, everything committed is there."""
    await own_broker.create("journal")
    committed = [b"0"]
    async with opened(own_broker, "journal") as writer:
        await writer.write((b"a", b"0"))
        own_broker.kill()
        write = asyncio.create_task(writer.write((b"a", b"1")))
        await asyncio.sleep(1)
        own_broker.start()
        await own_broker.wait()
        async with asyncio.timeout(60):
            try:
                await write
                committed.append(b"1")
            except Lost:
                pass
        async with opened(own_broker, "journal") as heir:
            await heir.write((b"a", b"2"))

    found = await values(own_broker, "journal")
    assert [*committed, b"2"] == [value for value in found if value in {*committed, b"2"}]
