"""The destination in front of the stand-in, over HTTP: single calls, tokens, failures in the middle."""

import asyncio
import time
from typing import Literal

import pytest

from stream.core.outcomes import Blocked, Delivered, Rejected, Retry, Throttled
from stream.destinations.sandbox import Failure
from stream.destinations.sandbox_http import Answer, Arrival
from stream.destinations.splio_contacts.sandbox import SplioContactsFaults, SplioContactsSandbox
from stream.destinations.splio_contacts.verdicts import SUPPLY_KEY
from stream.http import NotSent, Unanswered
from stream.http.tokens import TokenRefused
from tests.destinations.splio_contacts.universe import (
    JANE,
    KEY,
    Script,
    answer,
    batch_of,
    destination_of,
    error,
    settings_of,
    universe,
)

EXISTS = error("id", "wrong_value", f"Contact with unique key {JANE} already exists")
GONE = error("id", "wrong_value", "Contact not found for given identifier.", status=404)


async def test_a_contact_arrives() -> None:
    """The whole way, with a token that the key minted."""
    async with universe() as there:
        assert Delivered() == await there.deliver(firstname="Jane")

        assert (JANE, "Jane") == (there.contact["email"], there.contact["firstname"])
        assert 1 == there.sandbox.renewals


async def test_a_contact_that_exists_is_updated_and_keeps_its_lists() -> None:
    """Creating never updates, and an update of `lists` would replace all memberships (destinations 2.7)."""
    async with universe(default_list_id="25") as there:
        there.has(lastname="Doe", lists=[{"id": "newsletter"}])

        assert Delivered() == await there.deliver(firstname="Jane", subscribed=True)

        assert ("Jane", "Doe") == (there.contact["firstname"], there.contact["lastname"])
        assert ["newsletter", 25] == there.lists


class Faltering(SplioContactsSandbox):
    """Fails its *at*-th write, counted from 0, once."""

    def __init__(self, at: int, how: Literal["cut", "cut_after"]) -> None:
        super().__init__(api_key=KEY)
        self._left, self._how = at, how

    def handle(self, arrival: Arrival) -> Answer:
        if self.writes(arrival):
            if not self._left:
                self.faults = SplioContactsFaults(fail=[Failure(status=self._how, times=1)])
            self._left -= 1
        return super().handle(arrival)


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("how", ["cut", "cut_after"])
async def test_a_step_that_got_no_answer_may_be_repeated_from_the_start(
    at: int, how: Literal["cut", "cut_after"]
) -> None:
    """Whether it was done or not: create, change and subscribe again leave the same contact."""
    async with universe(Faltering(at, how), default_list_id="25", default_language="es") as there:
        there.has(language="fr", lists=[{"id": "newsletter"}])

        with pytest.raises(Unanswered):
            await there.deliver(firstname="Jane", subscribed=True)
        assert at + 1 == len(there.calls)
        assert Delivered() == await there.deliver(firstname="Jane", subscribed=True)

        assert ("Jane", "fr", ["newsletter", 25]) == (
            there.contact["firstname"],
            there.contact["language"],
            there.lists,
        )


async def test_a_creation_that_got_no_answer_leaves_the_contact_as_it_was_meant() -> None:
    """The repeat finds the contact there, and neither its language nor its date is touched again."""
    async with universe(default_list_id="25", default_language="es") as there:
        there.sandbox.faults = SplioContactsFaults.model_validate({"fail": [{"status": "cut_after", "times": 1}]})
        fields = {"firstname": "Jane", "creation_date": "2026-06-06T10:30:00Z", "subscribed": True}

        with pytest.raises(Unanswered):
            await there.deliver(**fields)
        assert Delivered() == await there.deliver(**fields)

        assert ("es", "2026-06-06T10:30:00Z", [25]) == (
            there.contact["language"],
            there.contact["creation_date"],
            there.lists,
        )


async def test_a_contact_that_comes_and_goes_is_tried_again_later() -> None:
    """Created, changed, created: where the third finds it there again, it is for the next attempt."""
    script = Script(EXISTS, GONE, EXISTS)
    splio = destination_of(settings_of(), script)

    [outcome] = await splio.send(batch_of(splio, {"email": JANE, "firstname": "Jane"}))

    assert isinstance(outcome, Retry)
    assert 3 == len(script.calls)


async def test_a_wrong_path_is_not_taken_for_a_contact_that_is_gone() -> None:
    """Both are 404; only the one that names the id is about the contact (destinations 2.6)."""
    script = Script(EXISTS, answer(404, {"message": "no Route matched with those values"}))
    splio = destination_of(settings_of(), script)

    [outcome] = await splio.send(batch_of(splio, {"email": JANE, "firstname": "Jane"}))

    assert isinstance(outcome, Blocked)
    assert 2 == len(script.calls)


