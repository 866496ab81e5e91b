"""Many contacts in one call: verdicts by item, refusals by index, and calls that Splio chokes on (destinations 2.9)."""

from collections.abc import Sequence

import pytest

from stream.core.outcomes import Blocked, Delivered, Outcome, Refused, Rejected, Retry, Throttled, Unfinished
from stream.core.records import Batch, Fields
from stream.destinations.sandbox import Failure
from stream.destinations.sandbox_http import Answer as Answered
from stream.destinations.sandbox_http import Arrival
from stream.destinations.splio_contacts.sandbox import SplioContactsFaults, SplioContactsSandbox
from stream.http import NotSent, Request, Response
from tests.destinations.splio_contacts.universe import (
    KEY,
    Script,
    Universe,
    answer,
    batch_of,
    destination_of,
    error,
    settings_of,
    universe,
)

BULK = "POST /data/contacts/bulk"


def people(*names: str, **more: object) -> list[Fields]:
    """Contacts by their names."""
    return [{"email": f"{name}@example.com"} | more for name in names]


def item(contact_id: str, code: int, description: str = "") -> dict[str, object]:
    """Splio's word on one contact of a call."""
    return {"contact_id": contact_id, "code": code, "description": description}


async def told(content: object, *names: str, status: int = 207) -> Sequence[Outcome]:
    """What becomes of contacts when Splio answers this."""
    splio = destination_of(settings_of(bulk=True), Script(answer(status, content)))
    return await splio.send(batch_of(splio, *people(*names)))


async def test_contacts_are_created_in_one_call() -> None:
    """And each gets its own verdict."""
    async with universe(bulk=True) as there:
        assert [Delivered()] * 3 == await there.deliver_all(*people("ada", "joe", "jane"))

        assert [BULK] == there.called()
        assert 3 == len(there.sandbox.people())


async def test_the_sample_answer_is_read_by_contact() -> None:
    """The sample of destinations 2.9; its items need not be in the order of the call."""
    content = {
        "time": 59,
        "errors": 1,
        "items": [
            item("old@example.com", 400, "Contact with unique key old@example.com already exists"),
            item("new@example.com", 201),
        ],
    }

    assert [Delivered(), Unfinished()] == await told(content, "new", "old")


async def test_items_without_a_known_id_are_read_by_place() -> None:
    """Where there are as many as contacts (destinations 2.9)."""
    content = {"items": [item("1", 201), item("2", 400, "The email given should have the right format")]}

    outcomes = await told(content, "ada", "joe")

    assert [Delivered, Rejected] == [type(outcome) for outcome in outcomes]


async def test_two_events_of_one_contact_in_a_call_have_a_verdict_each() -> None:
    """As `ordering: none` allows."""
    content = {"items": [item("ada@example.com", 201), item("ada@example.com", 400, "It already exists")]}

    assert [Delivered(), Unfinished()] == await told(content, "ada", "ada")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        "x",
        None,
        {"items": []},
        {"items": [1, None]},
        {"items": [{"contact_id": "ada@example.com", "code": "x"}]},
    ],
)
async def test_a_contact_without_a_verdict_is_tried_again(content: object) -> None:
    """Whatever the answer looks like: it may be a proxy's."""
    assert {Retry} == {type(outcome) for outcome in await told(content, "ada", "joe")}


@pytest.mark.parametrize(
    "code,description,outcome",
    [
        (400, "Custom field not found for id 7", Blocked),
        (400, "The list 7 does not exist", Blocked),
        (400, "The email given should have the right format", Rejected),
        (500, "An error occurred", Retry),
        (429, "API rate limit exceeded", Retry),
    ],
)
async def test_each_item_is_judged_like_a_call(code: int, description: str, outcome: type[Outcome]) -> None:
    """The rows of destinations 2.6, told by the sentence alone: items have no key."""
    [found, other] = await told(
        {"items": [item("ada@example.com", code, description), item("joe@example.com", 201)]}, "ada", "joe"
    )

    assert isinstance(found, outcome)
    assert Delivered() == other


