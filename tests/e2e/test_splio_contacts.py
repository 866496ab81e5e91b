"""Splio contacts on a real broker: what a universe holds in the end, tokens, throttles, wrong keys, restarts."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stream.destinations.splio_contacts.sandbox import SplioContactsFaults, SplioContactsSandbox
from stream.destinations.splio_contacts.universe import Contact, Json, Universe
from tests.e2e.conftest import NewStage
from tests.e2e.members import Member, Scene, contacts, event, until
from tests.e2e.vendor import Delivery, assert_all_in_order
from tests.kafka.broker import Broker, Sent

CONCURRENCY, TOGETHER = 16, 20  # calls in flight, the default; contacts in one of them where they go together


class Noting(Universe):
    """A universe that notes each event it takes. The events' number is in the custom field `number`."""

    def __init__(self, note: Callable[[str, int], None]) -> None:
        super().__init__("email", {25: "Customers"}, {"number": "text"})
        self._note = note

    def change(self, contact: Contact, sent: Json) -> None:
        super().change(contact, sent)
        for each in sent.get("custom_fields", ()):
            self._note(contact.fields["email"], int(each["value"]))


class Splio(SplioContactsSandbox):
    """A stand-in with a ledger, as the stage's other vendor has one."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: list[Delivery] = []
        self.distinct: set[tuple[str, int]] = set()
        self.universe = Noting(self._note)

    def _note(self, email: str, n: int) -> None:
        delivery = Delivery(email, n, self.log[-1].at, "")
        self.ledger.append(delivery)
        self.distinct.add(delivery.event)

    @property
    def in_flight(self) -> int:
        """Writes that were taken and are not answered yet."""
        return sum(entry.answered is None for entry in self.accepted[-200:])

    @property
    def repeats(self) -> int:
        """Events taken beyond the first time."""
        return len(self.ledger) - len(self.distinct)


Here = Scene[Splio]


async def opened(stage: NewStage, broker: Broker) -> Here:
    """A stage with a fresh topic of two partitions before Splio."""
    return await stage(broker, 2, vendor=Splio(), destination="splio_contacts")


async def started(here: Here, *arguments: str, **changes: Any) -> Member:
    """A member that subscribes to a list and sends the events' numbers."""
    own = {"default_list_id": "25", "custom_fields": {"number": "job_title"}}
    return await here.start(*arguments, destination=own | changes)


async def drained(here: Here, **changes: Any) -> None:
    """A member delivers what is left and ends well."""
    member = await started(here, "--drain", **changes)
    assert 0 == await member.exit_code(), member.output[-3000:]


async def taken(here: Here, number: int, *members: Member) -> None:
    """Wait until Splio has taken so many distinct events."""
    await until(lambda: len(here.vendor.distinct) >= number, *members, what=f"{number} deliveries")


def events(people: list[str], each: int, after: int = 0) -> list[Sent]:
    """So many events of each contact, in turns, all with consent."""
    return [
        Sent(
            event(email, n)[:-1] + b', "context": {"consent": {"canonical": {"marketing": true}}}}', key=email.encode()
        )
        for n in range(after + 1, after + each + 1)
        for email in people
    ]


@pytest.mark.parametrize("bulk", [False, True])
async def test_every_contact_is_there_with_its_last_event_and_on_its_list(
    broker: Broker, stage: NewStage, bulk: bool
) -> None:
    """Created by the first event, updated by the later ones, in order; nobody known loses a list."""
    here = await opened(stage, broker)
    people = contacts(50)
    here.vendor.universe.lists[7] = "VIP"
    here.vendor.universe.create({"email": people[0], "lists": [{"id": 7}]})
    await here.send(events(people, each=4))

    await drained(here, bulk=bulk)

    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 4))
    held = {each["email"]: each for each in here.vendor.people()}
    assert {"4"} == {each["custom_fields"][0]["value"] for each in held.values()}
    assert [7, 25] == [each["id"] for each in held[people[0]]["lists"]]
    assert all([25] == [each["id"] for each in held[email]["lists"]] for email in people[1:])
    assert bulk == any(entry.target.endswith("/bulk") for entry in here.vendor.log)
    assert [] == await here.letters()
    await here.assert_settled()


