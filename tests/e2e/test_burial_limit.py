"""The burial limit on several members: each pauses by its own count; a new deployment or `resume` frees them."""

from pathlib import Path

from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.sandbox import Failure
from stream.errors import Exit
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, Member, Scene, contacts, events, until
from tests.e2e.test_cli_operators import crmstream
from tests.e2e.test_verify import receipts, verify
from tests.e2e.vendor import Vendor
from tests.kafka.broker import Broker

CONCURRENCY, LIMIT = 4, 10  # a member stops at its tenth letter, besides what is in flight then


async def test_what_the_burial_limit_paused_is_freed_on_all_members(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """A vendor that refuses everything: two members pause. A new one starts with a clean slate and pauses again. Once
    the vendor takes all but two more, `resume` has them deliver what is left; nothing is lost, and it adds up.
    """
    here = await stage(broker, partitions=2)
    here.vendor.faults = AttioFaults(fail=[Failure(status=400)])
    await here.send(events(contacts(200), each=1))
    blocks = receipts(here) | {
        "dead_letters": {"stop_above": "50% of 20"},
        "destination": {"concurrency": CONCURRENCY},
    }
    first, second = await here.start(**blocks), await here.start(**blocks)
    await second.owns(1)
    paused = await _buried(here, first, second)
    assert 2 * LIMIT <= paused < 2 * (LIMIT + CONCURRENCY)

    first.terminate()
    assert Exit.OK == await first.exit_code()
    third = await here.start(**blocks)
    again = await _buried(here, second, third) - paused
    assert LIMIT <= again < LIMIT + CONCURRENCY

    here.vendor.faults = AttioFaults(fail=[Failure(status=400, times=2)])
    ran = await crmstream("resume", DESTINATION, config=here.config)
    assert Exit.OK == ran.code
    buried = paused + again + 2
    await here.delivered(200 - buried, second, third)
    for partition, end in (await broker.ends(here.topic)).items():
        await here.position(partition, end, second, third)

    assert buried == len({(dict(each.headers)["__connect.errors.offset"], each.key) for each in await here.letters()})
    assert 0 == here.vendor.repeats
    balanced = await verify(here)
    assert Exit.OK == balanced.code, balanced.err


async def _buried(here: Scene[Vendor], *members: Member) -> int:
    """How many letters there are once all of these have paused, with nothing in flight."""

    async def quiet() -> bool:
        states = [await member.state() for member in members]
        return all(state.get("state") == "paused" and state["in_flight"] == 0 for state in states)

    await until(quiet, *members, what="pauses")
    return len(await here.letters())
