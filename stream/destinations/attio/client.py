"""Attio people: the calls and their bodies. What answers mean is in `verdicts.py`, the mapping in `preset.yaml`."""

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from schemas.masking import mask
from stream.core.outcomes import Outcome, Retry, Throttled
from stream.core.records import Batch, Fields, Message
from stream.destinations.attio import verdicts
from stream.destinations.attio.settings import ATTRIBUTES, AttioSettings
from stream.destinations.attio.verdicts import described, hint, listed, refusal, unexpected, verdict
from stream.destinations.base import Calls, Check
from stream.http import Request, Response, Unanswered
from stream.http.client import Client
from stream.http.tokens import StaticToken, Token

ASSERT = "/v2/objects/people/records?matching_attribute=email_addresses"
QUERY = "/v2/objects/people/records/query"
SELF = "/v2/self"
ATTRIBUTES_OF_PEOPLE = "/v2/objects/people/attributes"

PAGE = 100  # attributes asked for at once
NEEDED_SCOPES = ("record_permission:read-write", "object_configuration:read")

NAME_PARTS = frozenset(("first_name", "last_name", "name"))
SHAPED = NAME_PARTS | {"email", "phone"}  # fields that are no slugs with a plain value


class Attio(Calls):
    """The people of an Attio workspace: one assert per message, matched by email address."""

    type = "attio"
    settings: AttioSettings
    coalesces = True  # an assert leaves alone what it does not name

    def __init__(self, settings: AttioSettings, http: Client) -> None:
        super().__init__(settings, http)
        self._omits_phone = settings.phone_mode == "omit"

    @classmethod
    def token(cls, settings: AttioSettings) -> Token:
        """The key as it was given: Attio has nothing to renew it with (destinations 5.1)."""
        return StaticToken(settings.api_key.get_secret_value())

    def key(self, fields: Fields) -> str:
        """The email address, as Attio matches it."""
        return str(fields["email"])

    def encode(self, fields: Fields) -> bytes:
        """The body of the assert."""
        return _body(fields, without_phone=self._omits_phone)

    def merged(self, older: Fields, newer: Fields) -> Fields:
        """A newer name replaces all parts of an older one; a phone that fills a gap is the older one."""
        if not NAME_PARTS.isdisjoint(newer):
            older = {field: value for field, value in older.items() if field not in NAME_PARTS}
        if self.settings.phone_mode == "only_if_empty" and "phone" in older:
            newer = {field: value for field, value in newer.items() if field != "phone"}
        return older | newer

    def requests(self, batch: Batch) -> list[Request]:
        """The read, where it depends on the person whether the phone is sent, and the assert."""
        [message] = batch
        asserted = self._asserted(message.body)
        return [self._query(message), asserted] if self._reads_first(message) else [asserted]

    async def send(self, batch: Batch) -> list[Outcome]:
        """The verdict on the one person of the batch; see `Calls.send`."""
        [message] = batch
        body = message.body
        if self._reads_first(message):
            response = await self.http.send(self._query(message), deadline=batch.deadline)
            if not 200 <= response.status < 300:
                return [refusal(response, time.time())]
            people = listed(response.json())
            if people is None:
                return [unexpected(response, "a list of people")]
            if any(_has_phone(person) for person in people):
                body = _body(message.fields, without_phone=True)
        response = await self.http.send(self._asserted(body), deadline=batch.deadline)
        return [verdict(response, time.time())]

    async def check(self) -> AsyncIterator[Check]:
        """The key, its scopes, then each attribute the mapping writes (destinations 5.6)."""
        response = await self._read(SELF)
        me = response.json()
        if response.status != 200 or not isinstance(me, dict) or "active" not in me:
            yield Check("token", False, described(response), hint(response))
            return
        if me["active"] is not True:  # with status 200: Attio answers 401 only to other calls
            yield Check("token", False, "Attio does not know this key, or it was revoked", verdicts.NEW_KEY)
            return
        yield Check("token", True, f"workspace {mask(str(me.get('workspace_name')))}")
        granted = str(me.get("scope")).split()
        for scope in NEEDED_SCOPES:
            ok = scope in granted or f"{scope}-write" in granted
            yield Check(f"scope {scope}", ok, "granted" if ok else "missing", "" if ok else verdicts.SCOPES)
        async for check in self._check_attributes():
            yield check

    async def _check_attributes(self) -> AsyncIterator[Check]:
        wanted = self._written()
        found: dict[str, Any] = {}
        offset = 0
        while not found.keys() >= wanted.keys():
            response = await self._read(f"{ATTRIBUTES_OF_PEOPLE}?limit={PAGE}&offset={offset}")
            attributes = listed(response.json()) if response.status == 200 else None
            if attributes is None:
                yield Check("attributes", False, described(response), hint(response))
                return
            known = len(found)
            found |= {str(each.get("api_slug")): each for each in attributes if isinstance(each, dict)}
            if len(found) == known:  # the end, or a server that ignores the offset
                break
            offset += len(attributes)
        for slug in wanted:
            yield _judged(slug, found.get(slug))

    async def _read(self, path: str) -> Response:
        """An answer that says something about the configuration; raises Unanswered for one that only says: later."""
        response = await self.http.send(Request("GET", path))
        if response.status >= 300 and isinstance(refusal(response, 0.0), Retry | Throttled):
            raise Unanswered(described(response))
        return response

    def _written(self) -> dict[str, None]:
        """The slugs of the attributes that the preset and the configuration write, in their order."""
        mapped: dict[str, Any] = dict.fromkeys(ATTRIBUTES, "") | self.settings.fields
        if self._omits_phone:
            mapped["phone"] = None
        return dict.fromkeys(ATTRIBUTES.get(field, field) for field, value in mapped.items() if value is not None)

    def _reads_first(self, message: Message) -> bool:
        return self.settings.phone_mode == "only_if_empty" and "phone" in message.fields

    def _query(self, message: Message) -> Request:
        """The person of this email address (at most one: the attribute is unique)."""
        where = {"email_addresses": {"email_address": {"$eq": message.fields["email"]}}}
        return Request("POST", QUERY, orjson.dumps({"filter": where, "limit": 1}))

    def _asserted(self, body: bytes) -> Request:
        return Request("PUT", ASSERT, body)


