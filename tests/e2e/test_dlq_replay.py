"""Replay and discard as operators do it, on a real broker: what arrives the vendor's own ledger says."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Literal

import orjson
import pytest

from schemas.dead_letters import DeadLetter
from stream.destinations.sandbox import Failure, serve
from stream.destinations.splio_contacts.sandbox import SplioContactsFaults, SplioContactsSandbox
from stream.destinations.splio_sms.sandbox import SplioSmsFaults
from stream.errors import Exit
from tests.e2e.conftest import NewStage
from tests.e2e.members import (
    DESTINATION,
    Committed,
    Stage,
    attio_at,
    configuration,
    contacts,
    event,
    free_port,
    keyed,
    until,
)
from tests.e2e.sms_kills import BLOCKS, Texts, ordered
from tests.e2e.test_cli_operators import Ran, configured, crmstream
from tests.e2e.vendor import WELL, Vendor, broken_for
from tests.kafka.broker import Broker, Sent

ADA, GRACE = "ada@example.com", "grace@example.com"
OTHER = "second"  # name of another destination of the same file
COUNT = 4000  # letters, so that a kill comes before the last one


async def test_a_letter_is_delivered_once_more_when_its_cause_is_mended(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """Buried by one of two destinations, mended, replayed: it arrives there exactly once, and nowhere else again."""
    here = await stage(broker, partitions=2)
    second = Vendor()
    async with serve(second) as url:
        here.others = {OTHER: attio_at(url)[DESTINATION]}
        here.vendor.faults = broken_for(ADA, status=400)
        await here.send([keyed(email) for email in (ADA, GRACE)])
        await here.drain()
        [letter] = await here.letters()
        assert (1, 2) == (len(here.vendor.ledger), len(second.ledger))
        here.vendor.faults = WELL
        config = tmp_path / "member-1.yaml"

        tried = await crmstream("dlq", "replay", "--all", "--dry-run", config=config)
        assert 2 == len(await broker.read_all(here.topic))
        done = await crmstream("dlq", "replay", "--destination", DESTINATION, config=config)
        again = await crmstream("dlq", "replay", "--all", "--json", config=config)
        listed = await crmstream("dlq", "ls", "--json", config=config)
        await here.drain()

    assert f"1 letter would be replayed to {here.topic}\n" == tried.out
    assert (Exit.OK, f"1 letter replayed to {here.topic}\n", "") == (done.code, done.out, done.err)
    assert [{"replayed": 0, "skipped": {"replayed_before": 1}, "dry_run": False}] == again.objects
    assert [(1, 1, 0)] == [(group["count"], group["replayed"], group["discarded"]) for group in listed.objects]
    assert [GRACE, ADA] == [delivery.email for delivery in here.vendor.ledger]
    assert 2 == len(second.ledger)
    place = dict(letter.headers)["__connect.errors.partition"], dict(letter.headers)["__connect.errors.offset"]
    [record] = [each for each in await broker.read_all(here.topic) if each.headers]
    assert (int(place[0]), letter.key, letter.value) == (record.partition, record.key, record.value)
    identity = f"{DESTINATION}/{here.topic}/{int(place[0])}/{int(place[1])}"
    assert {DESTINATION.encode(), f"{identity}#1".encode()} < {value for _, value in record.headers}
    commits = await broker.committed(f"{here.topic}.{OTHER}", here.topic)
    assert 1 == sum(Committed.read(*commit).totals["filtered"] for commit in commits.values())
    assert 1 == len(await here.letters())


async def test_a_later_event_of_the_contact_supersedes_a_letter(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """What the vendor knows by now is not replaced by what was true before, unless somebody insists."""
    here = await stage(broker)
    here.vendor.faults = broken_for(ADA, GRACE, status=400)
    await here.send([keyed(ADA, 1), keyed(GRACE, 1)])
    await here.drain()
    here.vendor.faults = WELL
    await here.send([keyed(ADA, 2)])
    await here.drain()
    config = tmp_path / "member-1.yaml"

    careful = await crmstream("dlq", "replay", "--all", config=config)
    await here.drain()
    assert [(ADA, 2), (GRACE, 1)] == [delivery.event for delivery in here.vendor.ledger]
    insisting = await crmstream("dlq", "replay", "--all", "--force", "--json", config=config)
    await here.drain()

    assert (Exit.OK, Exit.OK) == (careful.code, insisting.code)
    assert (
        f"1 letter replayed to {here.topic}\n1 skipped: superseded by a later event of the same contact"
        " (--force replays them)\n"
    ) == careful.out
    assert [{"replayed": 1, "skipped": {"replayed_before": 1}, "dry_run": False}] == insisting.objects
    assert (ADA, 1) == here.vendor.ledger[-1].event


async def test_a_bare_event_supersedes_by_what_is_remembered_of_its_user(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """A track that brings only a userId is about the contact that an identify before the letter named."""
    here = await stage(broker)
    await here.send([keyed(ADA, 1)])
    await here.drain()
    here.vendor.faults = broken_for(ADA, status=400)
    await here.send([keyed(ADA, 2)])
    await here.drain()
    here.vendor.faults = WELL
    bare = {"type": "track", "event": "Signed Up", "userId": ADA, "timestamp": "2026-06-06T10:31:00.000Z"}
    await here.send([Sent(orjson.dumps(bare), key=ADA.encode())])
    await here.drain()
    assert 2 == len(here.vendor.calls_for(ADA)) - 1

    ran = await crmstream("dlq", "replay", "--all", "--json", config=tmp_path / "member-1.yaml")

    assert [{"replayed": 0, "skipped": {"superseded": 1}, "dry_run": False}] == ran.objects


@pytest.mark.parametrize("command", ["replay", "discard"])
async def test_what_is_killed_can_be_run_again(
    broker: Broker, stage: NewStage, tmp_path: Path, command: Literal["replay", "discard"]
) -> None:
    """`kill -9` at any moment, several times, then to the end: each letter is written back once, or given up once."""
    random = Random(11)
    here = await stage(broker)
    await here.send([keyed(email) for email in contacts(COUNT)])
    await _bury(here, range(COUNT))
    config = configured(tmp_path, broker, here.topic)
    await broker.create(f"{here.dead}.replays", configs={"cleanup.policy": "compact"})

    done = 0
    while done < COUNT // 3:
        await _kill_after(
            done + random.randrange(100, 600),
            here,
            *(sys.executable, "-m", "stream", "dlq", command, "--all", "-c", str(config)),
        )
        done = len(await _noted(here))
        assert 0 < done < COUNT, "the kill came too early or too late"
    ran = await crmstream("dlq", command, "--all", "--json", config=config)

    left, skipped = COUNT - done, {"skipped": {"replayed_before": done}}
    told = {"replayed": left, **skipped} if command == "replay" else {"discarded": left}
    assert [{**told, "dry_run": False}] == ran.objects
    identities = {f"{DESTINATION}/{here.topic}/0/{offset}" for offset in range(COUNT)}
    assert (COUNT, identities) == (len(await _noted(here)), set(await _noted(here)))
    replays = await _replays(here)
    assert (COUNT if command == "replay" else 0) == len(replays)
    assert {f"{identity}#1" for identity in identities} == set(replays) or command == "discard"


async def test_two_replays_at_a_time_repeat_nothing(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """The later one shuts the earlier one out, which says so; a third finds what they left, if anything."""
    here = await stage(broker)
    await here.send([keyed(email) for email in contacts(1500)])
    await _bury(here, range(1500))
    config = configured(tmp_path, broker, here.topic)

    both = await asyncio.gather(*(crmstream("dlq", "replay", "--all", config=config) for _ in range(2)))
    await crmstream("dlq", "replay", "--all", config=config)

    assert {1} == set(Counter(await _replays(here)).values())
    assert 1500 == len(await _replays(here))
    for ran in both:
        assert Exit.OK == ran.code or "another one was begun meanwhile" in ran.err, ran.err


async def test_a_value_too_large_for_the_letters_is_read_at_the_source(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """And where retention has removed it meanwhile, that is said, and all others are replayed."""
    here = await stage(broker)
    await broker.create(here.dead, configs={"max.message.bytes": "3000"})
    here.vendor.faults = broken_for(ADA, GRACE, "late@example.com", status=400)
    note = Random(1).randbytes(9000).hex()  # which no compression makes small enough
    large = [Sent(event(email, note=note), key=email.encode()) for email in (ADA, GRACE)]
    await here.send([large[0], large[1], keyed("late@example.com")])
    await here.drain()
    here.vendor.faults = WELL
    config = tmp_path / "member-1.yaml"
    assert 2 == [letter.value for letter in await here.letters()].count(None)
    await broker.delete_before(here.topic, 0, 1)

    ran = await crmstream("dlq", "replay", "--all", config=config)
    await here.drain()

    assert Exit.FAILURE == ran.code
    assert f"2 letters replayed to {here.topic}\n1 skipped: without value: " in ran.out
    assert f"{DESTINATION}/{here.topic}/0/0: its value is no more in the source topic, retention has" in ran.err
    assert [GRACE, "late@example.com"] == [delivery.email for delivery in here.vendor.ledger]
    assert not {"ada", "grace"} & set((ran.out + ran.err).split("@"))


async def test_a_text_that_may_have_arrived_is_sent_again_only_on_a_word_of_its_own(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """`--all` is not enough; `--reason unknown_outcome` is, and leads to one more text, whatever the journal has."""
    here = await stage(broker, vendor=Texts(), destination="splio_sms")
    here.vendor.faults = SplioSmsFaults(fail=[Failure(status="cut_after", times=1)])
    await here.send([ordered(1)])
    await here.drain(**BLOCKS)
    config = tmp_path / "member-1.yaml"
    assert [b"unknown_outcome"] == [dict(letter.headers)["crmstream.reason"] for letter in await here.letters()]

    careful = await crmstream("dlq", "replay", "--all", config=config)
    meant = await crmstream("dlq", "replay", "--reason", "unknown_outcome", "--json", config=config)
    await here.drain(**BLOCKS)

    assert careful.out.startswith("0 letters replayed\n1 skipped: may have arrived, and a second time would cost")
    assert [{"replayed": 1, "skipped": {}, "dry_run": False}] == meant.objects
    assert {"1": 2} == here.vendor.orders()
    assert 1 == len(await here.letters())


async def test_discarded_letters_are_out_of_sight(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """`ls`, `show` and `replay` leave them out; `--all` shows them with the reason given."""
    here = await stage(broker)
    await _bury(here, range(3), reason="rejected")
    await _bury(here, range(3, 5), reason="exhausted")
    config = configured(tmp_path, broker, here.topic)

    tried = await crmstream("dlq", "discard", "--reason", "rejected", "--dry-run", config=config)
    before = await crmstream("dlq", "ls", "--json", config=config)
    because = ("--because", "asked by jane@example.com")
    done = await crmstream("dlq", "discard", "--reason", "rejected", *because, config=config)
    again = await crmstream("dlq", "discard", "--all", "--dry-run", "--json", config=config)
    after = await crmstream("dlq", "ls", "--json", config=config)
    full = await crmstream("dlq", "ls", "--all", "--json", config=config)
    shown = await crmstream("dlq", "show", "--all", "--reason", "rejected", config=config)
    replayed = await crmstream("dlq", "replay", "--all", "--dry-run", "--json", config=config)

    assert ("3 letters would be discarded\n", "3 letters discarded\n") == (tried.out, done.out)
    assert [{"discarded": 2, "dry_run": True}] == again.objects
    assert [
        {"rejected": (3, 0), "exhausted": (2, 0)},
        {"exhausted": (2, 0)},
        {"rejected": (3, 3), "exhausted": (2, 0)},
    ] == [_groups(ran) for ran in (before, after, full)]
    assert 3 == shown.out.count(": asked by [email]\n")
    assert {"discarded": 3} == replayed.objects[0]["skipped"]
    assert "compact" == await broker.config(f"{here.dead}.replays", "cleanup.policy")


async def test_a_replay_puts_nobody_back_on_a_list(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """Who has left it since the event was buried stays away, even where the replay is forced; the rest is brought."""
    here = await stage(broker, vendor=SplioContactsSandbox(), destination="splio_contacts")
    listed = {"default_list_id": "25"}
    here.vendor.universe.create({"email": ADA, "firstname": "Ada"})  # on no list any more
    here.vendor.faults = SplioContactsFaults(fail=[Failure(status=400, code="email", message="no")])
    await here.send([consenting("Augusta")])
    await here.drain(destination=listed)
    here.vendor.faults = SplioContactsFaults()

    ran = await crmstream("dlq", "replay", "--all", "--force", "--json", config=here.config)
    await here.drain(destination=listed)

    assert [{"replayed": 1, "skipped": {}, "dry_run": False}] == ran.objects
    [ada] = here.vendor.people()
    assert ("Augusta", []) == (ada["firstname"], ada["lists"])


async def test_letters_of_a_destination_that_is_no_more_stay_where_they_are(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """Removed from the file, or renamed: said, told apart from what was done, and `discard` clears them away."""
    here = await stage(broker)
    await _bury(here, [0])
    renamed = {f"{DESTINATION}-eu": attio_at("http://127.0.0.1:1")[DESTINATION]}
    config = tmp_path / "renamed.yaml"
    config.write_bytes(orjson.dumps(configuration(broker.bootstrap, here.topic, free_port(), renamed, {})))

    all_of_them = await crmstream("dlq", "replay", "--all", config=config)
    by_name = await crmstream("dlq", "replay", "--destination", DESTINATION, config=config)
    given_up = await crmstream("dlq", "discard", "--destination", DESTINATION, config=config)

    gone = "0 letters replayed\n1 skipped: of a destination, topic or partition that is no more\n"
    assert (Exit.FAILURE, gone) == (all_of_them.code, all_of_them.out)
    assert f"there is no destination {DESTINATION}\n  did you mean {DESTINATION}-eu?" in by_name.err
    assert (Exit.OK, "1 letter discarded\n") == (given_up.code, given_up.out)


async def test_letters_are_shown_whole_to_who_confirms_it(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """With --yes where nobody can be asked."""
    here = await stage(broker)
    await _bury(here, [0])
    config = configured(tmp_path, broker, here.topic)

    masked = await crmstream("dlq", "show", "--json", config=config)
    whole = await crmstream("dlq", "show", "--unmask", "--yes", "--json", config=config)

    assert "example.com" not in masked.out
    assert [("contact-0@example.com", "contact-0@example.com")] == [
        (letter["key"], letter["value"]["traits"]["email"]) for letter in whole.objects
    ]


def consenting(first_name: str) -> Sent:
    """Ada's event with a name, and her consent."""
    found = orjson.loads(event(ADA, first_name=first_name))
    return Sent(orjson.dumps(found | {"context": {"consent": {"canonical": {"marketing": True}}}}), key=ADA.encode())


