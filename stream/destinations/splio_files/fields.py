"""The attributes of a universe, asked of the Data API: which there are, and those that are missing, created.

For one unknown column Splio skips a whole file (destinations 4.4).
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import orjson

from schemas.masking import mask
from stream.core.outcomes import Blocked, Retry, Throttled
from stream.http import Request, Response
from stream.http.client import Client
from stream.http.responses import wait_asked

FIELDS_OF_CONTACTS = "/data/fields/contacts"
FIELDS = "/data/fields"
PAGE, PAGES = 1000, 50  # attributes asked for at once, and how often at most
HINT = "look at `api_key` and `base_url`: the key needs the rights of the Data API"
PASSING = {408, 409, 423, 425}


class NoFields(Exception):
    """The Data API did not do as it was asked."""

    def __init__(self, outcome: Retry | Throttled | Blocked) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


async def missing(http: Client, columns: Iterable[str]) -> list[str]:
    """Those of *columns* that Splio does not have; `c5` is the attribute of id 5. Raises NoFields."""
    wanted = dict.fromkeys(columns)
    async for field in _listed(http):
        for name in (field.get("name"), field.get("field_key"), f"c{field.get('id')}"):
            wanted.pop(str(name), None)
    return list(wanted)


async def create(http: Client, types: Mapping[str, str], now: float) -> None:
    """Create attributes of contacts with these types. Raises NoFields. *now* is seconds since the epoch."""
    for name, kind in types.items():
        body = orjson.dumps({"scope": "contacts", "name": name, "type": kind})
        response = await http.send(Request("POST", FIELDS, body))
        if not 200 <= response.status < 300:
            raise NoFields(_refusal(response, now, f"creating {name}"))


async def _listed(http: Client) -> AsyncIterator[dict[str, Any]]:
    number, seen = 1, 0
    while True:
        response = await http.send(Request("GET", f"{FIELDS_OF_CONTACTS}?per_page={PAGE}&page_number={number}"))
        found = response.json()
        elements = found.get("elements") if isinstance(found, dict) and response.status == 200 else None
        if not isinstance(found, dict) or not isinstance(elements, list):
            raise NoFields(_refusal(response, 0.0, "listing the attributes"))
        for element in elements:
            if isinstance(element, dict):
                yield element
        seen += len(elements)
        if not elements or seen >= _count(found.get("count_element")) or number == PAGES:
            return
        number += 1


def _count(said: Any) -> int:
    """How many there are in all; none where that is no number."""
    return int(said) if re.fullmatch(r"[0-9]{1,9}", str(said)) else 0


def _refusal(response: Response, now: float, doing: str) -> Retry | Throttled | Blocked:
    status = response.status
    detail = f"{doing}: the Data API answered {status}"
    if status == 429:
        return Throttled(wait_asked(response, now), detail, status)
    if status >= 500 or status in PASSING:
        return Retry(detail, status)
    if words := re.findall(r'"error_description"\s*:\s*"([^"]{1,200})"', response.body.decode("utf-8", "replace")):
        detail = mask(f"{detail} {words[0]}")
    return Blocked(detail, status, HINT)
