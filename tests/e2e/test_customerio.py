"""Privacy requests end to end: crmstream as its users run it, a real broker, Customer.io's stand-in, its own log."""

import asyncio
import subprocess
import sys
from collections import defaultdict
from typing import Any

import orjson
import pytest

from schemas.erasures import person
from stream.destinations.customerio.sandbox import CustomerioFaults, CustomerioSandbox
from stream.errors import Exit
from tests.e2e.conftest import NewStage
from tests.e2e.members import Scene, until
from tests.kafka.broker import Broker, Sent

KEY = "a-long-secret"
JANE = "jane@example.com"
WELL = CustomerioFaults(lingers=0.2)

Account = Scene[CustomerioSandbox]


async def scene(stage: NewStage, broker: Broker, partitions: int = 1) -> Account:
    """A topic of requests with its results, and an empty workspace."""
    here = await stage(broker, partitions, vendor=CustomerioSandbox(sample=False), destination="customerio")
    here.vendor.faults = WELL
    return here


def blocks(here: Account, **destination: Any) -> dict[str, dict[str, Any]]:
    """What a configuration for requests has besides."""
    return {
        "source": {"topics": [f"{here.topic}.events"], "group": here.topic},
        "privacy": {"requests": here.topic, "results": f"{here.topic}.results", "key": KEY},
        "destination": destination,
    }


def asked(email: str, kind: str = "access", request_id: str = "") -> Sent:
    """A request; its id says whom it is about, unless it has one."""
    content = {
        "request_id": request_id or f"{kind} of {email}",
        "kind": kind,
        "identity": {"email": email},
        "requested_at": "2026-06-06T10:30:00Z",
    }
    return Sent(orjson.dumps(content), key=email.encode())


async def answers(here: Account) -> dict[str, list[dict[str, Any]]]:
    """All results by request, read by a plain consumer."""
    found = defaultdict(list)
    for record in await here.broker.read_all(f"{here.topic}.results"):
        found[record.key.decode()].append(orjson.loads(record.value))
    return found


async def crmstream(here: Account, *arguments: str) -> tuple[int, Any]:
    """Exit code and result of a command, with the configuration of the first member."""
    config = str(here._folder / "member-1.yaml")
    command = [sys.executable, "-m", "stream", *arguments, "-c", config]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stdout or done.stdout.count("\n") == 1, done.stdout
    return done.returncode, orjson.loads(done.stdout or "null")


async def test_access_shows_all_that_is_held(broker: Broker, stage: NewStage) -> None:
    """By `crmstream privacy access --wait`: every page of every profile, put together of several records."""
    here = await scene(stage, broker)
    people = [here.vendor.holds.add(JANE, messages=number, activities=250) for number in (650, 3)]
    for message in people[0].messages:
        message["subject"] = "x" * 3_000
    here.vendor.holds.add("ada@example.com", messages=5)
    member = await here.start(**blocks(here))
    await member.owns(1)

    code, result = await crmstream(here, "privacy", "access", JANE, "--wait")

    assert (Exit.OK, "completed", 2) == (code, result["status"], result["records_found"])
    profiles = {profile["cio_id"]: profile for profile in result["data"]["profiles"]}
    for each in people:
        assert each.messages == profiles[each.cio_id]["messages"]
        assert each.activities == profiles[each.cio_id]["activities"]
    assert not {"part", "parts"} & set(result)
    [parts] = (await answers(here)).values()
    assert len(parts) > 1


async def test_a_deletion_removes_and_verifies_and_is_noted_as_an_erasure(broker: Broker, stage: NewStage) -> None:
    """By `crmstream privacy delete --wait`; the vendor lists the person for a while after it said yes."""
    here = await scene(stage, broker)
    here.vendor.holds.add(JANE)
    here.vendor.holds.add("ada@example.com")
    here.vendor.faults = CustomerioFaults(lingers=2)
    member = await here.start(**blocks(here))
    await member.owns(1)

    code, result = await crmstream(here, "privacy", "delete", JANE, "--wait")

    assert (Exit.OK, "completed", 1) == (code, result["status"], result["records_found"])
    assert ["ada@example.com"] == [each["email"] for each in here.vendor.people()]
    assert [1, 1, 0] == [step["count"] for step in result["steps"] if step["step"] in ("find", "verify")]
    [erasure] = await broker.read_all(f"{here.topic}.erasures")
    assert person(KEY.encode(), JANE).encode() == erasure.key
    assert orjson.loads(erasure.value)["lifted_at"] is None
    [removal] = here.vendor.accepted
    assert erasure.timestamp / 1000 <= removal.at


async def test_check_says_what_is_ready(broker: Broker, stage: NewStage) -> None:
    """Access and deletion apart; the topics, of which those of our own may still be missing."""
    here = await scene(stage, broker)
    member = await here.start(**blocks(here, site_id=None, tracking_api_key=None))
    await member.owns(1)

    command = [sys.executable, "-m", "stream", "check", "--connect", "-c", str(here._folder / "member-1.yaml")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)

    lines = {(where, name): (word, text) for word, where, name, text in map(_columns, done.stdout.splitlines())}
    assert ("ok", "ready") == lines["customerio", "access"]
    assert ("skipped", "not configured") == lines["customerio", "deletion"]
    for topic in (here.topic, f"{here.topic}.results", f"{here.topic}.erasures"):
        assert "ok" == lines["kafka", f"topic {topic}"][0]


