"""Ways in which others have lost events between a topic and its positions, each as a test on a real broker.

What happened there is told in our words; the address says where it was reported. Losses in calls are in
`test_losses_in_calls.py`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupLoadInProgressError, OffsetMetadataTooLargeError
from aiokafka.structs import OffsetAndMetadata

from stream.core.offsets import MAX_WINDOW, METADATA_LIMIT, OUTCOMES, Mark, OffsetTracker, restore
from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.sandbox import Failure
from stream.errors import UserError
from stream.pipeline import Pipeline
from tests.e2e.conftest import NewStage
from tests.e2e.members import contacts, events, keyed, until
from tests.e2e.vendor import WELL, assert_all_in_order, broken_for
from tests.kafka.broker import Broker, Sent
from tests.kafka.test_source import Owner, read
from tests.regressions.members import member, source

ADA, GRACE, JOE = contacts(3)


async def test_a_position_taken_from_the_highest_seen(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """The commit at a revocation named the highest offset that was read, though nothing had worked on it yet.

    https://github.com/confluentinc/parallel-consumer/issues/826
    """
    here = await stage(broker)
    here.vendor.faults = AttioFaults(fail=[Failure(status=503)])
    await here.send(events(contacts(10), each=5))
    async with member(here, tmp_path) as first:
        [tracker] = first.trackers
        await until(lambda: tracker.next_offset == 50, what="everything read")
    assert [] == here.vendor.ledger

    assert (0, frozenset()) == ((await here.committed())[0].position, (await here.committed())[0].above)
    here.vendor.faults = WELL
    async with member(here, tmp_path):
        await here.delivered(50)
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(contacts(10), 5))


async def test_a_late_ack_after_revocation_brings_an_offset_back(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """An acknowledgement that came after the partition was revoked marked its offset again, and the next automatic
    commit wrote it for a partition that another member had by then.

    https://github.com/redpanda-data/connect/pull/4477
    """
    here = await stage(broker, partitions=2)
    here.vendor.faults = AttioFaults(fail=[Failure(status=503)])
    await here.send(_one_each(ADA, GRACE))
    async with member(here, tmp_path) as first:
        await until(lambda: 2 == sum(each.unsettled for each in first.trackers), what="both read")
        late = {each.partition: each for each in first.trackers}
        async with member(here, tmp_path) as second:
            await until(lambda: 1 == len(first.trackers) == len(second.trackers), what="a partition each")
            for tracker in late.values():
                tracker.settle(0, "delivered")
            here.vendor.faults = broken_for(ADA, GRACE)
            [kept], [lost] = first.trackers, second.trackers
            await here.send([Sent(keyed(JOE).value, partition=kept.partition)])
            await until(lambda: 1 == kept.settled_above, what="another commit of the first")
            await asyncio.sleep(0.5)

            assert [0, 0] == [each.position for each in late.values()]
            assert 0 == (await here.committed())[lost.partition].position
            here.vendor.faults = WELL
            await here.delivered(3)
    assert 0 == here.vendor.repeats


async def test_a_later_success_commits_over_an_earlier_failure(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """The sink answered 401 to the second of three events; the third was delivered, its offset committed, and the
    second never read again.

    https://github.com/vectordotdev/vector/issues/24543
    """
    here = await stage(broker)
    here.vendor.faults = AttioFaults(fail=[Failure(status=401, contacts=[GRACE])])
    await here.send([keyed(email) for email in (ADA, GRACE, JOE)])
    async with member(here, tmp_path):
        await here.delivered(2)
    assert 1 <= len(here.vendor.calls_for(GRACE))

    assert 1 == (await here.committed())[0].position
    assert frozenset({2}) == (await here.committed())[0].above
    here.vendor.faults = WELL
    async with member(here, tmp_path):
        await here.delivered(3)
    assert {ADA, JOE} == {delivery.email for delivery in here.vendor.ledger[:2]}
    assert [GRACE] == [delivery.email for delivery in here.vendor.ledger[2:]]


async def test_an_offset_out_of_range_is_reset_in_silence(broker: Broker, stage: NewStage) -> None:
    """Clients go on at the log's end, or its beginning, where the offset they ask for is gone: that is their default,
    and nobody is told what was passed over.

    https://github.com/confluentinc/librdkafka/issues/521, https://github.com/PostHog/posthog/pull/20283
    """
    here = await stage(broker)
    await here.send([b"1", b"2"])
    owner = Owner()
    async with source(here, owner) as reading:
        assert [b"1", b"2"] == await read(reading, 2)
        [tracker] = owner.trackers
        assert tracker.admit(0)
        assert tracker.admit(1)
        reading.pause()
        await here.send([b"3", b"4", b"5", b"6"])
        await broker.delete_before(here.topic, 0, 5)
        reading.resume()

        with pytest.raises(UserError, match=r"/0: offsets 2 to 4 were not delivered and are gone from the log"):
            await read(reading, 1)
        assert 0 == tracker.totals["absent"]


async def test_a_commit_begun_before_a_rebalance_rewinds_the_next_owner(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """A commit that the coordinator does not take at once is tried again under whatever generation the member has by
    then (`GroupCoordinator.commit_offsets` of aiokafka): after a rebalance it writes an old position for a partition
    that another member has worked on since. librdkafka knows positions that go back in a rebalance as well.

    https://github.com/confluentinc/librdkafka/issues/2782
    """
    here = await stage(broker, partitions=2)
    slow = {"kafka": {"session_timeout": "10s"}}  # a commit may take five seconds
    async with member(here, tmp_path, **slow) as first:
        late = LateCommit(first)
        while late.offsets is None:
            await here.send(_one_each(ADA, GRACE))
            await asyncio.sleep(0.3)
        async with member(here, tmp_path, **slow) as second:
            await until(lambda: 1 == len(first.trackers) == len(second.trackers), what="a partition each")
            [taken_over] = second.trackers
            await here.send(_one_each(JOE, JOE))
            end = (await broker.ends(here.topic))[taken_over.partition]
            await here.position(taken_over.partition, end)
            late.taken.set()
            await asyncio.sleep(0.5)

            assert end == (await here.committed())[taken_over.partition].position


class LateCommit:
    """Has a member's next commit of two partitions refused until it is *taken*: a coordinator that loads its groups."""

    def __init__(self, member: Pipeline) -> None:
        self.offsets: dict[TopicPartition, OffsetAndMetadata] | None = None
        self.taken = asyncio.Event()
        self._coordinator = member._source._coordinator  # type: ignore[attr-defined]
        self._commit = self._coordinator._do_commit_offsets
        self._coordinator._do_commit_offsets = self._answer

    async def _answer(self, assignment: object, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.offsets is None and len(offsets) == 2:
            self.offsets = offsets
        if offsets is self.offsets and not self.taken.is_set():
            raise GroupLoadInProgressError
        await self._commit(assignment, offsets)


def _one_each(*emails: str) -> list[Sent]:
    """An event of each contact, in a partition of its own."""
    return [Sent(keyed(email).value, partition=number) for number, email in enumerate(emails)]


async def test_a_listener_s_exception_is_swallowed(broker: Broker, stage: NewStage) -> None:
    """State could not be loaded for new partitions; the client logged what the listener raised and read on without it.

    https://mail-archive.com/dev@kafka.apache.org/msg63437.html (KAFKA-4600); aiokafka logs it, too
    """

    class Failing(Owner):
        async def assign(self, trackers: Sequence[OffsetTracker]) -> None:
            raise LookupError("the journal cannot be read")

    here = await stage(broker)
    await here.send([b"1"])
    async with source(here, Failing()) as reading:
        with pytest.raises(LookupError, match="the journal"):
            async with asyncio.timeout(20):
                await read(reading, 1)


@pytest.mark.parametrize("seed", [26])
async def test_reading_that_is_cancelled_loses_what_was_in_hand(
    broker: Broker, stage: NewStage, tmp_path: Path, seed: int
) -> None:
    """A stop cancelled the loop that reads and calls the handler; the record in hand was acknowledged unfinished.

    https://github.com/ag2ai/faststream/issues/3000. Members that stop at any moment, in the middle of a read and with
    calls under way: each event is delivered, and once.
    """
    random = Random(seed)
    here = await stage(broker, partitions=2)
    here.vendor.faults = AttioFaults(latency=0.05)
    people, in_flight = contacts(40), []
    total = await here.send(events(people, each=25))
    for _ in range(4):
        before = len(here.vendor.ledger)
        async with member(here, tmp_path, source={"buffer": 60}) as working:
            await here.delivered(before + random.randrange(20, 200))
            in_flight.append(working.delivery.in_flight)
    assert sum(in_flight) > 0
    assert before < len(here.vendor.ledger) < total
    here.vendor.faults = WELL
    async with member(here, tmp_path):
        await here.delivered(total)

    assert 0 == here.vendor.repeats
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 25))


