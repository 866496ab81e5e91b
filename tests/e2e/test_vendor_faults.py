"""A vendor that is down, refuses our key, or chokes on one contact: only the last one is for the dead-letter topic."""

from typing import Any

import pytest

from stream.destinations.attio.sandbox import AttioFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import Member, Stage, contacts, events, keyed, until
from tests.e2e.vendor import WELL, assert_all_in_order, broken_for
from tests.kafka.broker import Broker

POISON = "poison@example.com"


@pytest.mark.parametrize("transport, seconds", [("fast", 30), ("httpx", 8)])
async def test_an_outage_delays_and_buries_nothing(
    broker: Broker, stage: NewStage, transport: str, seconds: float
) -> None:
    """The vendor is gone mid-run: suspended but ready; when it is back everything is delivered, in order."""
    here = await stage(broker, partitions=2)
    here.vendor.faults = AttioFaults(latency=0.02)
    people = contacts(8)  # few, so that each fails often before the vendor counts as gone
    # One failure may count: a call that began later may have been answered when this one was cut off. Not three.
    retry = {"base": "50ms", "max": "1s", "attempts": 3}
    total = await here.send(events(people, each=60))
    member = await here.start(http={"transport": transport}, destination={"retry": retry})
    await here.delivered(100, member)

    here.vendor.faults = AttioFaults(down=True, seconds=seconds)
    await member.in_state("suspended")
    assert len(here.vendor.distinct) < total
    await until(lambda: _ready_though_suspended(member), member, what="the same from the probe")
    assert here.vendor.faults.down, "the outage was over before anyone looked"
    await here.delivered(total, member)
    await member.in_state("running")

    assert [] == await here.letters()
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 60))
    member.terminate()
    assert 0 == await member.exit_code()
    await here.assert_settled()


async def test_a_token_that_is_refused_at_the_start_holds_everything(broker: Broker, stage: NewStage) -> None:
    """Not ready, with the reason; nothing buried. Once the vendor takes the token, all flows, without a restart."""
    here = await stage(broker)
    here.vendor.faults = AttioFaults(revoked=True)
    people = contacts(20)
    total = await here.send(events(people, each=5))
    member = await here.start()

    await _blocked(member)
    assert [] == here.vendor.ledger
    assert [] == await here.letters()
    here.vendor.faults = WELL
    await here.delivered(total, member)

    await _ready(member)
    assert [] == await here.letters()
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 5))


async def test_a_token_that_is_revoked_mid_run_holds_everything(broker: Broker, stage: NewStage) -> None:
    """The same between two events: calls that were refused are sent again, none is buried."""
    here = await stage(broker)
    here.vendor.faults = AttioFaults(latency=0.02)
    people = contacts(40)
    total = await here.send(events(people, each=30))
    member = await here.start()
    await here.delivered(200, member)

    here.vendor.faults = AttioFaults(revoked=True)
    await until(lambda: any(401 == entry.status for entry in here.vendor.log), member, what="a refused call")
    await _blocked(member)
    assert len(here.vendor.distinct) < total
    assert [] == await here.letters()
    here.vendor.faults = WELL
    await here.delivered(total, member)

    await _ready(member)
    assert [] == await here.letters()
    assert 0 == here.vendor.repeats
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 30))


@pytest.mark.parametrize("transport", ["fast", "httpx"])
async def test_a_poisoned_contact_is_buried_and_holds_up_nobody(
    broker: Broker, stage: NewStage, transport: str
) -> None:
    """Four calls for its first event, one for each later one; the others are through before the fourth."""
    here = await stage(broker)
    here.vendor.faults = broken_for(POISON, status=500)
    people = contacts(50)
    poisoned = [keyed(POISON, n) for n in (1, 2, 3)]
    total = await here.send([*poisoned, *events(people, each=2)])
    retry = {"base": "500ms", "max": "2s", "attempts": 4}

    await here.drain(http={"transport": transport}, destination={"retry": retry})

    calls = here.vendor.calls_for(POISON)
    assert 4 + 1 + 1 == len(calls)
    assert max(delivery.at for delivery in here.vendor.ledger) < calls[3].at
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 2))
    letters = await here.letters()
    assert [(record.key, record.value) for record in poisoned] == [(letter.key, letter.value) for letter in letters]
    assert [0, 1, 2] == [int(_header(letter, "__connect.errors.offset")) for letter in letters]
    assert [b"4", b"1", b"1"] == [_header(letter, "crmstream.attempts") for letter in letters]
    for letter in letters:
        assert _described(here) <= set(letter.headers)
        assert POISON.encode() not in b" ".join(value for _, value in letter.headers)
    commit = (await here.committed())[0]
    assert (total, 3, total - 3) == (commit.position, commit.totals["dead_lettered"], commit.totals["delivered"])


async def test_a_poisoned_contact_does_not_hold_its_partition_at_the_window(broker: Broker, stage: NewStage) -> None:
    """It would be tried a hundred times; but its partition stands, so it is buried early, and the rest follows."""
    here = await stage(broker)
    here.vendor.faults = broken_for(POISON, status=500)
    people = contacts(50)
    await here.send([keyed(POISON), *events(people, each=4)])
    retry = {"base": "200ms", "max": "1s", "attempts": 100}
    member = await here.start(source={"window": 50}, destination={"retry": retry})

    await here.delivered(49, member)
    await here.delivered(200, member)
    await here.position(0, 201, member)

    [letter] = await here.letters()
    assert (b"exhausted", b"0") == (_header(letter, "crmstream.reason"), _header(letter, "__connect.errors.offset"))
    calls = here.vendor.calls_for(POISON)
    assert 3 <= int(_header(letter, "crmstream.attempts")) == len(calls) < 100
    at_window = [delivery for delivery in here.vendor.ledger if delivery.at < calls[-1].at]
    assert 49 == len(at_window)
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 4))


def _described(here: Stage) -> set[tuple[str, bytes]]:
    """What the headers of an exhausted message's letter say (design, section 7)."""
    return {
        ("__connect.errors.topic", here.topic.encode()),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.connector.name", b"attio"),
        ("__connect.errors.stage", b"TASK_PUT"),
        ("crmstream.destination", b"attio"),
        ("crmstream.reason", b"exhausted"),
        ("crmstream.status", b"500"),
    }


def _header(letter: Any, name: str) -> bytes:
    value: bytes = dict(letter.headers)[name]
    return value


async def _blocked(member: Member) -> None:
    """Wait until it is not ready for being blocked, and says so."""

    async def blocked() -> bool:
        status, words = await member.readiness()
        return (503, "blocked") == (status, words.get("state"))

    await until(blocked, member, what="not ready")
    _, words = await member.readiness()
    assert not words["ready"]
    assert words["reason"]


async def _ready_though_suspended(member: Member) -> bool:
    """Whether the probe says suspended just now; while a canary is out it says running. It never says not ready."""
    status, words = await member.readiness()
    assert (200, True) == (status, words["ready"])
    return bool(words["state"] == "suspended")


async def _ready(member: Member) -> None:
    async def ready() -> bool:
        status, _ = await member.readiness()
        return status == 200

    await until(ready, member, what="readiness")