async def test_a_deletion_without_track_credentials_fails_fast(broker: Broker, stage: NewStage) -> None:
    """`not_configured`, and the exit code says so too."""
    here = await scene(stage, broker)
    here.vendor.holds.add(JANE)
    member = await here.start(**blocks(here, site_id=None, tracking_api_key=None))
    await member.owns(1)

    code, result = await crmstream(here, "privacy", "delete", JANE, "--wait")

    assert (Exit.FAILURE, "not_configured") == (code, result["status"])
    assert [JANE] == [each["email"] for each in here.vendor.people()]


async def test_requests_of_one_person_are_answered_in_order(broker: Broker, stage: NewStage) -> None:
    """An access before the deletion shows everything, one after it nobody."""
    here = await scene(stage, broker)
    here.vendor.holds.add(JANE, messages=3)
    await here.send([asked(JANE), asked(JANE, "deletion"), asked(JANE, request_id="afterwards")])

    await here.drain(**blocks(here))

    found = await answers(here)
    statuses = {request: [each["status"] for each in results] for request, results in found.items()}
    assert {
        f"access of {JANE}": ["completed"],
        f"deletion of {JANE}": ["completed"],
        "afterwards": ["no_records"],
    } == statuses
    await here.assert_settled()


async def test_what_is_no_request_becomes_a_dead_letter(broker: Broker, stage: NewStage) -> None:
    """And holds nobody up."""
    here = await scene(stage, broker)
    await here.send([Sent(b"not a request"), Sent(b'{"kind": "access"}'), asked(JANE)])

    await here.drain(**blocks(here))

    letters = [dict(letter.headers) for letter in await here.letters()]
    assert [b"undecodable"] * 2 == [headers["crmstream.reason"] for headers in letters]
    assert ["no_records"] == [each["status"] for [each] in (await answers(here)).values()]
    await here.assert_settled()


async def test_a_wrong_key_buries_nothing_and_recovers(broker: Broker, stage: NewStage) -> None:
    """The destination starts blocked and says why; once the key is right all is answered, without a restart."""
    here = await scene(stage, broker)
    people = [f"p{number}@example.com" for number in range(5)]
    for email in people:
        here.vendor.holds.add(email)
    here.vendor.faults = CustomerioFaults(revoked=True)
    await here.send([asked(email) for email in people])
    member = await here.start(**blocks(here))
    await member.in_state("blocked")
    status, words = await member.readiness()
    assert (503, False) == (status, words["ready"])
    assert "app_api_key" in words["reason"]
    assert not [entry for entry in here.vendor.log if "email=p" in entry.target], "nothing was asked with a wrong key"

    here.vendor.faults = WELL
    await here.position(0, len(people), member)

    assert [] == await here.letters()
    assert {"completed"} == {each["status"] for results in (await answers(here)).values() for each in results}


async def test_a_key_that_is_revoked_meanwhile_loses_nothing_that_was_read(broker: Broker, stage: NewStage) -> None:
    """Blocked in the middle of an answer; afterwards it goes on where it was."""
    here = await scene(stage, broker)
    here.vendor.holds.add(JANE, messages=5, activities=500)
    here.vendor.faults = CustomerioFaults(latency=0.1)
    await here.send([asked(JANE)])
    member = await here.start(**blocks(here))
    await until(lambda: _seen(here, "/activities") >= 2, member, what="an answer under way")
    here.vendor.faults = CustomerioFaults(revoked=True)
    await member.in_state("blocked")

    here.vendor.faults = WELL
    await here.position(0, 1, member)

    [[result]] = (await answers(here)).values()
    assert "completed" == result["status"]
    assert 500 == len(result["data"]["profiles"][0]["activities"])
    assert 1 == len([entry for entry in here.vendor.log if "jane" in entry.target])
    assert [] == await here.letters()


async def test_a_throttle_is_kept_to(broker: Broker, stage: NewStage) -> None:
    """No request before the time that a 429 named, by the vendor's clock; nothing is lost by it."""
    here = await scene(stage, broker)
    people = [f"p{number}@example.com" for number in range(12)]
    for email in people:
        here.vendor.holds.add(email, activities=250)
    here.vendor.faults = CustomerioFaults(latency=0.02)
    await here.send([asked(email) for email in people])
    member = await here.start(**blocks(here, concurrency=4))
    await until(lambda: len(here.vendor.log) > 30, member, what="answers under way")

    here.vendor.faults = CustomerioFaults(latency=0.02, throttle_next=1, retry_after=2)
    await here.position(0, len(people), member)

    [throttled] = [entry for entry in here.vendor.log if entry.status == 429]
    assert throttled.not_before is not None
    assert throttled.answered is not None
    early = [entry for entry in here.vendor.log if throttled.answered + 0.1 < entry.at < throttled.not_before]
    assert [] == early
    assert throttled.not_before - throttled.answered > 0.5, "there was time to be early in"
    assert {"completed"} == {each["status"] for results in (await answers(here)).values() for each in results}
    assert [] == await here.letters()


