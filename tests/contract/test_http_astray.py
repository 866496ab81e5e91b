"""Answers that name another host: nothing goes there, whichever destination asked and whichever library called."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import httpx
import orjson
import pytest

from stream.core.limits import RateLimit
from stream.destinations import REGISTRY
from stream.destinations.base import Calls
from stream.destinations.sandbox import serve
from stream.http import NotSent, Request, Unanswered
from stream.http.client import Client
from stream.http.settings import HttpSettings, open_transport
from stream.http.tokens import StaticToken, TokenRefused
from stream.opening import open_destination
from tests.contract.test_destinations import CALLED, NAMES, There, configured
from tests.contract.vendor import Arrival, Vendor, Wire, answers, vendor

Lure = Callable[[str, int, Any], tuple[int, Any]]
"""What becomes of an answer's status and JSON, by the address to which it is to lure."""

NO_ANSWER = (NotSent, Unanswered, TokenRefused)
LINKS = (
    "next",
    "next_page",
    "next_page_url",
    "url",
    "href",
    "link",
    "location",
    "redirect",
    "self",
    "base_url",
    "host",
)

CALLING: dict[str, dict[str, Any]] = {"splio_files": {"attributes": {"civility": "traits.title"}}}
"""What it takes for a destination to call at all."""


def redirected(_trap: str, _status: int, content: Any) -> tuple[int, Any]:
    """As from a moved vendor, or from whoever took over its name. 307 asks for the same method and body."""
    return 307, content


def linked(trap: str, status: int, content: Any) -> tuple[int, Any]:
    """The vendor's own answer, with links wherever some API or other has them."""
    links = dict.fromkeys(LINKS, trap)
    poison = {**links, "links": links, "_links": links, "paging": links, "pagination": links, "region": trap}
    return status, {**content, **poison} if isinstance(content, dict) else content


async def answer_changed(real: httpx.AsyncClient, arrival: Arrival, wire: Wire, lure: Lure, trap: str) -> None:
    """What the stand-in says to a request, changed by *lure*, with every header that can name a place."""
    known: tuple[str, ...] = ("authorization", "content-type")
    headers = {name: arrival.headers[name] for name in known if name in arrival.headers}
    answer = await real.request(arrival.method, arrival.target, headers=headers, content=arrival.body)
    status, content = lure(trap, answer.status_code, answer.json() if answer.content else {})
    places = [f"{name}: {trap}/{arrival.target}" for name in ("Location", "Content-Location")]
    links = f'Link: <{trap}/next>; rel="next"', f'Alt-Svc: h2="{trap.removeprefix("http://")}"'
    await answers(status, orjson.dumps(content), *(line.encode() for line in (*places, *links)))(wire)


@pytest.mark.parametrize("transport", ["fast", "httpx"])
@pytest.mark.parametrize("lure", [redirected, linked])
@pytest.mark.parametrize("name", NAMES)
async def test_no_destination_follows_an_answer_to_another_host(
    name: str, lure: Lure, transport: Literal["fast", "httpx"]
) -> None:
    """Neither its connection test nor a delivery: not a connection is made there."""
    sandbox = REGISTRY[name].sandbox()
    async with serve(sandbox) as url, vendor(answers()) as trap, httpx.AsyncClient(base_url=url) as real:
        there: Vendor

        async def between(wire: Wire) -> None:
            await answer_changed(real, there.arrivals[-1], wire, lure, trap.url)

        async with vendor(between) as there:
            settings = configured(name, sandbox, there.url, **CALLING.get(name, {}))
            async with open_destination(settings, HttpSettings(transport=transport)) as destination:
                with suppress(*NO_ANSWER):
                    _ = [check async for check in destination.check()]
                if name in CALLED:
                    assert isinstance(destination, Calls)
                    await There(name, settings, destination, sandbox).deliver()

    assert there.arrivals
    assert 0 == trap.connections


@pytest.mark.parametrize("transport", ["fast", "httpx"])
async def test_a_destination_that_would_follow_is_held_back(transport: Literal["fast", "httpx"]) -> None:
    """Where the next page is, the answer must not say: the key would go along."""
    async with vendor(answers()) as trap, vendor(answers(200, orjson.dumps({"next": f"{trap.url}/page/2"}))) as there:
        calls = open_transport(HttpSettings(transport=transport))
        client = Client(
            calls,
            there.url,
            StaticToken("example"),
            addresses=[there.url],
            limiter=RateLimit(None),
            timeout=5.0,
            observe=lambda _status, _seconds: None,
        )
        first = await client.send(Request("GET", "/page/1"))
        with pytest.raises(NotSent, match="another host"):
            await client.send(Request("GET", first.json()["next"]))
        await client.send(Request("GET", f"{there.url}/page/2"))
        await calls.close()

    assert ["/page/1", "/page/2"] == [arrival.target for arrival in there.arrivals]
    assert 0 == trap.connections
