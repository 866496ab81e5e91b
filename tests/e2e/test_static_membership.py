"""`kafka.group_instance_id`: a restart moves no partition, and what it costs."""

from stream.kafka.admin import Admin
from stream.kafka.settings import KafkaSettings
from tests.e2e.conftest import NewStage
from tests.e2e.members import Member, Stage, contacts, events, until
from tests.e2e.test_workers import ready
from tests.e2e.vendor import assert_all_in_order
from tests.kafka.broker import Broker

UNIQUE = -37  # of a member's id: what the broker puts after the name


async def test_a_restart_within_the_session_moves_no_partition(broker: Broker, stage: NewStage) -> None:
    """The other member hears nothing of it, neither of a clean stop nor of a kill."""
    here = await stage(broker, partitions=4)
    people = contacts(40)
    total = await here.send(events(people, each=5))
    stays, goes = await here.start(kafka=static("crm-a")), await here.start(kafka=static("crm-b"))
    for member in (stays, goes):
        await member.owns(2)
    await here.delivered(total, stays, goes)
    for member in (stays, goes):
        await until(lambda: ready(member), member, what="the end of the rebalance")  # noqa: B023
    before = assignments(stays)

    goes.terminate()
    assert 0 == await goes.exit_code()
    total += await here.send(events(people, each=5, after=5))
    comes = await here.start(kafka=static("crm-b"))
    await comes.owns(2)
    await here.delivered(total, stays, comes)
    for partition, end in (await broker.ends(here.topic)).items():
        await here.position(partition, end, stays, comes)
    comes.kill()
    comes = await here.start(kafka=static("crm-b"))
    await comes.owns(2)
    comes.terminate()
    assert 0 == await comes.exit_code()
    assert before == assignments(stays)
    assert 1 == assignments(comes)
    assert ["crm-a", "crm-b"] == await names(here)  # it did not leave: for the rest of its session nobody takes over
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 10))
    assert 0 == here.vendor.repeats


async def test_two_processes_of_one_id_are_told(broker: Broker, stage: NewStage) -> None:
    """The newer one takes over, the older one ends with a plain error instead of taking the place back."""
    here = await stage(broker, partitions=2)
    people = contacts(40)
    first = await here.start(kafka=static("crm-a"))
    await first.owns(2)

    second = await here.start(kafka=static("crm-a"))
    assert 1 == await first.exit_code()
    await second.owns(2)
    total = await here.send(events(people, each=5))
    await here.delivered(total, second)

    assert "has joined group" in first.output
    assert "as crm-a" in first.output
    assert "group_instance_id" in first.output
    assert 1 == assignments(second)
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 5))
    assert 0 == here.vendor.repeats


async def test_each_worker_has_an_id_of_its_own(broker: Broker, stage: NewStage) -> None:
    """Two workers of one file are two static members."""
    here = await stage(broker, partitions=2)

    parent = await here.start("--workers", "2", kafka=static("crm-a"))

    async def both_are_there() -> bool:
        return await names(here) == ["crm-a-0", "crm-a-1"]

    await until(both_are_there, parent, what="two static members")


def static(name: str) -> dict[str, str]:
    """The configuration block of a static member."""
    return {"group_instance_id": name, "session_timeout": "45s"}  # longer than a start on a busy machine


async def names(here: Stage) -> list[str]:
    """The ids under which the group's members are known."""
    async with Admin(KafkaSettings(bootstrap_servers=[here.broker.bootstrap])) as admin:
        return sorted(member[:UNIQUE] for member in await admin.members(here.group))


def assignments(member: Member) -> int:
    """How often it was given partitions."""
    return member.output.count('"event": "assigned"')