async def test_a_conflict_is_tried_again_once() -> None:
    """Destinations 2.6: 409."""
    splio = destination_of(settings_of(), Script(answer(409, {"message": "Conflict"})))
    batch = batch_of(splio, {"email": JANE})

    [first] = await splio.send(batch)
    batch.messages[0].status = 409  # as delivery notes it
    [second] = await splio.send(batch)

    assert (Retry, Rejected) == (type(first), type(second))


async def test_a_token_that_expires_is_renewed_once_for_all() -> None:
    """Twenty calls see the refusal, and each is sent again with the same new token."""
    async with universe() as there:
        await there.deliver()
        there.sandbox.faults = SplioContactsFaults(expired_before=time.time(), latency=0.02)

        outcomes = await asyncio.gather(*(there.deliver(email=f"contact-{n}@example.com") for n in range(20)))

        assert [Delivered()] * 20 == outcomes
        assert 2 == there.sandbox.renewals
        assert 20 == sum(entry.status == 401 for entry in there.calls)


async def test_a_given_token_is_used_before_one_is_minted() -> None:
    """Both given: the token until it is refused, then the key (design 5)."""
    sandbox = SplioContactsSandbox()
    token = sandbox.grant()
    async with universe(sandbox, api_key=sandbox.api_key, token=token) as there:
        await there.deliver()
        assert 1 == sandbox.renewals
        sandbox.faults = SplioContactsFaults(expired_before=time.time())

        assert Delivered() == await there.deliver(email="joe@example.com")
        assert 2 == sandbox.renewals


async def test_a_bare_token_is_good_until_it_is_refused() -> None:
    """Then somebody must supply a key (destinations 2.2)."""
    sandbox = SplioContactsSandbox()
    async with universe(sandbox, api_key=None, token=sandbox.grant()) as there:
        assert Delivered() == await there.deliver()
        sandbox.faults = SplioContactsFaults(expired_before=time.time())

        refused = await there.deliver(email="joe@example.com")

    assert isinstance(refused, Blocked)
    assert SUPPLY_KEY == refused.hint


async def test_a_key_without_rights_is_renewed_once_and_then_blocked() -> None:
    """403 may mean the token, so one renewal; then it is the key's (destinations 2.6)."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(no_rights=True)

        assert isinstance(await there.deliver(), Blocked)
        assert 2 == there.sandbox.renewals
        assert 2 == len(there.calls)


async def test_a_wrong_key_sends_nothing() -> None:
    """It is a 400 at `/authenticate`, which must not be taken for a bad event (destinations 2.3)."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(wrong_key=True)

        with pytest.raises(TokenRefused) as refused:
            await there.deliver()

        assert 400 == refused.value.response.status
        assert [] == there.calls


async def test_a_throttle_is_waited_out_as_splio_says() -> None:
    """`rateLimit-reset`: whole seconds from now (destinations 2.8)."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(throttle_next=1, retry_after=2)

        throttled = await there.deliver()

    assert isinstance(throttled, Throttled)
    assert throttled.after is not None
    assert 2 <= throttled.after <= 4


async def test_what_would_fail_for_everyone_blocks() -> None:
    """A list and a field that the universe does not know need a person."""
    async with universe(default_list_id="26", custom_fields={"town": "city"}) as there:
        for fields in ({"subscribed": True}, {"custom_fields.town": "Paris"}):
            assert isinstance(await there.deliver(**fields), Blocked)


async def test_a_login_page_is_no_delivery() -> None:
    """A proxy's 200 is not Splio's."""
    splio = destination_of(settings_of(), Script(answer(200, b"<html>Sign in</html>")))

    assert [Retry("200 without a contact", 200)] == await splio.send(batch_of(splio, {"email": JANE}))


async def test_a_refused_connection_is_not_sent() -> None:
    """The stand-in's door is closed, so nothing can have happened."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(down=True)
        await asyncio.sleep(0.05)  # the door closes at one of the loop's next turns

        with pytest.raises(NotSent):
            await there.deliver()


def test_merged_events_leave_the_contact_as_the_two_would() -> None:
    """The first creation date counts, the newer fields, and a subscription once granted (destinations 2.7)."""
    older = {"email": JANE, "firstname": "J", "creation_date": "2026-01-01T00:00:00Z", "subscribed": True}
    newer = {"email": JANE, "firstname": "Jane", "creation_date": "2026-06-06T10:30:00Z"}

    merged = destination_of(settings_of(default_list_id="25")).merged(dict(older), dict(newer))

    assert older | {"firstname": "Jane"} == merged


def test_a_contact_is_ordered_by_what_tells_it_apart() -> None:
    """The unique key, else the email address, else the phone number (destinations 2.8)."""
    splio = destination_of(settings_of(unique_key={"field": "c0", "from": "customer_id"}))
    phone: dict[str, object] = {"cellphone": "+33612345678"}

    assert "+33612345678" == splio.key(phone)
    assert JANE == splio.key(phone | {"email": JANE})
    assert "7" == splio.key(phone | {"email": JANE, "custom_fields.c0": 7})
