"""Contact files, from the topic on a real broker to a real SFTP server. What arrived its importer says."""

import shutil
from pathlib import Path

import orjson

from stream.destinations.splio_files.sandbox import SplioFilesSandbox
from tests.e2e.conftest import NewStage
from tests.e2e.members import Member, Scene, contacts, until
from tests.kafka.broker import Broker, Sent

HOUR = {"destination": {"every": "1h"}}
SOON = {"destination": {"every": "300ms"}}


async def scene(stage: NewStage, broker: Broker, partitions: int = 1) -> Scene[SplioFilesSandbox]:
    return await stage(broker, partitions, vendor=SplioFilesSandbox(), destination="splio_files")


def said(email: str, at: int = 0, **traits: str) -> Sent:
    """What a producer says of a contact, so many seconds after the first time."""
    event = {
        "type": "identify",
        "userId": email.strip().lower(),
        "timestamp": f"2026-06-06T10:{at // 60:02}:{at % 60:02}.000Z",
        "traits": {"email": email, **traits},
    }
    return Sent(orjson.dumps(event), key=email.encode())


def rows(here: Scene[SplioFilesSandbox]) -> list[list[str]]:
    """The lines of each file that an import would take, in the files' order, without headers."""
    visible = [name for name in here.vendor.files if not name.startswith(".")]
    return [here.vendor.content(name).splitlines()[1:] for name in visible]


def names(here: Scene[SplioFilesSandbox]) -> dict[str, str]:
    """First names by email address, as the vendor has them."""
    return {person["email"]: person.get("firstname", "") for person in here.vendor.people()}


async def uploading(here: Scene[SplioFilesSandbox], member: Member) -> None:
    """Wait until a file is half written."""
    await until(lambda: any(name.startswith(".sandbox_contacts") for name in here.vendor.files), member, what="a file")


async def test_a_second_run_writes_only_what_changed(broker: Broker, stage: NewStage) -> None:
    """With the last known values for what an event did not carry; one line for each contact."""
    here = await scene(stage, broker)
    await here.send([said("jane@example.com", 1, first_name="Jan", last_name="Doe"), said("max@example.com", 2)])
    await here.send([said("Jane@Example.com ", 3, first_name="Jane"), Sent(b"no event")])
    await here.drain()
    await here.send([said("jane@example.com", 4, last_name="Roe"), said("max@example.com", 5)])
    await here.drain()

    assert [
        ['"jane@example.com";"Jane";"Doe";;', '"max@example.com";;;;'],
        ['"jane@example.com";"Jane";"Roe";;'],
    ] == rows(here)
    assert 1 == len(await here.letters())
    await here.assert_settled()
    totals = (await here.committed())[0].totals
    assert {"delivered": 3, "coalesced": 1, "filtered": 1, "dead_lettered": 1} == {k: n for k, n in totals.items() if n}


async def test_a_kill_during_an_upload_shows_nothing_and_loses_nothing(broker: Broker, stage: NewStage) -> None:
    """`kill -9` with half a file written: no import sees it, and the next member sends all of it."""
    here = await scene(stage, broker)
    emails = contacts(3000)
    await here.send([said(email, first_name="Jane") for email in emails])
    here.vendor.faults = here.vendor.faults_model(stalls_after=50_000)
    member = await here.start(**SOON)
    await uploading(here, member)
    member.kill()

    assert [] == rows(here)
    assert 0 == (await here.committed())[0].position
    here.vendor.faults = here.vendor.faults_model()
    await here.drain()

    assert dict.fromkeys(emails, "Jane") == names(here)
    assert [3000] == [len(lines) for lines in rows(here)]
    await here.assert_settled()


async def test_a_refused_password_buries_nothing(broker: Broker, stage: NewStage) -> None:
    """The destination is blocked, says what to do, and goes on by itself once the password is right."""
    here = await scene(stage, broker)
    await here.send([said(email, first_name="Jane") for email in contacts(20)])
    here.vendor.faults = here.vendor.faults_model(wrong_password=True)
    member = await here.start(**SOON)
    await member.in_state("blocked")
    status, words = await member.readiness()
    assert 503 == status
    assert "refused the login" in words["reason"]
    assert "password" in words["reason"]

    here.vendor.faults = here.vendor.faults_model()
    await here.position(0, 20, member)
    await member.in_state("running")

    assert 20 == len(here.vendor.people())
    assert [] == await here.letters()


async def test_a_stopped_member_sends_what_it_has_read(broker: Broker, stage: NewStage) -> None:
    """SIGTERM ends with a run; nothing is sent again after it."""
    here = await scene(stage, broker, partitions=2)
    await here.send([said(email, first_name="Jane") for email in contacts(50)])
    member = await here.start(**HOUR)

    async def read() -> bool:
        return (await member.state()).get("pending") == 50

    await until(read, member, what="50 records read")
    await member.in_state("running")
    assert [] == rows(here)
    member.terminate()
    assert 0 == await member.exit_code()

    assert [50] == [len(lines) for lines in rows(here)]
    await here.assert_settled()
    await here.drain()
    assert 1 == len(rows(here))


async def test_a_new_machine_knows_what_was_sent(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """The state is read from the changelog where the folder is gone."""
    here = await scene(stage, broker)
    await here.send([said(email, first_name="Jane") for email in contacts(10)])
    await here.drain()
    shutil.rmtree(tmp_path / "state")
    await here.send([said(email, 60, first_name="Jane") for email in contacts(10)])
    await here.send([said("contact-3@example.com", 61, first_name="June")])
    await here.drain()

    assert [10, 1] == [len(lines) for lines in rows(here)]
    assert "June" == names(here)["contact-3@example.com"]


async def test_another_mapping_sends_everybody_again(broker: Broker, stage: NewStage) -> None:
    """Without an event, and said in the log."""
    here = await scene(stage, broker)
    await here.send([said(email, first_name="Jane", phone="+33612345678") for email in contacts(10)])
    await here.drain()
    member = await here.drain(destination={"phone_format": "plus"})
    await here.drain(destination={"phone_format": "plus"})

    assert [10, 10] == [len(lines) for lines in rows(here)]
    assert "mapping_changed" in member.output


async def test_partitions_that_move_upload_nothing(broker: Broker, stage: NewStage) -> None:
    """A second member takes half of them over: what was read is read again by its owner, each row goes out once."""
    here = await scene(stage, broker, partitions=4)
    await here.send([said(email, first_name="Jane") for email in contacts(100)])
    first = await here.start(**HOUR)
    await first.owns(4)
    second = await here.start(**HOUR)
    await second.owns(2)
    assert [] == rows(here)
    first.terminate()
    assert 0 == await first.exit_code()

    async def all_read() -> bool:
        return (await second.state()).get("pending") == 100 - sum(len(lines) for lines in rows(here))

    await second.owns(4)
    await until(all_read, second, what="the others' records")
    second.terminate()
    assert 0 == await second.exit_code()

    assert 100 == sum(len(lines) for lines in rows(here))
    assert 100 == len(here.vendor.people())
    await here.assert_settled()


async def test_missing_attributes_are_created_before_the_first_file(broker: Broker, stage: NewStage) -> None:
    """By the Data API, with the type that was asked for."""
    here = await scene(stage, broker)
    await here.send([said("jane@example.com", tier="gold")])
    await here.drain(destination={"custom_attributes": {"tier": "traits.tier"}})

    assert {1: "civility", 2: "tier"} == here.vendor.importer.attributes
    assert [{"email": "jane@example.com", "tier": "gold"}] == here.vendor.people()
