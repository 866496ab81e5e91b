"""`crmstream verify` beside a real broker: even after whatever happens to us, uneven and named after what others do."""

from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.customerio.sandbox import CustomerioSandbox
from stream.destinations.sandbox import Failure
from stream.destinations.splio_files.sandbox import SplioFilesSandbox
from stream.errors import Exit
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, Scene, Stage, contacts, events, until
from tests.e2e.test_cli_operators import Ran, crmstream
from tests.kafka.broker import Broker, Sent

REFUSED = "refused@example.com"


def receipts(here: Scene[Any]) -> dict[str, Any]:
    return {"receipts": {"topic": f"{here.topic}.receipts"}}


async def verify(here: Scene[Any], *arguments: str) -> Ran:
    """With the file of the last member."""
    return await crmstream("verify", *arguments, config=here.config)


async def balances(here: Scene[Any], *arguments: str) -> list[dict[str, Any]]:
    """What `verify --json` says of each partition."""
    return (await verify(here, "--json", *arguments)).objects


async def move(broker: Broker, here: Stage, offset: int) -> None:
    """Set the group's position in partition 0, as Kafka's own tools do."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=here.group, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(here.topic, 0)
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(offset, "")})
    finally:
        await consumer.stop()


def refusing() -> AttioFaults:
    return AttioFaults(fail=[Failure(status=400, contacts=[REFUSED])])


@pytest.mark.parametrize("block", [True, False], ids=["with receipts", "without"])
async def test_a_normal_run_is_even(broker: Broker, stage: NewStage, block: bool) -> None:
    """While it runs, after it ended, and when more has come: as many offsets as outcomes and pending."""
    here = await stage(broker, partitions=3)
    here.vendor.faults = refusing()
    sent = await here.send([*events(contacts(10), each=20), *events([REFUSED], each=3)])
    blocks = receipts(here) if block else {}

    member = await here.start(**blocks)
    await here.delivered(200, member)
    running = await verify(here)
    member.terminate()
    assert Exit.OK == await member.exit_code()
    await here.send(events(contacts(10), each=1))
    ran, found = await verify(here), await balances(here)

    assert (Exit.OK, Exit.OK) == (running.code, ran.code), running.err + ran.err
    assert f"The balance is even: {sent + 10} offsets, 10 pending.\n" in ran.out
    ends = await broker.ends(here.topic)
    assert ends == {each["partition"]: each["offsets"] for each in found}
    assert all(each["even"] for each in found)
    assert len(here.vendor.ledger) == sum(each["delivered"] for each in found)
    assert len(await here.letters()) == sum(each["dead_lettered"] for each in found) > 0
    assert block is ("without a `receipts` block" not in ran.err)


async def test_kill_9_leaves_it_even(broker: Broker, stage: NewStage) -> None:
    """Repeats are the vendor's to see; each offset is counted once."""
    here = await stage(broker, partitions=2)
    here.vendor.faults = AttioFaults(fail=[Failure(status=400, contacts=[REFUSED])], latency=0.02)
    people = [*contacts(20), REFUSED]
    await here.send(events(people, each=40))

    for delivered in (150, 400):
        member = await here.start(**receipts(here))
        await here.delivered(delivered, member)
        assert here.vendor.in_flight
        member.kill()
        assert Exit.OK == (await verify(here)).code
    await here.drain(**receipts(here))

    ran = await verify(here)
    assert Exit.OK == ran.code, ran.err
    assert f"The balance is even: {21 * 40} offsets, 0 pending.\n" in ran.out


async def test_files_have_their_balance(broker: Broker, stage: NewStage) -> None:
    """What waits for its run is pending; a killed member's receipts and letters disturb nobody."""
    here = await stage(broker, vendor=SplioFilesSandbox(), destination="splio_files")
    blocks: dict[str, Any] = receipts(here)
    await here.send([*events(contacts(30), each=2), Sent(b"no event")])
    await here.drain(**blocks)
    await here.send([*events(contacts(30), each=1, after=2), Sent(b"no event")])
    member = await here.start(**blocks, destination={"every": "1h"})
    await until(lambda: _buried(here, 2), member, what="the letter")
    member.kill()
    waiting, [before] = await verify(here), await balances(here)

    await here.drain(**blocks)
    after, [found] = await verify(here), await balances(here)

    assert (Exit.OK, Exit.OK) == (waiting.code, after.code), waiting.err + after.err
    assert (31, 1, before["offsets"] - 61) == (before["pending"], before["dead_lettered"], before["pending"])
    assert (0, 2, 30) == (found["pending"], found["dead_lettered"], found["filtered"])  # nothing changed for anyone
    assert 60 == found["delivered"] + found["coalesced"]


async def _buried(here: Scene[SplioFilesSandbox], count: int) -> bool:
    return len(await here.letters()) == count


async def test_privacy_requests_have_their_balance(broker: Broker, stage: NewStage) -> None:
    """They are offsets of another topic, counted alike."""
    here = await stage(broker, 2, vendor=CustomerioSandbox(), destination="customerio")
    privacy = {"requests": here.topic, "results": f"{here.topic}.results", "key": "a-long-secret"}
    asked = {"kind": "access", "requested_at": "2026-06-06T10:30:00Z"}
    for number, email in enumerate(contacts(6)):
        request = asked | {"request_id": str(number), "identity": {"email": email}}
        await here.send([Sent(orjson.dumps(request), key=email.encode())])
    await here.send([Sent(b"no request", partition=0)])
    blocks = receipts(here) | {"privacy": privacy, "source": {"topics": [f"{here.topic}.events"], "group": here.topic}}
    await here.drain(**blocks)

    ran, found = await verify(here), await balances(here)

    assert Exit.OK == ran.code, ran.err
    assert {(here.topic, 0), (here.topic, 1)} == {(each["topic"], each["partition"]) for each in found}
    assert (7, 6, 1) == tuple(sum(each[word] for each in found) for word in ("offsets", "delivered", "dead_lettered"))