async def test_the_group_keeps_to_its_rate(broker: Broker, stage: NewStage) -> None:
    """`rate_limit: {app: 20/s}`, seen from the vendor's side."""
    here = await scene(stage, broker)
    people = [f"p{number}@example.com" for number in range(8)]
    for email in people:
        here.vendor.holds.add(email)
    await here.send([asked(email) for email in people])

    await here.drain(**blocks(here, rate_limit={"app": "20/s"}))

    asked_at = [entry.at for entry in here.vendor.log if entry.target.startswith("/v1/")]
    assert len(asked_at) > 60
    busiest = max(sum(start <= at < start + 1 for at in asked_at) for start in asked_at)
    assert busiest <= 22


async def test_a_collection_that_stays_broken_ends_in_a_partial_answer(broker: Broker, stage: NewStage) -> None:
    """With everything else that was read, and a dead letter for whoever wants to try again."""
    here = await scene(stage, broker)
    here.vendor.holds.add(JANE, messages=3, activities=3)
    here.vendor.faults = CustomerioFaults(broken=["activities"])
    await here.send([asked(JANE), asked("ada@example.com")])

    await here.drain(**blocks(here, retry={"base": "50ms", "max": "200ms", "attempts": 3}))

    found = await answers(here)
    [partial], [nobody] = found[f"access of {JANE}"], found["access of ada@example.com"]
    assert ("partial", "no_records") == (partial["status"], nobody["status"])
    assert partial["detail"].startswith("activities not read: 500 ")
    assert 3 == len(partial["data"]["profiles"][0]["messages"])
    [letter] = await here.letters()
    assert b"exhausted" == dict(letter.headers)["crmstream.reason"]
    assert 1 == _seen(here, "/segments")
    await here.assert_settled()


@pytest.mark.parametrize("way", ["terminate", "kill"])
async def test_after_a_restart_every_request_is_answered_completely(broker: Broker, stage: NewStage, way: str) -> None:
    """SIGTERM and `kill -9` in the middle of answers: each is answered at least once, and each answer is whole."""
    here = await scene(stage, broker, partitions=2)
    people = [f"p{number}@example.com" for number in range(20)]
    for email in people:
        here.vendor.holds.add(email, messages=20, activities=250)
    here.vendor.faults = CustomerioFaults(latency=0.03)
    await here.send([asked(email) for email in people])
    member = await here.start(**blocks(here))
    await until(lambda: len(here.vendor.log) > 80, member, what="answers under way")

    before = len(here.vendor.log)
    getattr(member, way)()
    if way == "terminate":
        assert Exit.OK == await member.exit_code()
    unfinished = len(people) - len(await answers(here))
    assert 0 < unfinished < len(people)
    await here.drain(**blocks(here))

    assert before < len(here.vendor.log)
    found = await answers(here)
    assert {f"access of {email}" for email in people} == set(found)
    for results in found.values():
        for result in results:
            assert ("completed", 1) == (result["status"], result["records_found"])
            [profile] = result["data"]["profiles"]
            assert (20, 250) == (len(profile["messages"]), len(profile["activities"]))
    assert [] == await here.letters()
    await here.assert_settled()


@pytest.mark.parametrize("way", ["terminate", "kill"])
async def test_after_a_restart_in_the_middle_of_deletions_everybody_is_gone(
    broker: Broker, stage: NewStage, way: str
) -> None:
    """Each is answered at least once, and nobody is left; whoever was gone already is found no more."""
    here = await scene(stage, broker)
    people = [f"p{number}@example.com" for number in range(12)]
    for email in people:
        here.vendor.holds.add(email)
    here.vendor.faults = CustomerioFaults(latency=0.03, lingers=1)
    await here.send([asked(email, "deletion") for email in people])
    member = await here.start(**blocks(here))
    await until(lambda: len(here.vendor.accepted) >= 4, member, what="deletions under way")

    getattr(member, way)()
    if way == "terminate":
        assert Exit.OK == await member.exit_code()
    assert len(await answers(here)) < len(people)
    await here.drain(**blocks(here))

    assert [] == here.vendor.people()
    found = await answers(here)
    assert {f"deletion of {email}" for email in people} == set(found)
    assert {"completed", "no_records"} >= {each["status"] for results in found.values() for each in results}
    erased = {record.key for record in await broker.read_all(f"{here.topic}.erasures")}
    assert {person(KEY.encode(), email).encode() for email in people} == erased
    await here.assert_settled()


def _columns(line: str) -> list[str]:
    return line.split("\t")


def _seen(here: Account, part: str) -> int:
    """How many calls with this in them the vendor answered."""
    return len([entry for entry in here.vendor.log if part in entry.target and entry.status == 200])
