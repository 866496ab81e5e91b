"""Limits that members and destinations share, as the vendor sees them: by its own log of what came when."""

from stream.destinations.sandbox import serve
from tests.e2e.conftest import NewStage
from tests.e2e.members import QUICK, contacts, events, until
from tests.e2e.test_remembered_traits import signed_up
from tests.kafka.broker import Broker
from tests.simulation.quota import fullest

RATE = 40
WINDOW = 3.0  # seconds; in shorter ones a busy machine, which holds some up, shows more than was sent
MOST = int(RATE * WINDOW) + RATE  # a second's worth that was held up before the window
SECOND = "second"  # destination


async def test_members_that_come_go_and_die_keep_to_one_rate(broker: Broker, stage: NewStage) -> None:
    """Two join, one leaves, one is killed, with tests of the connection at each start: never more than the rate."""
    here = await stage(broker, partitions=12)
    people = contacts(200)
    total = await here.send(events(people, each=8))
    limited = {"rate_limit": f"{RATE}/s"}

    first = await here.start(destination=limited)
    await here.delivered(100, first)
    second, third = await here.start(destination=limited), await here.start(destination=limited)
    await third.owns(4)
    await until(lambda: len(here.vendor.seen_at(third.door)) > 60, first, second, third, what="work for the third")
    first.terminate()
    assert 0 == await first.exit_code()
    await second.owns(6)
    second.kill()
    await third.owns(12)
    await here.delivered(len(here.vendor.distinct) + 150, third)

    arrivals = [entry.at for entry in here.vendor.log]
    assert RATE * WINDOW * 0.7 < most_within(arrivals) <= MOST
    assert len(here.vendor.distinct) < total, "all was delivered before the end"
    alone = [delivery.at for delivery in here.vendor.seen_at(third.door)]
    assert RATE * WINDOW * 0.7 < most_within(alone), "the dead one's share was not taken over"


async def test_destinations_of_one_quota_keep_to_one_rate(broker: Broker, stage: NewStage) -> None:
    """Two of them in two processes: half of it each while both have work, all of it for one where the other idles."""
    here = await stage(broker, partitions=4)
    people = contacts(160)
    async with serve(here.vendor) as url:
        here.others = {SECOND: here.vendor.settings(url) | {"type": "attio", "events": ["Identified"], "retry": QUICK}}
        shared = {"rate_limit": f"{RATE}/s", "quota": "account"}
        one, other = await here.start(destination=shared), await here.start(destination=shared)
        for member in (one, other):
            await member.owns(2)

        await here.send(events(people, each=1))
        await until(lambda: len(here.vendor.accepted) == 320, one, other, what="both destinations' deliveries")
        await here.send(signed_up(email) for email in people)
        await until(lambda: len(here.vendor.accepted) == 480, one, other, what="one destination's deliveries")

    assert most_within([entry.at for entry in here.vendor.log]) <= MOST
    halfway = [delivery.door for delivery in here.vendor.ledger[:160]]
    assert 160 * 0.3 < halfway.count(url.removeprefix("http://")) < 160 * 0.7, "one starved the other"
    alone = [entry.at for entry in here.vendor.accepted[320:]]
    assert RATE * WINDOW * 0.7 < most_within(alone), "what the idle one left was not used"


def most_within(times: list[float]) -> int:
    """How many of these fell into the fullest window."""
    return fullest(sorted(times), WINDOW)
