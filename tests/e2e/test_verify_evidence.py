"""What `crmstream verify` makes of odd evidence: even where it is ours, however odd; named where somebody fools it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from stream.destinations.sandbox import serve
from stream.errors import Exit
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, attio_at, contacts, events, keyed
from tests.e2e.test_cli_operators import configured, crmstream
from tests.e2e.test_verify import REFUSED, balances, move, receipts, refusing, verify
from tests.e2e.vendor import Vendor
from tests.kafka.broker import Broker, Sent

OTHER = "second"  # name of another destination of the same file


async def test_what_is_ours_leaves_it_even(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """A group that never ran; transactions kept and undone; receipts twice, then gone; new partitions; replays."""
    here = await stage(broker)
    blocks = receipts(here)
    topic = blocks["receipts"]["topic"]
    here.vendor.faults = refusing()
    await transaction(broker, here.topic, [keyed("ada@example.com"), keyed(REFUSED)], commit=True)
    await transaction(broker, here.topic, [keyed("joe@example.com")], commit=False)
    never = await crmstream("verify", "--json", config=configured(tmp_path, broker, here.topic, **blocks))
    await here.drain(**blocks)
    [ran] = await balances(here)
    assert [(True, 0, 5)] == [(each["even"], each["delivered"], each["pending"]) for each in never.objects]
    assert (True, 5, 1, 1, 3, 0) == tuple(
        ran[word] for word in ("even", "offsets", "delivered", "dead_lettered", "absent", "pending")
    )

    written = await broker.read_all(topic)
    await broker.produce(topic, [Sent(record.value, key=record.key) for record in written * 2])
    await crmstream("dlq", "replay", "--all", config=here.config)
    await widen(broker, here.topic)
    await here.send([Sent(keyed("jane@example.com").value, partition=1)])
    twice = await balances(here)
    await here.drain(**blocks)
    grown = await balances(here)
    assert [(True, 2), (True, 1)] == [(each["even"], each["pending"]) for each in twice]
    assert [(True, 2, 1), (True, 0, 1)] == [(each["even"], each["dead_lettered"], each["delivered"]) for each in grown]

    await remove(broker, topic)
    gone = await verify(here)
    assert Exit.OK == gone.code, gone.err
    assert f"there is no topic {topic} yet: no receipts were written" in gone.err


async def test_the_one_that_was_moved_is_named(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """Of two destinations the other is even; and whoever is left out of the file is said to be."""
    here = await stage(broker)
    async with serve(Vendor()) as url:
        here.others = {OTHER: attio_at(url)[DESTINATION]}
        await here.send(events(contacts(10), each=1))
        await here.drain(**receipts(here))
        await here.send(events(contacts(5), each=1, after=1))
        await move(broker, here, 12)
        await here.drain(**receipts(here))
        both, found = await verify(here), await balances(here)
        alone = await crmstream("verify", config=configured(tmp_path, broker, here.topic, **receipts(here)))

    assert (Exit.UNEVEN, Exit.UNEVEN) == (both.code, alone.code)
    assert f"not even: {DESTINATION}, {here.topic}/0, offsets 10 to 11: the position jumped from 10 to 12" in both.err
    assert {DESTINATION: False, OTHER: True} == {each["destination"]: each["even"] for each in found}
    assert "is not shown" not in both.err
    assert f"group {here.topic}.{OTHER} has receipts, and is of no enabled destination in the file" in alone.err


async def test_a_position_that_is_gone_is_told(broker: Broker, stage: NewStage) -> None:
    """Kafka drops it with its topic. What comes in under the same name is delivered, and the break stays on record."""
    here = await stage(broker)
    await here.send(events(contacts(10), each=1))
    await here.drain(**receipts(here))
    await remove(broker, here.topic)
    await broker.create(here.topic)
    await here.send(events(contacts(4), each=1, after=1))

    before = await verify(here)
    await here.drain(**receipts(here))
    after = await verify(here)

    assert (Exit.UNEVEN, Exit.UNEVEN) == (before.code, after.code)
    assert "offsets 0 to 9: the position was 10 and is gone: whoever starts now goes on at 0\n  Kafka" in before.err
    assert "offsets 0 to 9: the position went back from 10 to " in after.err
    assert 14 == len(here.vendor.ledger)


async def test_partitions_that_are_new_wait_from_their_beginning(broker: Broker, stage: NewStage) -> None:
    """Also where the group once began at the end: `run` reads them whole."""
    here = await stage(broker)
    await here.send([keyed("before@example.com")])
    blocks = receipts(here) | {"source": {"start": "latest"}}
    await here.drain(**blocks)
    await widen(broker, here.topic)
    await here.send([Sent(keyed("ada@example.com").value, partition=1)])

    found = await balances(here)
    await here.drain(**blocks)

    assert [(0, 0), (1, 1)] == [(each["offsets"], each["pending"]) for each in found]
    assert Exit.OK == (await verify(here)).code
    assert ["ada@example.com"] == [delivery.email for delivery in here.vendor.ledger]


async def transaction(broker: Broker, topic: str, records: Iterable[Sent], *, commit: bool) -> None:
    """Write records in a transaction that is committed, or undone."""
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=f"{topic}.tests") as producer:
        await producer.begin_transaction()
        for record in records:
            await producer.send_and_wait(topic, record.value, key=record.key, partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def widen(broker: Broker, topic: str) -> None:
    """Give it a second partition."""
    async with admin_of(broker) as admin:
        await admin.create_partitions({topic: NewPartitions(2)})


async def remove(broker: Broker, topic: str) -> None:
    """Delete it."""
    async with admin_of(broker) as admin:
        await admin.delete_topics([topic])


@asynccontextmanager
async def admin_of(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    """A plain client."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