def _body(fields: Fields, *, without_phone: bool) -> bytes:
    """An assert's body. What it does not name stays as it is; an empty list would clear it, so none is sent."""
    values: dict[str, object] = {"email_addresses": [{"email_address": fields["email"]}]}
    if name := _name(fields):
        values["name"] = [name]
    if "phone" in fields and not without_phone:
        values["phone_numbers"] = [{"original_phone_number": fields["phone"]}]
    for field, value in fields.items():
        if field not in SHAPED:
            values[field] = [{"value": value}]
    return orjson.dumps({"data": {"values": values}})


def _name(fields: Fields) -> dict[str, str] | None:
    """All three parts of a name, which Attio takes only together; None where none is text (destinations 5.2)."""
    first, last, full = fields.get("first_name"), fields.get("last_name"), fields.get("name")
    first = first if type(first) is str else ""
    last = last if type(last) is str else ""
    if type(full) is not str or not full:
        full = f"{first} {last}" if first and last else first or last
    elif not (first or last):
        first, _, last = full.rpartition(" ")
        first, last = (first.rstrip(), last) if first else (full, "")
    return {"first_name": first, "last_name": last, "full_name": full} if full else None


def _has_phone(person: Any) -> bool:
    """Whether a person as Attio lists it has a phone number."""
    values = person.get("values") if isinstance(person, dict) else None
    return bool(values.get("phone_numbers")) if isinstance(values, dict) else False


def _judged(slug: str, attribute: dict[str, Any] | None) -> Check:
    """One line on an attribute as Attio lists it."""
    if attribute is None:
        fault = "unknown in this workspace"
    elif attribute.get("is_archived") is True:
        fault = "archived"
    elif attribute.get("is_writable") is False:
        fault = "read-only"
    else:
        return Check(f"attribute {slug}", True, mask(str(attribute.get("type", ""))) or "found")
    return Check(f"attribute {slug}", False, fault, verdicts.SLUG)
