"""Members that come, go and die while events flow: nothing lost, order kept, few repeats and known ones."""

import asyncio
import signal

import pytest

from stream.destinations.attio.sandbox import AttioFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import Committed, Stage, events, sent, until
from tests.e2e.vendor import WELL, Delivery, assert_all_in_order, broken_for
from tests.kafka.broker import Broker, Sent

CONCURRENCY = 32
HELD = "held@example.com"
TRANSPORTS = pytest.mark.parametrize("transport", ["fast", "httpx"])


@pytest.mark.timeout(180)
async def test_members_join_and_leave_while_events_flow(broker: Broker, stage: NewStage) -> None:
    """20,000 events, two members joining and two leaving: all there, in order; repeats at most what was in flight."""
    here = await stage(broker, partitions=6)
    here.vendor.faults = AttioFaults(latency=0.02)
    total = await here.send(events(contacts=200, each=100))

    first = await here.start()
    await here.delivered(1_000, first)
    second = await here.start()
    await until(lambda: len(here.vendor.seen_at(second.door)) > 500, first, second, what="work for the second")
    first.terminate()
    assert 0 == await first.exit_code()
    third = await here.start()
    await until(lambda: len(here.vendor.seen_at(third.door)) > 500, second, third, what="work for the third")
    second.terminate()
    assert 0 == await second.exit_code()
    assert len(here.vendor.distinct) < total, "all was delivered before the last one left"
    await here.delivered(total, third)
    third.terminate()
    assert 0 == await third.exit_code()

    assert 20_000 == total
    assert_all_in_order(here.vendor.ledger, sent(contacts=200, each=100))
    assert here.vendor.repeats <= CONCURRENCY * 4
    await here.assert_settled()


@TRANSPORTS
async def test_a_killed_member_repeats_only_what_it_could_not_commit(
    broker: Broker, stage: NewStage, transport: str
) -> None:
    """`kill -9` with calls in flight: the next one delivers the rest, and again just what no commit spoke of."""
    http = {"transport": transport}
    here = await stage(broker, partitions=3)
    here.vendor.faults = AttioFaults(latency=0.05)
    total = await here.send(events(contacts=50, each=60))
    member = await here.start(http=http)
    await here.delivered(1_000, member)

    in_flight = here.vendor.in_flight
    member.kill()
    assert in_flight > 0
    arrived = await _all_arrived(here)
    unspoken = await _not_committed(here, arrived)
    assert len(arrived) < total
    await here.drain(http=http)

    assert_all_in_order(here.vendor.ledger, sent(contacts=50, each=60))
    repeated = [delivery.event for delivery in here.vendor.ledger[len(arrived) :]]
    assert unspoken == {event for event in repeated if event in {delivery.event for delivery in arrived}}
    last_second = [delivery for delivery in arrived if delivery.at > arrived[-1].at - 1]
    assert len(unspoken) <= here.vendor.repeats <= CONCURRENCY + len(last_second)
    await here.assert_settled()


async def test_a_clean_restart_repeats_nothing(broker: Broker, stage: NewStage) -> None:
    """One contact held back, more than 1,000 offsets settled above it, calls in flight at SIGTERM: each arrives once."""
    here = await stage(broker)
    here.vendor.faults = broken_for(HELD)
    await here.send(events(1, 3, "held")[:1])
    total = 3 + await here.send(events(contacts=100, each=30))
    raise NotImplementedError(total, WELL, Sent, Committed, signal, asyncio)


async def _all_arrived(here: Stage) -> list[Delivery]:
    """What the vendor has taken once nothing is on the wire any more."""
    while True:
        count = len(here.vendor.ledger)
        await asyncio.sleep(0.2)
        if count == len(here.vendor.ledger):
            return list(here.vendor.ledger)


async def _not_committed(here: Stage, arrived: list[Delivery]) -> set[tuple[str, int]]:
    """The events that the vendor has and no commit speaks of."""
    return set()
