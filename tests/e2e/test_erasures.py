"""Erasures end to end: an erased person's events reach no vendor, whether they are read later or wait already."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from stream.destinations.attio.sandbox import AttioFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import Member, Stage, contacts, keyed, until
from tests.e2e.test_remembered_traits import counted, signed_up, writes_of
from tests.e2e.vendor import WELL
from tests.kafka.broker import Broker, Sent

KEY = "a long secret"
ADA = "ada@example.com"
NOON = datetime(2026, 6, 6, 12, tzinfo=UTC)  # the members' events are of half past ten


def privacy(here: Stage, **changes: Any) -> dict[str, Any]:
    """The configuration block by which a member knows of erasures."""
    requests = f"{here.topic}.requests"
    return {"requests": requests, "results": f"{here.topic}.results", "key": KEY, **changes}


def erasures(here: Stage) -> str:
    """Their topic."""
    return f"{here.topic}.requests.erasures"


async def erase(here: Stage, email: str, at: datetime = NOON) -> None:
    """Write what a deletion request leaves in the topic, by a plain producer."""
    person = hmac.new(KEY.encode(), email.encode(), hashlib.sha256).hexdigest()
    value = orjson.dumps({"erased_at": at.isoformat(), "lifted_at": None})
    await here.broker.produce(erasures(here), [Sent(value, key=person.encode())])


def identified(email: str, at: datetime, *, consent: bool = False) -> Sent:
    """An identify call of its time, which is Kafka's time too."""
    value = {"type": "identify", "userId": email, "timestamp": at.isoformat(), "traits": {"email": email}}
    context = {"context": {"consent": {"canonical": {"marketing": True}}}} if consent else {}
    return Sent(orjson.dumps(value | context), key=email.encode(), timestamp_ms=int(at.timestamp() * 1000))


async def settled(here: Stage, member: Member) -> None:
    """Wait until the position is at the topic's end."""
    for partition, end in (await here.broker.ends(here.topic)).items():
        await here.position(partition, end, member)


async def test_events_of_an_erased_person_are_filtered(broker: Broker, stage: NewStage) -> None:
    """An erasure of before the start is known before the first record, also where the event has the id alone."""
    here = await stage(broker, partitions=2)
    await broker.create(erasures(here), configs={"cleanup.policy": "compact"})
    await erase(here, ADA)
    people = contacts(20)
    await here.send([keyed(email) for email in [*people, ADA]])
    await here.send([signed_up(ADA)])

    await here.drain(privacy=privacy(here))

    assert dict.fromkeys(people, 1) == writes_of(here)
    totals = await counted(here)
    assert (20, 2) == (totals["delivered"], totals["filtered"])
    assert [] == await here.letters()


async def test_events_that_wait_for_the_vendor_are_filtered_at_the_call(broker: Broker, stage: NewStage) -> None:
    """They were read before the erasure was heard: it is judged again when they could go out."""
    here = await stage(broker)
    here.vendor.faults = AttioFaults(revoked=True)
    await here.send([keyed("bob@example.com"), *(keyed(ADA, n) for n in range(1, 6))])
    member = await here.start(privacy=privacy(here))
    await until(lambda: waiting(member, 6), member, what="events that wait")

    await erase(here, ADA)
    await heard(here, member)
    here.vendor.faults = WELL
    await settled(here, member)

    assert {"bob@example.com": 1} == writes_of(here)
    assert 5 == (await counted(here))["filtered"]


async def test_a_later_identify_with_consent_lifts_the_erasure(broker: Broker, stage: NewStage) -> None:
    """It is delivered and so is what comes after it; what happened before the erasure never is."""
    here = await stage(broker)
    hour = timedelta(hours=1)
    await broker.create(erasures(here), configs={"cleanup.policy": "compact"})
    await erase(here, ADA)
    await here.send(
        [
            identified(ADA, NOON + hour),  # without consent: it changes nothing
            identified(ADA, NOON + 2 * hour, consent=True),
            identified(ADA, NOON + 3 * hour),
            identified(ADA, NOON - hour, consent=True),  # it comes late
        ]
    )

    await here.drain(privacy=privacy(here))

    assert {ADA: 2} == writes_of(here)
    assert 2 == (await counted(here))["filtered"]
    last = orjson.loads((await broker.read_all(erasures(here)))[-1].value)
    assert NOON == datetime.fromisoformat(last["erased_at"])
    assert NOON + 2 * hour == datetime.fromisoformat(last["lifted_at"])


async def test_what_was_remembered_of_an_erased_person_is_gone(broker: Broker, stage: NewStage) -> None:
    """The last word of the changelog on each key says nothing of them; of others it still does."""
    here = await stage(broker)
    await here.send([keyed(ADA), keyed("bob@example.com")])
    member = await here.start(privacy=privacy(here))
    await settled(here, member)
    assert ADA in await remembered(here)

    await erase(here, ADA)
    await heard(here, member)

    assert "bob@example.com" in await remembered(here)


async def remembered(here: Stage) -> str:
    """All that the changelog holds once it is compacted, read by a plain consumer."""
    records = await here.broker.read_all(f"{here.group}.{here.topic}.state")
    last = {record.key: record.value or b"" for record in records}
    return b"\n".join(key + b" " + value for key, value in last.items()).decode()


async def heard(here: Stage, member: Member) -> None:
    """Wait until the member knows of the erasures: it takes what it remembers of their persons out of its changelog."""

    async def gone() -> bool:
        return ADA not in await remembered(here)

    await until(gone, member, what="the erasure to be heard")


async def waiting(member: Member, count: int) -> bool:
    """Whether so many events are read and not settled."""
    return bool((await member.state()).get("pending") == count)