async def test_a_contact_that_exists_is_updated_by_a_call_of_its_own() -> None:
    """The bulk call got on with it; the next call about it, alone, changes and subscribes (destinations 2.9)."""
    async with universe(bulk=True, default_list_id="25") as there:
        there.has(email="joe@example.com", lists=[{"id": "newsletter"}])
        batch = batch_of(there.splio, *people("ada", "joe", firstname="J", subscribed=True))

        assert [Delivered(), Unfinished()] == await there.splio.send(batch)
        joe = batch.messages[1]
        assert 1 == joe.company
        assert [Delivered()] == await there.splio.send(Batch([joe], deadline=batch.deadline))

        path = "/data/contacts/joe%40example.com"
        assert [BULK, f"PATCH {path}", f"POST {path}/lists/subscribe"] == there.called()
        assert {"newsletter", 25} == {each["id"] for each in there.sandbox.people()[0]["lists"]}


async def test_a_merged_contact_that_exists_is_updated_at_once() -> None:
    """Put off, it would be taken apart."""
    async with universe(bulk=True) as there:
        there.has(email="joe@example.com")
        batch = batch_of(there.splio, *people("joe", firstname="Joe"))
        batch.messages[0].parts = tuple(batch_of(there.splio, *people("joe", "joe")).messages)

        assert [Delivered()] == await there.splio.send(batch)


async def test_contacts_without_email_go_alone() -> None:
    """One of them in a bulk call is a 503 for all (destinations 2.9)."""
    sandbox = SplioContactsSandbox(KEY, unique_key="cellphone")
    async with universe(sandbox, bulk=True, unique_key="cellphone") as there:
        phones: list[Fields] = [{"cellphone": f"+3361234567{n}"} for n in range(3)]
        batch = batch_of(
            there.splio, phones[0], phones[1], {"email": "ada@example.com", "cellphone": phones[2]["cellphone"]}
        )

        assert [Unfinished(), Unfinished(), Delivered()] == await there.splio.send(batch)
        rest = batch.messages[:2]
        assert [Delivered(), Unfinished()] == await there.splio.send(Batch(rest, deadline=batch.deadline))
        assert [1, 1] == [message.company for message in rest]
        assert [BULK, "POST /data/contacts"] == there.called()


async def test_what_waits_for_its_own_call_fails_with_the_others() -> None:
    """So that a universe that lets nothing through is never taken for one that does."""
    async with universe(bulk=True, unique_key="cellphone") as there:
        there.sandbox.faults = SplioContactsFaults(fail=[Failure(status=503)])

        outcomes = await there.deliver_all({"cellphone": "+33612345670"}, *people("ada"))

    assert {Retry} == {type(outcome) for outcome in outcomes}


async def test_contacts_refused_by_index_are_left_out_and_the_rest_sent_at_once() -> None:
    """`contacts[1].email`: that one is bad, the others are created by the next call (destinations 2.9)."""
    async with universe(bulk=True) as there:
        outcomes = await there.deliver_all(*people("ada"), {"email": "joe"}, *people("jane"))

        assert [Delivered, Rejected, Delivered] == [type(outcome) for outcome in outcomes]
        assert [BULK, BULK] == there.called()
        assert "400 email: wrong_email The email given should have the right format" == outcomes[1].detail  # type: ignore[union-attr]


async def test_a_refusal_of_a_field_by_index_is_about_its_contact() -> None:
    """`contacts[0].custom_fields[0].value`, as destinations 2.9 has it."""
    script = Script(
        error("contacts[0].custom_fields[0].value", "wrong_type", "It should be int"),
        answer(207, {"items": [item("joe@example.com", 201)]}),
    )
    splio = destination_of(settings_of(bulk=True), script)

    outcomes = await splio.send(batch_of(splio, *people("ada", "joe")))

    assert [Rejected, Delivered] == [type(outcome) for outcome in outcomes]
    assert [{"email": "joe@example.com"}] == script.calls[1].body["contacts"]


