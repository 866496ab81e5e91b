"""The stand-in itself: its rules, its tokens and limits, the traps it keeps (destinations 2)."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from stream.destinations.sandbox import Failure
from stream.destinations.splio_contacts.sandbox import SplioContactsFaults
from stream.http import Response
from stream.http.tokens import jwt_expiry
from tests.destinations.splio_contacts.universe import JANE, KEY, Universe, universe

CONTACTS, BULK = "/data/contacts", "/data/contacts/bulk"
ABOUT_JANE = "/data/contacts/jane%40example.com"
GRANTED = "granted"


async def call(there: Universe, method: str, path: str, body: object = None, token: str | None = GRANTED) -> Response:
    """A call of the vendor's API, however wrong; with a token of its own."""
    headers = (
        [] if token is None else [("authorization", f"Bearer {there.sandbox.grant() if token is GRANTED else token}")]
    )
    sent = None if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    return await there.transport.send(method, there.url + path, headers=headers, body=sent, timeout=5.0)


def keys(response: Response) -> list[str]:
    """The `error_key` of each error."""
    return [error["error_key"] for error in response.json()["errors"]]


@pytest.mark.parametrize(
    "contact,key",
    [
        ({"firstname": "Jane"}, "email"),
        ({"email": ""}, "email"),
        ({"email": "jane"}, "email"),
        ({"email": JANE, "firstname": 7}, "firstname"),
        ({"email": JANE, "nickname": "J"}, "nickname"),
        ({"email": JANE, "creation_date": "6 June"}, "creation_date"),
        ({"email": JANE, "lists": [{"id": 26}]}, "list_id"),
        ({"email": JANE, "lists": [{"id": "25"}]}, "list_id"),
        ({"email": JANE, "lists": "25"}, "list_id"),
        ({"email": JANE, "custom_fields": [{"id": "town", "value": "x"}]}, "custom_fields"),
        ({"email": JANE, "custom_fields": [{"id": 5, "value": "x"}]}, "custom_fields[0].value"),
        ({"email": JANE, "custom_fields": {"city": "x"}}, "custom_fields"),
        ([], "payload"),
        (b"not json", "payload"),
    ],
)
async def test_a_wrong_shape_is_refused(contact: object, key: str) -> None:
    """Strict, so that what passes here has a chance at the real one."""
    async with universe() as there:
        response = await call(there, "POST", CONTACTS, contact)

        assert (400, key) == (response.status, keys(response)[0])
        assert not there.sandbox.people()


async def test_creating_never_updates() -> None:
    """The first trap: 400 on a unique key that is taken (destinations 2.5)."""
    async with universe() as there:
        created = await call(there, "POST", CONTACTS, {"email": JANE, "firstname": "Jane", "lists": [{"id": 25}]})
        again = await call(there, "POST", CONTACTS, {"email": "JANE@example.com", "firstname": "J"})

        assert (201, 400) == (created.status, again.status)
        assert "already exists" in again.json()["errors"][0]["error_description"]
        assert ("Jane", 1) == (there.contact["firstname"], len(there.sandbox.accepted))


async def test_an_update_replaces_the_lists_and_keeps_the_rest() -> None:
    """The second trap (destinations 2.7)."""
    async with universe() as there:
        there.has(firstname="Jane", lists=[{"id": "newsletter"}], custom_fields=[{"id": "city", "value": "Paris"}])

        changed = {"lists": [{"id": 25}], "custom_fields": [{"id": "country", "value": "FR"}]}
        assert 200 == (await call(there, "PATCH", ABOUT_JANE, changed)).status

        assert ("Jane", [25]) == (there.contact["firstname"], there.lists)
        assert ["Paris", "FR"] == [each["value"] for each in there.contact["custom_fields"]]


@pytest.mark.parametrize(
    "method,path,body,status",
    [
        ("PATCH", ABOUT_JANE, {"email": "joe@example.com"}, 400),
        ("PATCH", ABOUT_JANE, {"email": JANE}, 200),
        ("PATCH", "/data/contacts/joe%40example.com", {"firstname": "Joe"}, 404),
        ("PUT", ABOUT_JANE, {"firstname": "Jane"}, 405),
        ("POST", f"{ABOUT_JANE}/lists/subscribe", {"list_ids": ["newsletter"]}, 400),
        ("POST", f"{ABOUT_JANE}/lists/subscribe", {"list_ids": [26]}, 400),
        ("POST", f"{ABOUT_JANE}/lists/subscribe", {"list_ids": [25]}, 200),
        ("GET", ABOUT_JANE, None, 200),
        ("DELETE", ABOUT_JANE, None, 204),
        ("GET", "/data/people", None, 404),
        ("GET", "/authenticate", None, 405),
    ],
)
async def test_calls_about_a_contact_follow_the_rules(method: str, path: str, body: object, status: int) -> None:
    """The unique key stays, lists to subscribe to are numbers (destinations 2.7)."""
    async with universe() as there:
        there.has()

        assert status == (await call(there, method, path, body)).status


