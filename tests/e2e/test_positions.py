"""Positions as a real broker keeps them: never past what is settled, never silently elsewhere, never refused."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.e2e.conftest import NewStage
from tests.e2e.members import Committed, Member, Stage, contacts, events, keyed, until
from tests.e2e.vendor import WELL, assert_all_in_order, broken_for
from tests.kafka.broker import Broker, Sent

HELD = "held@example.com"
NOTHING_YET = Committed(0, 0, {}, 0)
METADATA_LIMIT = 4096  # characters; Kafka's offset.metadata.max.bytes


async def test_a_full_window_fits_into_the_metadata(broker: Broker, stage: NewStage) -> None:
    """The largest window, one contact holding its start, over 20,000 offsets settled above: the broker takes it all."""
    here = await stage(broker)
    here.vendor.faults = broken_for(HELD)
    ignored = Sent(b'{"type":"page"}', key=b"page")
    await here.send([keyed(HELD), *[ignored] * 12_000, *events(contacts(100), each=2), *[ignored] * 13_000])
    member = await here.start(source={"window": 23_600})

    async def full() -> bool:
        return len((await here.committed()).get(0, NOTHING_YET).above) >= 23_500

    await until(full, member, what="a full window")
    commit = (await here.committed())[0]
    assert (0, True) == (commit.position, commit.characters <= METADATA_LIMIT)
    assert 0 == await _failed_commits(member)
    member.terminate()
    assert 0 == await member.exit_code()
    here.vendor.faults = WELL
    await here.drain(source={"window": 23_600})

    assert 0 == here.vendor.repeats
    assert_all_in_order(here.vendor.ledger, {HELD: 1} | dict.fromkeys(contacts(100), 2))
    await here.assert_settled()
    totals = (await here.committed())[0].totals
    assert (201, 25_000) == (totals["delivered"], totals["filtered"])


async def test_a_range_lost_to_retention_stops_the_member_and_is_named(broker: Broker, stage: NewStage) -> None:
    """Exit 1 with the range; `--accept-loss` goes on, and the commit counts what was lost."""
    here = await stage(broker, partitions=2)
    await here.send(_numbered(1, 10))
    await here.drain()
    await here.send(_numbered(11, 30))
    await broker.delete_before(here.topic, 0, 20)

    refused = await here.run()

    assert 1 == await refused.exit_code()
    assert f"{here.topic}/0: offsets 10 to 19" in refused.output
    assert "--accept-loss" in refused.output
    assert 10 == len(here.vendor.ledger)
    accepted = await here.run("--drain", "--accept-loss")
    assert 0 == await accepted.exit_code()
    assert [*range(1, 11), *range(21, 31)] == [delivery.n for delivery in here.vendor.ledger]
    assert 10 == (await here.committed())[0].totals["lost_to_retention"]
    await here.assert_settled()


async def test_a_position_beyond_the_end_stops_the_member(broker: Broker, stage: NewStage) -> None:
    """A topic that was made anew: exit 1 with both offsets, not a wait for ever."""
    here = await stage(broker)
    await here.send(_numbered(1, 5))
    await _commit(broker, here, 1_000)

    refused = await here.run()

    assert 1 == await refused.exit_code()
    assert f"{here.topic}/0: the committed position 1000 is beyond the log's end 5" in refused.output
    assert [] == here.vendor.ledger
    accepted = await here.run("--drain", "--accept-loss")
    assert 0 == await accepted.exit_code()
    assert [1, 2, 3, 4, 5] == [delivery.n for delivery in here.vendor.ledger]


async def test_latest_is_resolved_once_and_later_partitions_are_read_from_their_start(
    broker: Broker, stage: NewStage
) -> None:
    """What was there before the first start is left out; what comes while nobody runs is not, in new partitions too."""
    latest = {"start": "latest"}
    here = await stage(broker)
    await here.send([keyed("before@example.com")])
    first = await here.start(source=latest)
    await first.owns(1)
    await here.send([keyed("during@example.com")])
    await here.delivered(1, first)
    first.terminate()
    assert 0 == await first.exit_code()

    await _add_partition(broker, here.topic)
    await here.send([Sent(keyed(f"{where}@example.com").value, partition=where) for where in (0, 1)])
    await here.drain(source=latest)

    assert ["0@example.com", "1@example.com", "during@example.com"] == sorted(
        delivery.email for delivery in here.vendor.ledger
    )
    await here.assert_settled(origin=1)


async def _add_partition(broker: Broker, topic: str) -> None:
    """A second one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_partitions({topic: NewPartitions(2)})
    finally:
        await admin.close()


async def _failed_commits(member: Member) -> int:
    answer = await member.get("/metrics")
    assert answer is not None
    assert 'crmstream_commits_total{destination="attio",result="ok"}' in answer.text
    found = [
        line for line in answer.text.splitlines() if line.startswith("crmstream_commits_total") and "failed" in line
    ]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


async def _commit(broker: Broker, here: Stage, position: int) -> None:
    """As an operator's tool would."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=here.group, enable_auto_commit=False)
    async with consumer:
        partition = TopicPartition(here.topic, 0)
        consumer.assign([partition])
        await consumer.commit({partition: position})


def _numbered(first: int, last: int) -> list[Sent]:
    """Events of one contact, all in partition 0."""
    return [Sent(keyed("one@example.com", n).value, partition=0) for n in range(first, last + 1)]
