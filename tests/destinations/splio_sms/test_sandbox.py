"""The stand-in for Splio Trigger SMS itself: as strict as the vendor, traps included."""

from typing import Any

import orjson
import pytest

from stream.destinations.splio_sms.sandbox import DATA_KEY
from tests.destinations.splio_sms.universe import FORM, JANE, LI, SEND, Universe, universe


def rcpts(*numbers: str, **fields: str) -> list[dict[str, str]]:
    """Recipients as a call names them."""
    return [{"cellphone": number} | fields for number in numbers]


async def test_it_answers_as_the_seed_s_sample() -> None:
    """Seed 001, Examples: the response to two recipients, whose `inserted` is text."""
    async with universe() as there:
        response = await there.call(rcpts=rcpts(JANE, LI))
        answer = response.json()

        assert 9 == len(answer["result"].pop("campaign_id"))
        assert {
            "status": "ok",
            "result": {"done": 2, "inserted": "2", "todo": 2},
            "message": "ok",
            "code": 200,
        } == answer


async def test_a_number_that_is_in_twice_gets_two_texts() -> None:
    """Seed 001: the trap that de-duplicating is for."""
    async with universe() as there:
        await there.call(rcpts=rcpts(JANE, JANE))

        assert [JANE, JANE] == there.texted()


async def test_a_repeated_call_is_a_second_text() -> None:
    """Destinations 3.4: not idempotent."""
    async with universe() as there:
        await there.call()
        await there.call()

        assert [JANE, JANE] == there.texted()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"universe": None}, "incorrect/missing parameters"),
        ({"key": None}, "incorrect/missing parameters"),
        ({"message": None}, "incorrect/missing parameters"),
        ({"rcpts": None}, "incorrect/missing parameters"),
        ({"rcpts": []}, "incorrect/missing parameters"),
        ({"rcpts": [JANE]}, "incorrect/missing parameters"),
        ({"rcpts": [{"firstname": "Jane"}]}, "incorrect/missing parameters"),
        ({"rcpts": [{"cellphone": JANE, "c0": 7}]}, "incorrect/missing parameters"),
        ({"content_type": "application/json"}, "incorrect/missing parameters"),
        ({"rcpts": "[{"}, "invalid JSON"),
        ({"universe": "other"}, "invalid universe"),
        ({"key": "other"}, "invalid key for this universe"),
        ({"message": "6tJglf8z"}, "invalid message id"),
    ],
)
async def test_a_call_that_splio_would_not_take_is_refused(changes: dict[str, Any], message: str) -> None:
    """Seed 001, Parameters and Response list."""
    async with universe() as there:
        response = await there.call(**changes)

        assert 400 == response.status
        assert {"status": "error", "message": message, "code": 400} == response.json()
        assert [] == there.texted()


async def test_a_plus_that_is_not_encoded_is_a_space() -> None:
    """So a client that forgets %2B is found out: the number is not valid."""
    async with universe() as there:
        body = b'universe=my_universe_id&key=my_api_key&message=6tJglf8zd&rcpts=[{"cellphone":"+33612345678"}]'
        response = await there.raw("PUT", SEND, body, ("Content-Type", FORM))

        assert 0 == response.json()["result"]["done"]


@pytest.mark.parametrize("method, status", [("PUT", 200), ("POST", 200), ("DELETE", 404)])
async def test_put_and_post_are_taken(method: str, status: int) -> None:
    """Destinations 3.2."""
    async with universe() as there:
        assert status == (await there.call(method)).status


async def test_a_get_is_taken_too() -> None:
    """Seed 001: deprecated, still supported."""
    async with universe() as there:
        access = "universe=my_universe_id&key=my_api_key"
        text = "message=6tJglf8zd&rcpts=%5B%7B%22cellphone%22:%22%2B33612345678%22%7D%5D"
        await there.raw("GET", f"{SEND}?{access}&{text}")

        assert [JANE] == there.texted()


async def test_without_credit_nothing_is_queued() -> None:
    """Seed 001: 200 with status blocked; not one of several either."""
    async with universe() as there:
        there.break_it(credit=1)
        response = await there.call(rcpts=rcpts(JANE, LI))

        assert (200, "blocked") == (response.status, response.json()["status"])
        assert [] == there.texted()


@pytest.mark.parametrize("status", [200, 400])
async def test_a_wrong_key_is_told_with_either_status(status: int) -> None:
    """The seed's sample has code 400 in the body and does not say which status it came with."""
    async with universe() as there:
        there.break_it(revoked=True, error_status=status)
        response = await there.call()

        assert (status, 400) == (response.status, response.json()["code"])


async def test_answers_may_be_as_the_seed_s_prose_has_them() -> None:
    """Destinations 8, row 6."""
    async with universe() as there:
        there.break_it(revoked=True, shape="prose")
        refused = (await there.call()).json()

    assert {"code": 400, "name": "Bad Request", "description": "invalid key for this universe"} == refused


async def test_the_campaign_of_a_day_and_design_is_one() -> None:
    """Seed 001: gathered per day and design."""
    async with universe() as there:
        for design in ("6tJglf8zd", "6tJglf8zd", "7uKhmg9ae"):
            await there.call(message=design)
        first, second, other = (text["campaign_id"] for text in there.sandbox.people())

    assert first == second != other


async def test_the_page_shows_what_each_number_got() -> None:
    """Nothing in it is markup of a stranger's."""
    async with universe() as there:
        await there.call(rcpts=rcpts(JANE, JANE, LI, firstname="<Jane>"))
        page = (await there.raw("GET", "/")).body.decode()

    assert "3 texts to 2 numbers" in page
    assert "6tJglf8zd firstname=&lt;Jane&gt;" in page


async def data_token(there: Universe, key: str) -> Any:
    """What the Data API answers to a key."""
    body = orjson.dumps({"api_key": key})
    return (await there.raw("POST", "/authenticate", body, ("Content-Type", "application/json"))).json()


async def test_the_credit_is_shown_to_who_has_a_token() -> None:
    """Destinations 3.5 (c); a wrong key is a 400 (destinations 2.3)."""
    async with universe() as there:
        there.break_it(credit=3)
        await there.call()
        token = (await data_token(there, DATA_KEY))["token"]
        allowed = await there.raw("GET", "/universes/consumption", None, ("Authorization", f"Bearer {token}"))

        assert {"sms_credit": 2} == allowed.json()
        assert 401 == (await there.raw("GET", "/universes/consumption")).status
        assert "errors" in await data_token(there, "other")


async def test_it_forgets() -> None:
    """DELETE /_sandbox."""
    async with universe() as there:
        await there.call()
        await there.raw("DELETE", "/_sandbox")

        assert [] == there.texted()
