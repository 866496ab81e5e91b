"""Remembered traits end to end: an identify, then tracks with a name alone, like the seeds' samples (000, 003)."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from stream.destinations.attio.sandbox import AttioFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import Stage, contacts, keyed, until
from tests.e2e.vendor import body_of
from tests.kafka.broker import Broker, Sent

ONLY_TRACKS = {"events": ["Signed Up"]}


def signed_up(email: str) -> Sent:
    """A track that brings an id and nothing else, keyed like the contact's identify."""
    value = {"type": "track", "event": "Signed Up", "userId": email, "timestamp": "2026-06-06T10:31:00.000Z"}
    return Sent(orjson.dumps(value), key=email.encode())


def state_in(folder: Path) -> dict[str, Any]:
    """The configuration block of a machine that keeps its state there."""
    return {"folder": str(folder)}


def writes_of(here: Stage) -> Counter[str]:
    """How many writes the vendor took for each contact that they named."""
    bodies = [body_of(entry) for entry in here.vendor.accepted]
    return Counter(str(body["email_addresses"][0]["email_address"]) for body in bodies)  # type: ignore[index]


def has_taken(here: Stage, count: int) -> bool:
    """Whether the vendor took so many writes."""
    return len(here.vendor.accepted) >= count


def is_busy(here: Stage, count: int) -> bool:
    """Whether it did, and a call is under way."""
    return has_taken(here, count) and here.vendor.in_flight > 0


async def counted(here: Stage) -> Counter[str]:
    """The outcomes that the group has committed, of all partitions."""
    commits = await here.committed()
    return sum((Counter(commit.totals) for commit in commits.values()), Counter[str]())


async def test_a_bare_track_is_delivered_with_the_traits_of_its_identify(broker: Broker, stage: NewStage) -> None:
    """Both calls reach the vendor, and say the same of the contact."""
    here = await stage(broker, partitions=3)
    people = contacts(50)
    total = await here.send([record for email in people for record in (keyed(email), signed_up(email))])

    await here.drain()

    assert dict.fromkeys(people, 2) == writes_of(here)
    assert 50 == len({orjson.dumps(body_of(entry)) for entry in here.vendor.accepted})
    assert total == (await counted(here))["delivered"]


async def test_an_identify_is_heard_by_a_destination_that_does_not_take_it(broker: Broker, stage: NewStage) -> None:
    """It is filtered, and fills the tracks after it all the same."""
    here = await stage(broker, partitions=3)
    people = contacts(50)
    await here.send([record for email in people for record in (keyed(email), signed_up(email))])

    await here.drain(destination=ONLY_TRACKS)

    assert dict.fromkeys(people, 1) == writes_of(here)
    totals = await counted(here)
    assert (50, 50) == (totals["delivered"], totals["filtered"])


async def test_without_it_a_bare_track_is_nobodys(broker: Broker, stage: NewStage) -> None:
    """`remember_traits: false`: an event has the traits it brings, and no topic is made."""
    here = await stage(broker)
    await here.send([keyed("ada@example.com"), signed_up("ada@example.com")])

    await here.drain(source={"topics": [here.topic], "group": here.topic, "remember_traits": False})

    assert {"ada@example.com": 1} == writes_of(here)
    assert 1 == (await counted(here))["filtered"]
    assert f"{here.group}.{here.topic}.state" not in await broker.topics()


async def test_what_one_machine_heard_the_next_one_knows(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """The first is gone for good, with its disk; the changelog is left."""
    here = await stage(broker, partitions=3)
    people = contacts(200)
    await here.send(keyed(email) for email in people)
    await here.drain(destination=ONLY_TRACKS, state=state_in(tmp_path / "first"))

    await here.send(signed_up(email) for email in people)
    await here.drain(destination=ONLY_TRACKS, state=state_in(tmp_path / "second"))

    assert dict.fromkeys(people, 1) == writes_of(here)


async def test_a_kill_loses_no_trait_of_a_settled_identify(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """`kill -9` between identifies and tracks: no position passes what the changelog does not have."""
    here = await stage(broker, partitions=3)
    here.vendor.faults = AttioFaults(latency=0.02)
    people = contacts(600)
    tracks = [signed_up(email) for email in people]
    identifies = [keyed(email) for email in people]
    for start in range(0, len(people), 100):  # a hundred identifies, their tracks, the next hundred
        await here.send(identifies[start : start + 100] + tracks[start : start + 100])

    for number in range(3):
        enough = len(here.vendor.accepted) + 30
        member = await here.start(destination=ONLY_TRACKS, state=state_in(tmp_path / f"machine-{number}"))
        await until(partial(is_busy, here, enough), member, what="some deliveries, and more under way")
        member.kill()
    assert len(here.vendor.accepted) < len(people)
    here.vendor.faults = AttioFaults()
    await here.drain(destination=ONLY_TRACKS, state=state_in(tmp_path / "last"))

    assert set(people) == writes_of(here).keys()
    totals = await counted(here)
    assert (600, 600) == (totals["delivered"], totals["filtered"])


async def test_a_member_that_joins_knows_what_the_other_heard(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """Partitions move with what is remembered of them, while both are running."""
    here = await stage(broker, partitions=4)
    people = contacts(200)
    await here.send(keyed(email) for email in people)
    first = await here.start(destination=ONLY_TRACKS, state=state_in(tmp_path / "first"))
    for partition, end in (await broker.ends(here.topic)).items():
        await here.position(partition, end, first)

    second = await here.start(destination=ONLY_TRACKS, state=state_in(tmp_path / "second"))
    await second.owns(2)
    await here.send(signed_up(email) for email in people)
    await until(partial(has_taken, here, 200), first, second, what="200 deliveries")

    assert dict.fromkeys(people, 1) == writes_of(here)
    assert here.vendor.seen_at(second.door)
