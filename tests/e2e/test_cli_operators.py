"""The commands of operators against a real broker: load events, look, pause, read the dead letters."""

import asyncio
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.sandbox import serve
from stream.errors import Exit
from tests.conftest import NewTopic
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, Stage, attio_at, configuration, contacts, event, events, free_port, keyed
from tests.e2e.vendor import Vendor
from tests.kafka.broker import Broker, Sent


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Its stdout, of a JSON object a line."""
        return [orjson.loads(line) for line in self.out.splitlines()]


async def crmstream(*arguments: str, config: Path, stdin: bytes = b"") -> Ran:
    """Run one command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream", *arguments, "-c", str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(stdin)
    return Ran(int(process.returncode or 0), out.decode(), err.decode())


def configured(folder: Path, broker: Broker, topic: str, url: str = "http://127.0.0.1:1", **blocks: Any) -> Path:
    """The file of a configuration whose server is not running."""
    path = folder / "commands.yaml"
    path.write_bytes(orjson.dumps(configuration(broker.bootstrap, topic, free_port(), attio_at(url), blocks)))
    return path


def file_of(folder: Path, lines: Sequence[bytes]) -> str:
    """The path of a file of events."""
    path = folder / "events.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return str(path)


async def test_produce_keeps_the_order_of_each_contact(broker: Broker, topic: NewTopic, tmp_path: Path) -> None:
    """Of sizes that no batch fits evenly: every line once, keyed, and in the file's order within its contact."""
    name = await topic(partitions=3)
    people = contacts(20)
    lines = [event(email, n, note="x" * (n * 997 % 9000)) for n in range(1, 151) for email in people]

    ran = await crmstream("produce", file_of(tmp_path, lines), config=configured(tmp_path, broker, name))

    assert (Exit.OK, f"3,000 events produced to {name}\n", "") == (ran.code, ran.out, ran.err)
    found = defaultdict(list)
    for record in await broker.read_all(name):
        found[record.key.decode()].append(record.value)
    assert {email: [line for line in lines if email.encode() in line] for email in people} == found


async def test_produce_reads_standard_input_up_to_a_bad_line(broker: Broker, topic: NewTopic, tmp_path: Path) -> None:
    """It cannot be read twice: what was written before is counted in the error."""
    name = await topic()
    config = configured(tmp_path, broker, name)

    fine = await crmstream("produce", "-", "--key", "traits.email", config=config, stdin=event("a@example.com"))
    bad = await crmstream("produce", "-", config=config, stdin=b"{}\n" * 500 + b"{\n")

    assert (Exit.OK, Exit.BAD_FILE) == (fine.code, bad.code)
    assert "line 501 of - is not JSON, at column 2; 500 events before that are in the topic" in bad.err
    assert [b"a@example.com", *[None] * 500] == [record.key for record in await broker.read_all(name)]


async def test_produce_needs_the_topic(broker: Broker, tmp_path: Path) -> None:
    """Exit 1 with its name."""
    config = configured(tmp_path, broker, "there-is-no.such-topic")

    ran = await crmstream("produce", file_of(tmp_path, [event("a@example.com")]), config=config)

    assert Exit.FAILURE == ran.code
    assert f"crmstream: no topic there-is-no.such-topic at {broker.bootstrap}\n" in ran.err