async def test_an_answer_lost_after_a_refusal_by_index_keeps_the_refusal() -> None:
    """The bad contact is known; the others are tried again."""

    class Lost(Script):
        async def send(
            self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
        ) -> Response:
            if len(self.calls) == 1:
                raise NotSent("gone")
            return await super().send(method, url, headers=headers, body=body, timeout=timeout)

    splio = destination_of(settings_of(bulk=True), Lost(error("contacts[0].email", "wrong_email", "No")))

    outcomes = await splio.send(batch_of(splio, *people("ada", "joe")))

    assert [Rejected, Retry] == [type(outcome) for outcome in outcomes]


@pytest.mark.parametrize("status", [400, 413])
async def test_a_refusal_that_names_nobody_is_for_the_splitter(status: int) -> None:
    """Delivery sends smaller calls until the bad one stands alone (design 8)."""
    with pytest.raises(Refused):
        await told({"status": status, "errors": [{"error_key": "contacts[9].email"}]}, "ada", "joe", status=status)


@pytest.mark.parametrize("status,outcome", [(401, Blocked), (404, Blocked), (429, Throttled), (503, Retry)])
async def test_what_is_wrong_with_the_call_is_everybodys(status: int, outcome: type[Outcome]) -> None:
    """Nobody is rejected for it."""
    assert {outcome} == {type(found) for found in await told("No", "ada", "joe", status=status)}


class Choking(SplioContactsSandbox):
    """Answers 503 to any bulk call that holds one of these contacts."""

    def __init__(self, *names: str) -> None:
        super().__init__(KEY)
        self._on = {f"{name}@example.com".encode() for name in names}

    def answer(self, arrival: Arrival) -> Answered:
        if arrival.path.endswith("/bulk") and any(each in arrival.body for each in self._on):
            return self.error(503)
        return super().answer(arrival)


async def _again(there: Universe, names: Sequence[str]) -> tuple[Batch, Sequence[Outcome]]:
    """What becomes of a batch that failed once before."""
    batch = batch_of(there.splio, *people(*names))
    for message in batch:
        message.failures = 1
    return batch, await there.splio.send(batch)


async def test_a_call_that_splio_chokes_on_is_first_tried_again_whole() -> None:
    """It may be an outage (destinations 2.9: bisect after two attempts)."""
    async with universe(Choking("joe"), bulk=True) as there:
        outcomes = await there.deliver_all(*people("ada", "joe", "jane"))

        assert {Retry} == {type(outcome) for outcome in outcomes}
        assert [BULK] == there.called()


async def test_the_second_time_it_is_halved_until_the_contact_stands_alone() -> None:
    """Everybody else is delivered by the same attempt; that one goes alone from now on."""
    names = [f"contact-{n}" for n in range(100)]
    async with universe(Choking("contact-63"), bulk=True) as there:
        batch, outcomes = await _again(there, names)

        assert [63] == [place for place, outcome in enumerate(outcomes) if outcome != Delivered()]
        assert isinstance(outcomes[63], Retry)
        assert 1 == batch.messages[63].company
        assert len(there.calls) <= 1 + 2 * 7
        assert [Delivered()] == await there.splio.send(Batch([batch.messages[63]], deadline=batch.deadline))


async def test_an_outage_is_not_searched_for_a_culprit() -> None:
    """Both halves fail, so three calls tell; the next ones are smaller, in case there are two culprits."""
    names = [f"contact-{n}" for n in range(100)]
    async with universe(Choking(*names), bulk=True) as there:
        batch, outcomes = await _again(there, names)

        assert {Retry} == {type(outcome) for outcome in outcomes}
        assert 3 == len(there.calls)
        assert {50} == {message.company for message in batch}


def test_the_preview_shows_the_bulk_call() -> None:
    """Of the contacts that are in it."""
    splio = destination_of(settings_of(bulk=True))
    batch = batch_of(splio, *people("ada"), {"cellphone": "+33612345678"})

    body = b'{"contacts":[{"email":"ada@example.com"}]}'
    assert [Request("POST", "/data/contacts/bulk", body, limit="contacts")] == splio.requests(batch)
