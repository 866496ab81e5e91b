"""Pauses: an operator's, by the control topic, and the burial limit's own. Both hold until `resume`."""

from datetime import UTC, datetime
from typing import Literal

from schemas.control import Command
from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.sandbox import Failure
from stream.kafka.producer import Producer
from stream.kafka.settings import KafkaSettings
from stream.topics import control
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, Member, Stage, contacts, events, until
from tests.e2e.test_workers import committed, kill, workers
from tests.e2e.vendor import WELL, assert_all_in_order
from tests.kafka.broker import Broker

REASON = "the vendor asked us to wait"


async def test_an_operator_pauses_and_resumes_all_members(broker: Broker, stage: NewStage) -> None:
    """While paused records are read and held, and nobody is ready; a member that starts later is paused as well."""
    here = await stage(broker, partitions=2)
    people = contacts(20)
    await here.send(events(people, each=1))
    first = await here.start()
    await here.delivered(20, first)

    await _order(here, "pause")
    await first.in_state("paused")
    second = await here.start()
    await second.owns(1)
    await second.in_state("paused")
    await here.send(events(people, each=1, after=1))
    await until(lambda: _holding(20, first, second), first, second, what="20 events held")
    for member in (first, second):
        status, words = await member.readiness()
        assert (503, False, REASON) == (status, words["ready"], words["reason"])
    assert 20 == len(here.vendor.ledger)

    await _order(here, "resume")
    await here.delivered(40, first, second)
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 2))
    assert 0 == here.vendor.repeats


async def test_a_pause_holds_for_all_workers(broker: Broker, stage: NewStage) -> None:
    """Also for one that dies meanwhile and is started again."""
    here = await stage(broker, partitions=2)
    people = contacts(20)
    await here.send(events(people, each=1))
    parent = await here.start("--workers", "2")
    await here.delivered(20, parent)
    await committed(here, parent)

    await _order(here, "pause")
    await parent.in_state("paused")
    kill(workers(parent)[0])
    await until(lambda: "worker_ended" in parent.output and len(workers(parent)) == 2, parent, what="another worker")
    await parent.owns(2)
    await parent.in_state("paused")
    await here.send(events(people, each=1, after=1))
    await until(lambda: _holding(20, parent), parent, what="20 events held")
    assert 20 == len(here.vendor.ledger)

    await _order(here, "resume")
    await here.delivered(40, parent)
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 2))
    assert 0 == here.vendor.repeats


async def test_too_many_burials_pause_the_destination(broker: Broker, stage: NewStage) -> None:
    """A vendor that refuses every event gets ten into the dead letters, not the topic; the rest waits for `resume`."""
    here = await stage(broker)
    here.vendor.faults = AttioFaults(fail=[Failure(status=400)])
    people = contacts(100)
    await here.send(events(people, each=1))
    member = await here.start(dead_letters={"stop_above": "50% of 20"}, destination={"concurrency": 4})

    await member.in_state("paused")
    await until(lambda: _holding_none_in_flight(member), member, what="quiet")
    buried = len(await here.letters())
    assert 10 <= buried < 10 + 4
    status, words = await member.readiness()
    assert (503, False) == (status, words["ready"])
    assert "crmstream resume" in words["reason"]

    here.vendor.faults = WELL
    await _order(here, "resume")
    await here.delivered(100 - buried, member)
    await here.position(0, 100, member)
    assert buried == len(await here.letters())


async def _order(here: Stage, action: Literal["pause", "resume"]) -> None:
    """What `crmstream pause` and `resume` do."""
    async with Producer(KafkaSettings(bootstrap_servers=[here.broker.bootstrap])) as producer:
        command = Command(action=action, at=datetime.now(UTC), reason=REASON if action == "pause" else "")
        await control.write(producer, here.control, DESTINATION, command)


async def _holding(count: int, *members: Member) -> bool:
    pending: list[int] = [(await member.state()).get("pending", 0) for member in members]
    return count == sum(pending)


async def _holding_none_in_flight(member: Member) -> bool:
    state = await member.state()
    return bool(state) and state["in_flight"] == 0