async def test_status_asks_the_server_then_kafka(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """The same shape from both; what only a member knows is null."""
    here = await stage(broker, partitions=2)
    await here.send(events(contacts(4), each=1))
    member = await here.start()
    await here.delivered(4, member)
    await member.owns(2)
    config = tmp_path / "member-1.yaml"

    running = await crmstream("status", "--json", config=config)
    member.terminate()
    await member.exit_code()
    await here.send([keyed("late@example.com")])
    stopped = await crmstream("status", "--json", config=config)
    told = await crmstream("status", config=config)

    assert ["server", "kafka"] == [ran.objects[0]["source"] for ran in (running, stopped)]
    before, after = (ran.objects[0]["destinations"][DESTINATION] for ran in (running, stopped))
    assert ("running", 0) == (before["state"], before["in_flight"])
    assert ("unknown", 1, 1, None) == tuple(after[key] for key in ("state", "lag", "pending", "in_flight"))
    assert list(before) == list(after)
    assert [list(partition) for partition in before["partitions"]] == [list(found) for found in after["partitions"]]
    ends = await broker.ends(here.topic)
    assert ends == {found["partition"]: found["end"] for found in after["partitions"]}
    assert 4 == sum(found["position"] for found in after["partitions"])
    assert told.out.startswith(f"{DESTINATION}  unknown  lag 1  pending 1\n")
    assert "this is what Kafka knows" in told.err


async def test_pause_and_resume_reach_the_members(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """Those that run, and `status` without any."""
    here = await stage(broker)
    member = await here.start()
    await member.in_state("running")
    config = tmp_path / "member-1.yaml"

    assert Exit.OK == (await crmstream("pause", DESTINATION, config=config)).code
    await member.in_state("paused")
    assert Exit.OK == (await crmstream("resume", DESTINATION, config=config)).code
    await member.in_state("running")
    await crmstream("pause", DESTINATION, config=config)
    member.kill()
    [state] = (await crmstream("status", "--json", config=config)).objects

    assert "paused" == state["destinations"][DESTINATION]["state"]
    assert state["destinations"][DESTINATION]["since"]


async def test_pause_makes_the_control_topic_where_it_is_missing(
    broker: Broker, topic: NewTopic, tmp_path: Path
) -> None:
    """So that a destination can be paused before its first start."""
    name = await topic()

    ran = await crmstream("pause", DESTINATION, config=configured(tmp_path, broker, name))

    assert Exit.OK == ran.code
    assert "compact" == await broker.config(f"{name}.control", "cleanup.policy")
    assert [DESTINATION.encode()] == [record.key for record in await broker.read_all(f"{name}.control")]


async def test_dead_letters_are_counted_and_shown_without_people(
    broker: Broker, stage: NewStage, tmp_path: Path
) -> None:
    """By destination, reason and kind of failure; neither name nor address is printed."""
    here, config = await _with_dead_letters(stage, broker, tmp_path)

    listed = await crmstream("dlq", "ls", "--json", config=config)
    told = await crmstream("dlq", "ls", config=config)
    shown = await crmstream("dlq", "show", "--json", config=config)
    one = await crmstream("dlq", "show", "--reason", "undecodable", "--destination", DESTINATION, config=config)

    groups = {group["reason"]: group for group in listed.objects}
    assert {"rejected": 2, "undecodable": 1} == {reason: group["count"] for reason, group in groups.items()}
    assert "rejected" == listed.objects[0]["reason"]  # the greater one first
    letters = await here.letters()
    assert len(letters) == len(shown.objects)
    assert {"rejected", "undecodable"} == {letter["reason"] for letter in shown.objects}
    rejected = next(letter for letter in shown.objects if letter["reason"] == "rejected")
    assert ("identify", {"email": "***", "job_title": "***"}) == (
        rejected["value"]["type"],
        rejected["value"]["traits"],
    )
    assert groups["rejected"]["fingerprint"] == rejected["fingerprint"]
    assert 1 == one.out.count("undecodable")
    for ran in (listed, told, shown, one):
        assert Exit.OK == ran.code
        assert not re.search("ada|example.com", ran.out + ran.err)


async def test_dead_letters_can_be_chosen_by_their_kind(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """The fingerprint that `ls` shows; filters that fit nothing show nothing."""
    _, config = await _with_dead_letters(stage, broker, tmp_path)
    [kind] = (await crmstream("dlq", "ls", "--json", "--reason", "undecodable", config=config)).objects

    chosen = await crmstream("dlq", "show", "--json", "--fingerprint", kind["fingerprint"], config=config)
    none = await crmstream("dlq", "show", "--destination", "another", config=config)

    assert ["undecodable"] == [letter["reason"] for letter in chosen.objects]
    assert (Exit.OK, "") == (none.code, none.out)


async def test_the_connection_test_says_what_is_there(broker: Broker, topic: NewTopic, tmp_path: Path) -> None:
    """Broker, topics, keys, then the vendor's own; what `run` will create is skipped, not refused."""
    name = await topic(partitions=2)
    await broker.produce(name, [keyed(email, n) for email in contacts(10) for n in (1, 2)])
    async with serve(Vendor()) as url:
        ran = await crmstream("check", "--connect", config=configured(tmp_path, broker, name, url))

    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [
        ["ok", "kafka", "broker", broker.bootstrap],
        ["ok", "kafka", f"topic {name}", "2 partitions"],
        ["ok", "kafka", f"keys of {name}", "each of 10 contacts sampled is in one partition"],
        ["skipped", "kafka", f"topic {name}.dead", "not there yet: `run` creates it"],
        ["skipped", "kafka", f"topic {name}.control", "not there yet: `run` creates it"],
    ] == lines[:5]
    assert {"ok"} == {line[0] for line in lines[5:]}
    assert {DESTINATION} == {line[1] for line in lines[5:]}
    assert Exit.OK == ran.code


async def test_the_connection_test_says_what_is_refused(broker: Broker, topic: NewTopic, tmp_path: Path) -> None:
    """A missing topic does not hide what the vendor says; exit 3."""
    vendor = Vendor()
    vendor.faults = AttioFaults(lost_scopes=["record_permission:read-write"])
    existing = await topic()
    async with serve(vendor) as url:
        source = {"topics": [existing, "there-is-no.such-topic"]}
        config = configured(tmp_path, broker, existing, url, source=source, kafka={"create_topics": False})
        ran = await crmstream("check", "--connect", "--json", config=config)

    refused = [line["check"] for line in ran.objects if line["ok"] is False]
    assert [
        "topic there-is-no.such-topic",
        f"topic {existing}.dead",
        f"topic {existing}.control",
        "scope record_permission:read-write",
    ] == refused
    assert all(line["hint"] for line in ran.objects if line["ok"] is False)
    assert Exit.REFUSED == ran.code


async def test_contacts_in_several_partitions_are_told(broker: Broker, topic: NewTopic, tmp_path: Path) -> None:
    """A warning, with what to do: it is the producer's matter, and nothing is refused."""
    name = await topic(partitions=2)
    await broker.produce(name, [Sent(event("ada@example.com"), partition=n) for n in (0, 1)])
    await broker.produce(name, [Sent(event("grace@example.com"), partition=0), Sent(b"{", partition=1)])
    async with serve(Vendor()) as url:
        ran = await crmstream("check", "--connect", config=configured(tmp_path, broker, name, url))

    text = "1 of 2 contacts sampled are in several partitions: their order is not kept"
    assert f"ok\tkafka\tkeys of {name}\t{text}" in ran.out.splitlines()
    assert "let the producer key records by userId, else anonymousId" in ran.err
    assert Exit.OK == ran.code


async def _with_dead_letters(stage: NewStage, broker: Broker, folder: Path) -> tuple[Stage, Path]:
    """A topic whose delivery left two rejected letters and one that could not be read."""
    here = await stage(broker)
    unreadable = Sent(b'{"email": "grace@example.com')
    await here.send([keyed("ada"), keyed("ada at example.com"), unreadable, keyed("grace@example.com")])
    await here.drain()
    return here, folder / "member-1.yaml"