async def test_a_bulk_call_answers_by_item() -> None:
    """207, whatever became of each (destinations 2.9)."""
    async with universe() as there:
        there.has()
        response = await call(there, "POST", BULK, {"contacts": [{"email": JANE}, {"email": "new@example.com"}]})

    assert (207, 1) == (response.status, response.json()["errors"])
    assert [(JANE, 400), ("new@example.com", 201)] == [(i["contact_id"], i["code"]) for i in response.json()["items"]]


@pytest.mark.parametrize(
    "contacts,status",
    [
        ([{"email": "ada@example.com"}, {"cellphone": "+33612345678"}], 503),
        ([{"email": "ada@example.com"}, {"email": "joe"}], 400),
        ([], 400),
        ([{"email": f"contact-{n}@example.com"} for n in range(1001)], 400),
    ],
)
async def test_one_bad_contact_fails_a_whole_bulk_call(contacts: list[object], status: int) -> None:
    """The third trap: 503 without email; else 400, with the place (destinations 2.9)."""
    async with universe() as there:
        response = await call(there, "POST", BULK, {"contacts": contacts})

        assert status == response.status
        assert not there.sandbox.people()
        if status == 503:
            assert isinstance(response.json()["errors"], dict)
        if len(contacts) == 2 and status == 400:
            assert ["contacts[1].email"] == keys(response)


@pytest.mark.parametrize(
    "body,key",
    [({"api_key": KEY}, None), ({"api_key": "other"}, "username"), ({"api_key": ""}, "api_key"), (b"", "api_key")],
)
async def test_a_token_is_granted_for_the_key(body: object, key: str | None) -> None:
    """A wrong one is a 400 (destinations 2.3); a token says itself that it lives an hour."""
    async with universe() as there:
        response = await call(there, "POST", "/authenticate", body, token=None)

        if key is not None:
            assert (400, [key]) == (response.status, keys(response))
            return
        token = response.json()["token"]
        assert 3590 < (jwt_expiry(token) or 0) - time.time() <= 3600
        assert 200 == (await call(there, "GET", "/ping", token=token)).status


@pytest.mark.parametrize("token", [None, "other"])
async def test_a_call_needs_a_token(token: str | None) -> None:
    """Else 401 with a bare text (destinations 2.6, shape b)."""
    async with universe() as there:
        response = await call(there, "POST", CONTACTS, {"email": JANE}, token=token)

        assert (401, str) == (response.status, type(response.json()))


async def test_tokens_end() -> None:
    """By their own time, and by order."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(token_seconds=0.001)
        short = there.sandbox.grant()
        there.sandbox.faults = SplioContactsFaults()
        token = there.sandbox.grant()
        await asyncio.sleep(0.01)
        assert [401, 200] == [(await call(there, "GET", "/ping", token=each)).status for each in (short, token)]

        there.sandbox.faults = SplioContactsFaults(expired_before=time.time())
        assert 401 == (await call(there, "GET", "/ping", token=token)).status
        assert 200 == (await call(there, "GET", "/ping")).status


async def test_the_real_limits_are_kept_apart() -> None:
    """20 calls a second about contacts, 10 others, told in `rateLimit-reset` (destinations 2.8)."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(limits=True)
        statuses: dict[str, list[int]] = {"/ping": [], ABOUT_JANE: []}
        for _ in range(30):
            for path, found in statuses.items():
                response = await call(there, "GET", path)
                found.append(response.status)
                if response.status == 429:
                    assert int(response.header("rateLimit-reset") or 0) >= 1
                    assert {"message": "API rate limit exceeded"} == response.json()

        assert statuses["/ping"].count(429) > statuses[ABOUT_JANE].count(429) > 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500, 503])
async def test_a_fault_that_was_ordered_has_splios_form(status: int) -> None:
    """One of the four shapes (destinations 2.6)."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(fail=[Failure(status=status)])

        response = await call(there, "POST", CONTACTS, {"email": JANE})

    found: Any = response.json()
    assert status == response.status
    assert isinstance(found, str) == (status in (401, 405))
    assert isinstance(found, dict) == (status not in (401, 405))


async def test_a_fault_may_be_about_one_contact() -> None:
    """Named in the body or in the path."""
    async with universe() as there:
        there.has()
        there.sandbox.faults = SplioContactsFaults(fail=[Failure(status=503, contacts=[JANE])])

        assert 503 == (await call(there, "POST", CONTACTS, {"email": JANE})).status
        assert 503 == (await call(there, "PATCH", ABOUT_JANE, {"firstname": "Jane"})).status
        assert 201 == (await call(there, "POST", CONTACTS, {"email": "joe@example.com"})).status


async def test_the_page_shows_contacts_with_their_lists() -> None:
    """For people; what contacts are called is no HTML."""
    async with universe() as there:
        there.has(firstname="<b>Jane</b>", lists=[{"id": 25}])

        page = (await call(there, "GET", "/")).body.decode()

        assert "1 contacts" in page
        assert "<td>&lt;b&gt;Jane&lt;/b&gt;</td>" in page
        assert "<td>Customers</td>" in page


async def test_emptied_it_is_as_new() -> None:
    """But for the tokens, which callers still hold."""
    async with universe() as there:
        token = there.sandbox.grant()
        there.has()

        assert 204 == (await call(there, "DELETE", "/_sandbox")).status
        assert [] == there.sandbox.people()
        assert 200 == (await call(there, "GET", "/ping", token=token)).status