async def _bury(here: Stage, numbers: Iterable[int], *, reason: str = "rejected") -> None:
    """Letters of Attio for the records at these offsets of partition 0, as `run` would have written them."""
    about = DeadLetter(DESTINATION, here.topic, 0, 0, reason, "no such field", 1, datetime.now(UTC).timestamp())
    if here.dead not in await here.broker.topics():
        await here.broker.create(here.dead)
    letters = [
        replace(keyed(f"contact-{number}@example.com"), headers=replace(about, offset=number).headers())
        for number in numbers
    ]
    await here.broker.produce(here.dead, letters)


async def _kill_after(notes: int, here: Stage, *command: str) -> None:
    """Run a command and kill it once it has noted that much."""

    async def begun() -> bool:
        return sum((await here.broker.ends(f"{here.dead}.replays")).values()) > notes

    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    await until(begun, what="some notes")
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _noted(here: Stage) -> list[str]:
    """The letters of which something is noted, as often as it is, read by a plain consumer."""
    return [record.key.decode() for record in await here.broker.read_all(f"{here.dead}.replays")]


async def _replays(here: Stage) -> list[str]:
    """The marks of all replays in the source, read by a plain consumer."""
    found = [dict(record.headers).get("crmstream.replay") for record in await here.broker.read_all(here.topic)]
    return [mark.decode() for mark in found if mark is not None]


def _groups(listed: Ran) -> dict[str, tuple[int, int]]:
    """How many letters `ls` counts by reason, and how many of them are discarded."""
    return {group["reason"]: (group["count"], group["discarded"]) for group in listed.objects}