async def test_a_token_that_expires_mid_run_is_renewed_once(broker: Broker, stage: NewStage) -> None:
    """Many calls are refused at once; one asks for a token, and all are delivered."""
    here = await opened(stage, broker)
    here.vendor.faults = SplioContactsFaults(latency=0.02)
    people = contacts(100)
    total = await here.send(events(people, each=10))
    member = await started(here)
    await taken(here, 200, member)
    assert 1 == here.vendor.renewals

    expired = here.vendor.log[-1].at
    here.vendor.faults = SplioContactsFaults(latency=0.02, expired_before=expired)
    await taken(here, total, member)

    assert sum(entry.status == 401 for entry in here.vendor.log) > 1
    assert 2 == here.vendor.renewals
    assert [] == await here.letters()
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 10))


async def test_a_throttle_is_waited_out_by_the_vendors_log(broker: Broker, stage: NewStage) -> None:
    """`rateLimit-reset` of two seconds: no call before its time, none buried."""
    here = await opened(stage, broker)
    people = contacts(60)
    total = await here.send(events(people, each=5))
    member = await started(here, concurrency=1)
    await taken(here, 50, member)

    here.vendor.faults = SplioContactsFaults(throttle_next=1, retry_after=2)
    await taken(here, total, member)

    [throttled] = [entry for entry in here.vendor.log if entry.not_before is not None]
    assert throttled.status == 429
    assert throttled.not_before is not None
    assert throttled.not_before <= here.vendor.log[throttled.number].at
    assert [] == await here.letters()
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 5))


async def test_a_wrong_key_holds_everything_and_recovers(broker: Broker, stage: NewStage) -> None:
    """It is a 400, and nothing is buried for it. Once Splio takes the key all flows, without a restart."""
    here = await opened(stage, broker)
    here.vendor.faults = SplioContactsFaults(wrong_key=True)
    people = contacts(20)
    total = await here.send(events(people, each=5))
    member = await started(here)

    await until(lambda: _is_blocked(member), member, what="not ready")
    assert [] == here.vendor.ledger
    assert [] == await here.letters()
    here.vendor.faults = SplioContactsFaults()
    await taken(here, total, member)

    await member.in_state("running")
    assert [] == await here.letters()
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 5))


@pytest.mark.parametrize("bulk", [False, True])
async def test_after_a_clean_stop_nothing_is_repeated(broker: Broker, stage: NewStage, bulk: bool) -> None:
    """SIGTERM with calls in flight: the next member delivers the rest, and each event comes once."""
    here = await opened(stage, broker)
    here.vendor.faults = SplioContactsFaults(latency=0.05)
    people = contacts(300)
    total = await here.send(events(people, each=4))
    destination = _small_batches(bulk)
    member = await started(here, **destination)
    await taken(here, 400, member)

    await until(lambda: here.vendor.in_flight > 0, member, what="calls in flight")
    member.terminate()
    assert 0 == await member.exit_code()
    assert len(here.vendor.distinct) < total
    await drained(here, **destination)

    assert 0 == here.vendor.repeats
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 4))
    await here.assert_settled()


@pytest.mark.parametrize("bulk", [False, True])
async def test_after_a_kill_nothing_is_lost(broker: Broker, stage: NewStage, bulk: bool) -> None:
    """`kill -9` with calls in flight: what no commit spoke of is repeated, and leaves each contact as it should be."""
    here = await opened(stage, broker)
    here.vendor.faults = SplioContactsFaults(latency=0.05)
    people = contacts(300)
    total = await here.send(events(people, each=4))
    destination = _small_batches(bulk)
    member = await started(here, **destination)
    await taken(here, 400, member)

    await until(lambda: here.vendor.in_flight > 0, member, what="calls in flight")
    member.kill()
    before = list(here.vendor.ledger)
    assert len(before) < total
    await drained(here, **destination)

    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 4))
    last_second = [delivery for delivery in before if delivery.at > before[-1].at - 1]
    assert here.vendor.repeats <= CONCURRENCY * (TOGETHER if bulk else 1) + len(last_second)
    assert {"4"} == {each["custom_fields"][0]["value"] for each in here.vendor.people()}
    await here.assert_settled()


def _small_batches(bulk: bool) -> Mapping[str, Any]:
    """So that there is something left when a member ends."""
    return {"bulk": True, "batch": {"items": TOGETHER, "linger": "50ms"}} if bulk else {}


async def _is_blocked(member: Member) -> bool:
    status, words = await member.readiness()
    return (503, "blocked") == (status, words.get("state"))