async def test_a_range_of_time_has_its_own_balance(broker: Broker, stage: NewStage) -> None:
    """From the receipts before and after it; without receipts there is none to be had."""
    here = await stage(broker)
    for n in range(3):
        await here.send(events(contacts(10), each=1, after=n))
        await here.drain(**receipts(here))
    written = [orjson.loads(record.value) for record in await broker.read_all(f"{here.topic}.receipts")]
    moments = {receipt["position"]: receipt["at"] for receipt in reversed(written)}

    [found] = await balances(here, "--from", moments[10], "--to", moments[20])

    assert (10, 20, 10, 10, None) == tuple(found[word] for word in ("first", "end", "offsets", "delivered", "pending"))
    assert [moments[10][:19], moments[20][:19]] == [found["from"][:19], found["to"][:19]]


@pytest.mark.parametrize("again", [False, True], ids=["at once", "after it went on"])
@pytest.mark.parametrize(
    "to, told",
    [
        (15, "offsets 10 to 14: the position jumped from 10 to 15"),
        (4, "offsets 4 to 9: the position went back from 10 to 4"),
        (0, "offsets 0 to 9: the position went back from 10 to 0"),
    ],
)
async def test_a_moved_position_is_named(broker: Broker, stage: NewStage, to: int, told: str, again: bool) -> None:
    """By somebody else's hand, while nobody ran."""
    here = await stage(broker)
    await here.send(events(contacts(10), each=1))
    await here.drain(**receipts(here))
    await here.send(events(contacts(10), each=1, after=1))

    await move(broker, here, to)
    if again:
        await here.drain(**receipts(here))

    ran, [found] = await verify(here), await balances(here)
    assert Exit.UNEVEN == ran.code
    assert f"crmstream: not even: {DESTINATION}, {here.topic}/0, {told}" in ran.err
    assert f"another tool or consumer committed for group {here.group}" in ran.err
    assert [("moved", *sorted((to, 10)))] == [(each["cause"], each["first"], each["end"]) for each in found["uneven"]]


async def test_a_position_moved_forward_is_seen_without_receipts(broker: Broker, stage: NewStage) -> None:
    """The counters do not reach back to the log's beginning."""
    here = await stage(broker)
    await here.send(events(contacts(10), each=1))
    await here.drain()
    await move(broker, here, 5)
    await here.drain()

    ran = await verify(here)

    assert Exit.UNEVEN == ran.code
    assert "offsets 0 to 4: the counters begin at 5" in ran.err
    assert "without a `receipts` block" in ran.err


async def test_what_retention_took_is_named(broker: Broker, stage: NewStage) -> None:
    """Before anybody accepted it, and as a counted loss afterwards."""
    here = await stage(broker)
    await here.send(events(contacts(10), each=1))
    await here.drain(**receipts(here))
    await here.send(events(contacts(10), each=1, after=1))
    await broker.delete_before(here.topic, 0, 13)

    before, [seen] = await verify(here), await balances(here)
    await here.run("--drain", "--accept-loss", **receipts(here))
    after, [counted] = await verify(here), await balances(here)
    [later] = await balances(here, "--from", "2100-01-01")

    assert (Exit.UNEVEN, Exit.UNEVEN) == (before.code, after.code)
    assert "offsets 10 to 12: the position is 10, and the log begins at 13" in before.err
    assert ["lost"] == [each["cause"] for each in seen["uneven"]]
    assert (3, 17, 20) == (counted["lost_to_retention"], counted["delivered"], counted["offsets"])
    assert "3 offsets were gone from the log before they were delivered, and were given up" in after.err
    assert later["even"]


async def test_a_missing_letter_is_named(broker: Broker, stage: NewStage) -> None:
    """The topic of dead letters has lost its beginning."""
    here = await stage(broker)
    here.vendor.faults = refusing()
    await here.send(events([*contacts(5), REFUSED], each=4))
    await here.drain(**receipts(here))
    assert Exit.OK == (await verify(here)).code
    await broker.delete_before(here.dead, 0, 1)

    ran = await verify(here)

    assert Exit.UNEVEN == ran.code
    assert "offsets 0 to 23: 4 records were buried, and 3 dead letters are there" in ran.err
    assert f"{here.dead} must keep what it has" in ran.err


async def test_what_cannot_be_asked_is_told(broker: Broker, stage: NewStage) -> None:
    """A range of time without receipts, a time that is none, a range that ends before it begins."""
    here = await stage(broker)
    await here.send(events(contacts(2), each=1))
    await here.drain()

    block = await verify(here, "--from", "2026-01-01")
    time = await verify(here, "--to", "noon")
    order = await verify(here, "--from", "2026-01-02", "--to", "2026-01-01")

    assert [Exit.BAD_FILE] * 3 == [ran.code for ran in (block, time, order)]
    assert "the file has no `receipts` block\n  leave out --from and --to, or add" in block.err
    assert "--to: 'noon' is not a time such as 2026-06-06T10:30Z" in time.err
    assert "--from is after --to" in order.err
