"""`concurrency: adaptive`, as the vendor sees it and as the state and the metric show it."""

from stream.destinations.attio.sandbox import AttioFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, Stage, contacts, events, until
from tests.e2e.vendor import Crowded, assert_all_in_order
from tests.kafka.broker import Broker

LOOKED = 16  # at most found while it looks whether there is more
EACH = 8


async def test_the_limit_found_is_below_what_the_vendor_refuses(broker: Broker, stage: NewStage) -> None:
    """It refuses more than ten calls at once: that is met while it is sought, and hardly again."""
    vendor = Crowded()
    vendor.faults = AttioFaults(latency=0.05)
    here: Stage = await stage(broker, partitions=4, vendor=vendor, destination=DESTINATION)
    people = contacts(150)
    total = await here.send(events(people, each=EACH))

    member = await here.start(destination={"concurrency": "adaptive"})
    await here.delivered(total // 2, member)
    state = await member.state()
    metrics = await member.get("/metrics")
    await here.delivered(total, member)

    assert 5 <= state["concurrency"] <= LOOKED
    assert metrics
    assert f'crmstream_concurrency{{destination="{DESTINATION}"}} {state["concurrency"]}.0' in metrics.text
    assert 0 < vendor.refused < total / 20, "none was refused, so it never asked for too much"
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, EACH))
    assert 0 == here.vendor.repeats
    await until(lambda: here.vendor.in_flight == 0, member, what="the last answer")
    member.terminate()
    assert 0 == await member.exit_code()
    await here.assert_settled()