async def test_a_member_under_back_pressure_is_expelled_as_idle(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """Where nothing is polled because there is no room, the group takes the member for dead and gives its partitions to
    others, again and again.

    https://github.com/monix/monix-kafka/issues/101. A buffer that stays full for twice as long as the client's limit.
    """
    here = await stage(broker)
    here.vendor.faults = AttioFaults(fail=[Failure(status=503)])
    await here.send(events(contacts(50), each=2))
    async with member(here, tmp_path, source={"buffer": 20}) as working:
        await until(lambda: working._room() <= 0, what="a full buffer")
        [tracker] = working.trackers
        coordinator = working._source._coordinator  # type: ignore[attr-defined]
        coordinator._max_poll_interval, generation = 2.0, coordinator.generation  # else five minutes
        await asyncio.sleep(5)

        assert (generation, [tracker]) == (coordinator.generation, working.trackers)
        here.vendor.faults = WELL
        await here.delivered(100)
    assert 0 == here.vendor.repeats


async def test_metadata_beyond_the_broker_s_limit(broker: Broker, stage: NewStage) -> None:
    """What was finished out of order no longer fitted into a commit's 4,096 characters: it was left out, to be done
    again after the next rebalance.

    https://github.com/confluentinc/parallel-consumer/issues/647. Here the largest window there can be fits, whatever is
    settled in it and however much was counted.
    """
    here = await stage(broker)
    full = OffsetTracker(here.topic, 0, 0, window=MAX_WINDOW, totals=dict.fromkeys(OUTCOMES, 10**15))
    for offset in range(MAX_WINDOW):
        assert full.admits(offset)
        full.admit(offset)
    for offset in range(1, MAX_WINDOW):
        full.settle(offset, "delivered")
    await here.send([b"1"])
    async with source(here, Owner()) as reading:
        await read(reading, 1)
        await reading.commit([Mark.of(full)])

    position, metadata = (await broker.committed(here.group, here.topic))[0]
    assert 3900 < len(metadata) <= METADATA_LIMIT
    assert MAX_WINDOW - 1 == restore(here.topic, 0, position, metadata).settled_above
    with pytest.raises(OffsetMetadataTooLargeError):
        await _commit(broker, here.group, here.topic, "x" * (METADATA_LIMIT + 1))


async def _commit(broker: Broker, group: str, topic: str, metadata: str) -> None:
    """What a plain client commits."""
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False
    ) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(0, metadata)})
