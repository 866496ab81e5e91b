"""The connection test, line by line (destinations 2.11)."""

import time
from typing import Any

import pytest

from stream.destinations.sandbox import Failure
from stream.destinations.splio_contacts.sandbox import SplioContactsFaults, SplioContactsSandbox
from stream.http import Unanswered
from stream.http.tokens import TokenRefused
from tests.destinations.splio_contacts.universe import KEY, Script, answer, destination_of, settings_of, universe


async def test_it_names_what_it_looked_at() -> None:
    """Key, token, unique key, list, each custom field."""
    async with universe(default_list_id="25") as there:
        checks = await there.checks()

    assert {
        "api_key": True,
        "token": True,
        "unique key": True,
        "list 25": True,
        "custom field city": True,
        "custom field company": True,
        "custom field country": True,
    } == {name: check.ok for name, check in checks.items()}
    assert ("user 123", "Customers") == (checks["token"].text, checks["list 25"].text)


async def test_without_a_list_its_line_is_skipped() -> None:
    """And says what follows from that."""
    async with universe() as there:
        checks = await there.checks()

    assert checks["list"].ok is None


@pytest.mark.parametrize(
    "changes,refused",
    [
        ({"default_list_id": "26"}, ["list 26"]),
        ({"default_list_id": "news"}, ["list news"]),
        ({"custom_fields": {"city": "city", "town": "city", "7": "age"}}, ["custom field town", "custom field 7"]),
        ({"unique_key": "cellphone"}, ["unique key"]),
        ({"unique_key": {"field": "c9", "from": "id"}}, ["unique key", "custom field c9"]),
    ],
)
async def test_it_finds_what_the_universe_does_not_have(changes: dict[str, Any], refused: list[str]) -> None:
    """Each with what to do about it."""
    async with universe(**changes) as there:
        checks = await there.checks()

    assert refused == [name for name, check in checks.items() if check.ok is False]
    assert all(checks[name].hint for name in refused)


@pytest.mark.parametrize(
    "faults,refused",
    [(SplioContactsFaults(wrong_key=True), "api_key"), (SplioContactsFaults(no_rights=True), "token")],
)
async def test_a_key_that_is_no_good_ends_it(faults: SplioContactsFaults, refused: str) -> None:
    """Nothing else could be looked up."""
    async with universe() as there:
        there.sandbox.faults = faults
        checks = await there.checks()

    assert [refused] == [name for name, check in checks.items() if not check.ok]
    assert "api_key" in checks[refused].hint
    assert KEY not in str(checks)


async def test_a_key_is_tried_also_where_a_token_is_still_good() -> None:
    """Or it would be found out only when the token ends."""
    sandbox = SplioContactsSandbox("another-key")
    async with universe(sandbox, token=sandbox.grant()) as there:
        checks = await there.checks()

    assert ["api_key"] == list(checks)
    assert checks["api_key"].ok is False


async def test_a_bare_token_that_has_expired_asks_for_a_key() -> None:
    """The words of destinations 2.2."""
    sandbox = SplioContactsSandbox()
    async with universe(sandbox, api_key=None, token=sandbox.grant()) as there:
        there.sandbox.faults = SplioContactsFaults(expired_before=time.time())
        checks = await there.checks()

    assert ["token"] == list(checks)
    assert checks["token"].hint.startswith("token expired, supply an API key")


async def test_a_busy_splio_says_nothing_about_the_key() -> None:
    """The connection test is then inconclusive, not failed."""
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(fail=[Failure(status=503, calls="all")])

        with pytest.raises(TokenRefused, match="503"):
            await there.checks()


async def test_a_busy_splio_with_a_good_token_is_unreachable() -> None:
    """The same where no token had to be asked for."""
    async with universe() as there:
        await there.deliver()
        there.sandbox.faults = SplioContactsFaults(fail=[Failure(status=503, calls="all")])

        with pytest.raises(Unanswered):
            await there.checks()


async def test_fields_on_a_later_page_are_found() -> None:
    """A universe may have thousands, and a page holds a thousand."""
    sandbox = SplioContactsSandbox(KEY, fields=dict.fromkeys(range(1500), "text"))
    async with universe(sandbox, custom_fields={"1499": "a", "1500": "b"}) as there:
        checks = await there.checks()

    assert (True, False) == (checks["custom field 1499"].ok, checks["custom field 1500"].ok)


async def test_what_splio_does_not_list_is_left_to_the_first_delivery() -> None:
    """Universes differ in what their API serves; only a refusal of the token refuses."""
    script = Script(answer(200, {"user_id": 1}), answer(404, b""))
    splio = destination_of(settings_of(default_list_id="25"), script)

    checks = {check.name: check.ok async for check in splio.check()}

    assert {"api_key": True, "token": True} == {name: ok for name, ok in checks.items() if ok is not None}
    assert checks.keys() >= {"unique key", "list 25", "custom field city"}


async def test_another_server_than_splio_is_refused() -> None:
    """A page with status 200 is no answer."""
    splio = destination_of(settings_of(), Script(answer(200, b"<html></html>")))

    checks = [check async for check in splio.check()]

    assert ("token", False) == (checks[-1].name, checks[-1].ok)
    assert "base_url" in checks[-1].hint
