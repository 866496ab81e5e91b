"""The stand-in's own rules, traps included (destinations 6.2 to 6.4). Those that all stand-ins share: attio's tests."""

import base64
import time

import orjson
import pytest

from stream.destinations.customerio.people import SIX_MONTHS
from stream.destinations.customerio.sandbox import APP_KEY, SITE_ID, TRACK_KEY, CustomerioFaults, CustomerioSandbox
from stream.http import Response
from tests.destinations.customerio.account import JANE, Account, account

DAY = 86_400
BEARER = f"Bearer {APP_KEY}"
BASIC = f"Basic {base64.b64encode(f'{SITE_ID}:{TRACK_KEY}'.encode()).decode()}"


async def call(there: Account, method: str, path: str, body: object = None, *, authorization: str = "") -> Response:
    """A call of either API, however wrong."""
    shown = authorization or (BEARER if path.startswith("/v1/") else BASIC)
    sent = None if body is None else orjson.dumps(body)
    headers = [("authorization", shown)]
    return await there.transport.send(method, there.url + path, headers=headers, body=sent, timeout=5.0)


@pytest.mark.parametrize("path", ["/v1/customers?email=x", "/v1/workspaces", "/api/v1/accounts/region"])
async def test_every_call_needs_its_own_key(path: str) -> None:
    """Bearer for the App API, Basic for Track."""
    async with account() as there:
        for wrong in ("Bearer other", "Basic other", BASIC if path.startswith("/v1/") else BEARER):
            response = await call(there, "GET", path, authorization=wrong)

            assert 401 == response.status
            assert response.json()["meta"]["error"]


async def test_an_unencoded_plus_finds_nobody() -> None:
    """Silently: an empty list."""
    async with account() as there:
        there.sandbox.holds.add("jane+news@example.com")

        found = [await call(there, "GET", f"/v1/customers?email=jane{plus}news@example.com") for plus in ("+", "%2B")]

        assert [0, 1] == [len(response.json()["results"]) for response in found]


async def test_a_collection_is_found_by_the_kind_of_id_that_is_named() -> None:
    """`id` unless said; email and phone are not identifiers of this workspace; `cio_` is only for Track's paths."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE, id="42")
        asked = {
            "42/segments": 200,
            f"{jane.cio_id}/segments": 404,
            f"{jane.cio_id}/segments?id_type=cio_id": 200,
            f"cio_{jane.cio_id}/segments?id_type=cio_id": 404,
            f"{JANE}/segments?id_type=email": 400,
            "33612345678/segments?id_type=phone": 400,
        }

        answers = {path: (await call(there, "GET", f"/v1/customers/{path}")).status for path in asked}

        assert asked == answers


async def test_messages_without_a_range_are_those_of_six_months() -> None:
    """And a longer range is cut to its last six."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE, messages=700)
        path = f"/v1/customers/{jane.cio_id}/messages?id_type=cio_id&limit=1000"
        now = int(time.time())

        newest = (await call(there, "GET", path)).json()["messages"]
        end = now - 300 * DAY
        older = (await call(there, "GET", f"{path}&start_ts={now - 700 * DAY}&end_ts={end}")).json()["messages"]

        assert now - SIX_MONTHS - 5 <= newest[-1]["created"] < now - SIX_MONTHS + DAY
        assert older[0]["created"] <= end
        assert end - SIX_MONTHS <= older[-1]["created"] < end - SIX_MONTHS + DAY


@pytest.mark.parametrize("name, usual, most", [("messages", 50, 1000), ("activities", 10, 100)])
async def test_a_page_has_the_size_that_is_usual_or_asked_for(name: str, usual: int, most: int) -> None:
    """Up to a largest one; `next` leads on and is empty at the end."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE, messages=60, activities=60)
        path = f"/v1/customers/{jane.cio_id}/{name}?id_type=cio_id"

        first = (await call(there, "GET", path)).json()
        rest = (await call(there, "GET", f"{path}&limit={min(most, 60)}&start={first['next']}")).json()

        assert (usual, 60 - usual, "") == (len(first[name]), len(rest[name]), rest["next"])
        assert 400 == (await call(there, "GET", f"{path}&limit={most + 1}")).status
        assert 400 == (await call(there, "GET", f"{path}&start=elsewhere")).status


async def test_a_removal_of_somebody_it_never_knew_is_a_200() -> None:
    """With an empty object, like any other."""
    async with account() as there:
        response = await call(there, "DELETE", "/api/v1/customers/cio_nobody")

        assert (200, {}) == (response.status, response.json())


async def test_whoever_was_removed_is_found_for_a_while() -> None:
    """The lookup lags behind; the collections do not."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE)
        await call(there, "DELETE", f"/api/v1/customers/cio_{jane.cio_id}")

        assert 1 == len((await call(there, "GET", f"/v1/customers?email={JANE}")).json()["results"])
        assert 404 == (await call(there, "GET", f"/v1/customers/{jane.cio_id}/segments?id_type=cio_id")).status
        jane.gone_at = time.time()
        assert [] == (await call(there, "GET", f"/v1/customers?email={JANE}")).json()["results"]


async def test_plain_text_names_an_id_and_never_an_address() -> None:
    """Also where it looks like one: the wrong person is removed."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        there.sandbox.holds.add("ada@example.com", id=JANE)
        there.sandbox.faults = CustomerioFaults(lingers=0)

        await call(there, "DELETE", f"/api/v1/customers/{JANE}")

        assert [JANE] == [person["email"] for person in there.sandbox.people()]


@pytest.mark.parametrize("way, back", [("DELETE", 1), ("POST", 0)])
async def test_only_suppression_keeps_a_person_from_coming_back(way: str, back: int) -> None:
    """Any later identify makes a deleted one anew; for a suppressed one it is taken and ignored."""
    async with account() as there:
        there.sandbox.faults = CustomerioFaults(lingers=0)
        jane = there.sandbox.holds.add(JANE, id="42")
        path = f"/api/v1/customers/cio_{jane.cio_id}"
        await call(there, way, path if way == "DELETE" else f"{path}/suppress")

        assert 200 == (await call(there, "PUT", "/api/v1/customers/42", {"email": JANE})).status
        assert back == len(there.sandbox.people())


async def test_the_other_region_redirects() -> None:
    """To its own host, with the whole path."""
    async with account() as there:
        there.sandbox.faults = CustomerioFaults(elsewhere=True)
        response = await call(there, "GET", "/v1/customers?email=x")

    assert (301, "https://api-eu.customer.io/v1/customers?email=x") == (response.status, response.header("location"))


async def test_the_page_shows_people_and_runs_nothing_of_theirs() -> None:
    """Whatever they call themselves."""
    async with account(CustomerioSandbox()) as there:
        there.sandbox.holds.add("<script>alert(1)</script>@example.com")
        page = (await call(there, "GET", "/")).body.decode()

    assert "jane@example.com" in page
    assert "<script>" not in page


async def test_a_reset_brings_the_sample_back() -> None:
    """And nobody else."""
    sandbox = CustomerioSandbox()
    before = [person["email"] for person in sandbox.people()]
    sandbox.holds.add("ada@example.com")

    sandbox.reset()

    assert before == [person["email"] for person in sandbox.people()]
