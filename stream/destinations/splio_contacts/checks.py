"""The connection test of a Splio universe, line by line (destinations 2.11)."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from schemas.masking import mask
from stream.core.outcomes import Blocked, Retry, Throttled
from stream.destinations.base import Check
from stream.destinations.splio_contacts import tokens
from stream.destinations.splio_contacts.settings import CONTACTS, OTHER, SplioContactsSettings, UniqueField
from stream.destinations.splio_contacts.verdicts import (
    FIELD,
    HOST,
    KEY,
    LIST,
    SUPPLY_KEY,
    described,
    problems,
    refusal,
)
from stream.http import Request, Response, Unanswered
from stream.http.client import Client
from stream.http.tokens import TokenRefused

PING = "/ping"
LISTS = "/data/v1/lists"
FIELDS = "/data/fields/contacts"
UNIQUE_KEY = "/universes/unique-key"

PAGE = 1000  # lists or fields asked for at once: the most Splio gives
PAGES = 50  # asked for at most


async def connection_test(settings: SplioContactsSettings, http: Client) -> AsyncIterator[Check]:
    """Whether the key, the token, the list and the custom fields are good. Raises like `Client.send`."""
    try:
        response = await _read(http, PING)
        if settings.api_key and settings.token:  # else the key was needed to get here
            answer = await _answer(http, tokens.request(settings.api_key))
            if tokens.minted(answer) is None:
                yield Check("api_key", False, _said(answer), KEY)
                return
    except TokenRefused as error:
        if isinstance(refusal(error.response, 0.0), Retry | Throttled):
            raise
        yield Check("api_key", False, f"no token for it: {_said(error.response)}", KEY)
        return
    if settings.api_key:
        yield Check("api_key", True, "it mints tokens")
    content = response.json()
    if response.status != 200 or not isinstance(content, dict):
        yield Check("token", False, _said(response), _hint(response, settings))
        return
    yield Check("token", True, mask(f"user {content.get('user_id')}"))
    yield await _unique_key(settings, http)
    yield await _list(settings, http)
    async for check in _fields(settings, http):
        yield check


async def _unique_key(settings: SplioContactsSettings, http: Client) -> Check:
    """Whether contacts are told apart as the settings say; a universe that does not tell is taken at their word."""
    name, wanted = "unique key", settings.unique_key
    ours = wanted.field if isinstance(wanted, UniqueField) else wanted
    response = await _read(http, UNIQUE_KEY)
    content = response.json()
    told = content.get("unique_key") if isinstance(content, dict) else None
    if response.status != 200 or not isinstance(told, str):
        return Check(name, None, f"{ours}; Splio does not say ({response.status})")
    if told in (ours, f"c{ours}"):
        return Check(name, True, ours)
    return Check(name, False, mask(f"the universe has {told}, not {ours}"), "set `unique_key` to what the universe has")


async def _list(settings: SplioContactsSettings, http: Client) -> Check:
    wanted = settings.default_list_id
    if wanted is None:
        return Check("list", None, "no default_list_id: nobody is subscribed")
    name = f"list {wanted}"
    lists, refused = await _all(http, LISTS)
    if found := _known(wanted, lists):
        return Check(name, True, mask(str(found.get("name", "found"))) or "found")
    if refused is not None:
        return _unlisted(name, refused)
    return Check(name, False, "unknown in this universe", LIST)


async def _fields(settings: SplioContactsSettings, http: Client) -> AsyncIterator[Check]:
    """A line for each custom field that is written."""
    wanted = [*settings.custom_fields]
    if isinstance(settings.unique_key, UniqueField):
        wanted.append(settings.unique_key.field)
    if not wanted:
        return
    fields, refused = await _all(http, FIELDS)
    for field_id in wanted:
        name = f"custom field {field_id}"
        if found := _known(field_id, fields):
            other = str(found.get("id")) != field_id
            called = str(found.get("name"))
            yield Check(name, True, mask(f"id {found.get('id')}, {called}" if other else called) or "found")
        elif refused is not None:
            yield _unlisted(name, refused)
        else:
            yield Check(name, False, "unknown in this universe", FIELD)


def _known(wanted: str, listed: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What has this id, else what has this name: Splio's own documents disagree on which of the two is sent (2.5)."""
    for names in (("id",), ("name", "field_key")):
        for each in listed:
            if any(str(each.get(name)) == wanted for name in names):
                return each
    return None


def _unlisted(name: str, response: Response) -> Check:
    """A line on what could not be looked up: refused where the token is, else left to the first delivery."""
    if response.status in (401, 403):
        return Check(name, False, _said(response), KEY)
    return Check(name, None, f"Splio does not list it ({response.status}): the first delivery will tell")


async def _all(http: Client, path: str) -> tuple[list[Mapping[str, Any]], Response | None]:
    """What is listed on all pages, and the answer that was no list."""
    found: list[Mapping[str, Any]] = []
    for number in range(1, PAGES + 1):
        response = await _read(http, f"{path}?per_page={PAGE}&page_number={number}")
        content = response.json()
        elements = content.get("elements") if isinstance(content, dict) else content
        if response.status != 200 or not isinstance(elements, list):
            return found, response
        known = len(found)
        found += [each for each in elements if isinstance(each, dict) and each not in found]
        total = content.get("count_element") if isinstance(content, dict) else None
        if len(found) == known or type(total) is not int or len(found) >= total:
            break  # all, or a server that ignores the page's number
    return found, None


async def _read(http: Client, path: str) -> Response:
    return await _answer(http, Request("GET", path, limit=CONTACTS if path.startswith("/data/contacts") else OTHER))


async def _answer(http: Client, request: Request) -> Response:
    """An answer that says something about the configuration; raises Unanswered for one that only says: later."""
    response = await http.send(request)
    if response.status >= 300 and isinstance(refusal(response, 0.0), Retry | Throttled):
        raise Unanswered(_said(response))
    return response


def _said(response: Response) -> str:
    return described(response.status, problems(response))


def _hint(response: Response, settings: SplioContactsSettings) -> str:
    """What to do about a token that fails the connection test."""
    if response.status in (401, 403) and settings.api_key is None:
        return SUPPLY_KEY
    outcome = refusal(response, 0.0) if response.status >= 300 else None
    return outcome.hint if isinstance(outcome, Blocked) else HOST
