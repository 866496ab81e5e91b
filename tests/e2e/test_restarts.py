"""Members that come, go and die while events flow: nothing lost, order kept, and no repeats but those of a kill."""

import asyncio

import pytest

from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.sandbox import Failure
from tests.e2e.conftest import NewStage
from tests.e2e.members import Stage, contacts, events, keyed, until
from tests.e2e.vendor import WELL, Delivery, assert_all_in_order, broken_for
from tests.kafka.broker import Broker

CONCURRENCY = 32  # Attio's default
HELD = "held@example.com"
NOW_AND_THEN = Failure(status=503, share=0.02)  # so that events of one contact would overtake each other, if they could


@pytest.mark.timeout(180)
async def test_members_join_and_leave_while_events_flow(broker: Broker, stage: NewStage) -> None:
    """20,000 events, two members joining and two leaving: all there, in order; repeats at most what was in flight."""
    here = await stage(broker, partitions=6)
    here.vendor.faults = AttioFaults(latency=0.02, fail=[NOW_AND_THEN])
    people = contacts(200)
    total = await here.send(events(people, each=50))

    first = await here.start()
    await here.delivered(1_000, first)
    second = await here.start()
    await second.owns(3)
    total += await here.send(events(people, each=25, after=50))  # so that on a slow machine, too, there is enough left
    await until(lambda: len(here.vendor.seen_at(second.door)) > 500, first, second, what="work for the second")
    first.terminate()
    assert 0 == await first.exit_code()
    third = await here.start()
    await third.owns(3)
    total += await here.send(events(people, each=25, after=75))
    await until(lambda: len(here.vendor.seen_at(third.door)) > 500, second, third, what="work for the third")
    second.terminate()
    assert 0 == await second.exit_code()
    assert len(here.vendor.distinct) < total, "all was delivered before the second one left"
    await here.delivered(total, third)
    third.terminate()
    assert 0 == await third.exit_code()

    assert 20_000 == total
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 100))
    assert here.vendor.repeats <= CONCURRENCY * 4
    await here.assert_settled()


@pytest.mark.parametrize("transport, each", [("fast", 60), ("httpx", 15)])
async def test_after_a_kill_only_what_was_not_committed_is_repeated(
    broker: Broker, stage: NewStage, transport: str, each: int
) -> None:
    """`kill -9` with calls in flight: the next member delivers the rest, and again just what no commit spoke of."""
    http = {"transport": transport}
    here = await stage(broker, partitions=3)
    here.vendor.faults = AttioFaults(latency=0.05, fail=[NOW_AND_THEN])
    people = contacts(50)
    total = await here.send(events(people, each=each))
    member = await here.start(http=http)
    await here.delivered(total // 3, member)

    in_flight = here.vendor.in_flight
    member.kill()
    assert in_flight > 0
    arrived = await _arrived(here)
    unspoken = await _unspoken(here, arrived)
    assert len(arrived) < total
    await here.drain(http=http)

    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, each))
    before = {delivery.event for delivery in arrived}
    assert unspoken == before & {delivery.event for delivery in here.vendor.ledger[len(arrived) :]}
    last_second = [delivery for delivery in arrived if delivery.at > arrived[-1].at - 1]
    assert 0 < here.vendor.repeats == len(unspoken) <= CONCURRENCY + len(last_second)
    await here.assert_settled()


async def test_after_a_clean_stop_nothing_is_repeated(broker: Broker, stage: NewStage) -> None:
    """One contact held back, over 1,000 offsets settled above it, calls in flight at SIGTERM: each event comes once."""
    here = await stage(broker)
    here.vendor.faults = AttioFaults(latency=0.02, fail=[*broken_for(HELD).fail, NOW_AND_THEN])
    people = contacts(100)
    total = await here.send([keyed(HELD), *events(people, each=30)])
    member = await here.start()
    await here.delivered(1_500, member)

    await until(lambda: here.vendor.in_flight > 0, member, what="calls in flight")
    member.terminate()
    assert 0 == await member.exit_code()
    commit = (await here.committed())[0]
    assert (0, True) == (commit.position, len(commit.above) > 1_000)
    assert len(here.vendor.distinct) == len(commit.above) < total
    here.vendor.faults = WELL
    await here.drain()

    assert 0 == here.vendor.repeats
    assert_all_in_order(here.vendor.ledger, {HELD: 1} | dict.fromkeys(people, 30))
    await here.assert_settled()


@pytest.mark.timeout(180)
async def test_a_broker_that_crashes_and_comes_back_loses_nothing(own_broker: Broker, stage: NewStage) -> None:
    """The member waits, goes on by itself, and ends as if nothing had happened."""
    here = await stage(own_broker, partitions=3)
    here.vendor.faults = AttioFaults(latency=0.05)
    people = contacts(100)
    total = await here.send(events(people, each=60))
    member = await here.start("--drain")
    await here.delivered(1_500, member)

    own_broker.kill()
    before = await _arrived(here)
    assert len(before) < total
    own_broker.start()
    await own_broker.wait()
    assert 0 == await member.exit_code(timeout=90)

    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 60))
    assert len(before) < len(here.vendor.ledger)
    last_seconds = [delivery for delivery in before if delivery.at > before[-1].at - 4]  # half a session, and a second
    assert here.vendor.repeats <= CONCURRENCY + len(last_seconds)
    await here.assert_settled()


async def test_a_member_that_slept_longer_than_its_session_sends_nothing_it_lost(
    broker: Broker, stage: NewStage
) -> None:
    """Stopped with a backlog and calls in flight; another takes over. Continued, it sends only what is new."""
    here = await stage(broker, partitions=4)
    here.vendor.faults = AttioFaults(latency=0.05)
    people = contacts(40)
    await here.send(events(people, each=50))
    sleeper, other = await here.start(), await here.start()
    await until(lambda: len(here.vendor.seen_at(sleeper.door)) > 200, sleeper, what="work for the first")
    await until(lambda: len(here.vendor.seen_at(other.door)) > 200, other, what="work for the second")

    sleeper.freeze()
    assert here.vendor.in_flight > 0
    before = len(here.vendor.ledger)
    slept_on = {delivery.email for delivery in here.vendor.seen_at(sleeper.door)[-20:]}
    await here.delivered(2_000, other)
    await other.owns(4)
    taken_over = len(here.vendor.ledger)
    late = [delivery for delivery in here.vendor.ledger[before:] if delivery.door == sleeper.door]
    assert len(late) <= CONCURRENCY, "a stopped process can only have sent what was on the wire"
    assert slept_on & {delivery.email for delivery in here.vendor.ledger[before + len(late) :]}, "it had no backlog"
    sleeper.thaw()
    await other.owns(2)  # the sleeper has found out and joined again
    await sleeper.owns(2)
    await here.send(events(people, each=5, after=50))
    await here.delivered(2_200, sleeper, other)

    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 55))
    since = [delivery.n for delivery in here.vendor.ledger[taken_over:] if delivery.door == sleeper.door]
    assert since
    assert min(since) > 50


async def _arrived(here: Stage) -> list[Delivery]:
    """What the vendor has taken, once nothing comes in any more."""
    while True:
        count = len(here.vendor.ledger)
        await asyncio.sleep(0.3)
        if count == len(here.vendor.ledger):
            return list(here.vendor.ledger)


async def _unspoken(here: Stage, arrived: list[Delivery]) -> set[tuple[str, int]]:
    """The events that the vendor has and no commit speaks of."""
    commits = await here.committed()
    log = await here.log()
    settled = {event for (partition, offset), event in log.items() if commits[partition].settles(offset)}
    return {delivery.event for delivery in arrived} - settled
