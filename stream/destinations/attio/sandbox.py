"""A stand-in for Attio: its people and its rules for calls (destinations 5). Those for values are in `shapes.py`."""

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from html import escape
from typing import Any, Literal, cast

import orjson
from pydantic import Field

from stream.destinations.attio.shapes import Json, Refusal, kept, no_attribute, object_of, values_of
from stream.destinations.sandbox import Faults, Sandbox
from stream.destinations.sandbox_http import Answer, Arrival

TOKEN = "attio-sandbox-key"  # noqa: S105 - of the stand-in
SCOPES = ("record_permission:read-write", "object_configuration:read")
SHOWN = 200  # people on the page

STANDARD = {
    "name": "personal-name",
    "email_addresses": "email-address",
    "phone_numbers": "phone-number",
    "job_title": "text",
    "description": "text",
}

CODES = {400: "validation_type", 401: "unauthorized", 403: "unauthorized", 404: "not_found", 429: "rate_limit_exceeded"}
"""What an ordered failure says where nobody said what it should."""

Kind = Literal["text", "number", "checkbox"]


class AttioFaults(Faults):
    """What can be wrong with an Attio workspace besides."""

    revoked: bool = Field(False, description="the token is unknown")
    lost_scopes: list[str] = Field([], description="scopes the token no longer has")
    renamed: dict[str, str] = Field({}, description="slugs of attributes to their new ones; to an empty text: removed")


@dataclass(slots=True, eq=False)
class Person:
    """A record. Values are as they were sent, by the attribute's first slug."""

    record_id: str
    created_at: str
    values: dict[str, list[Any]] = field(default_factory=dict)


class AttioSandbox(Sandbox):
    """One workspace and one token. *attributes*: slugs of custom ones to their types."""

    faults_model = AttioFaults
    workspace = "Sandbox"

    def __init__(self, token: str = TOKEN, attributes: dict[str, Kind] | None = None) -> None:
        self.token = token
        self.attributes: dict[str, str] = STANDARD | (attributes or {})
        self._first_slugs = {slug: slug for slug in self.attributes}
        self._by_email: dict[str, Person] = {}
        self._people: list[Person] = []
        self._workspace_id, self._object_id = str(uuid.uuid4()), str(uuid.uuid4())
        super().__init__()

    def reset(self) -> None:
        """As new."""
        super().reset()
        self._by_email.clear()
        self._people.clear()

    @property
    def credentials(self) -> dict[str, str]:
        """The token, which Attio calls a key."""
        return {"api_key": self.token}

    def writes(self, arrival: Arrival) -> bool:
        """Asserts are writes; a query is a read."""
        return arrival.method == "PUT"

    def contacts(self, arrival: Arrival) -> set[str]:
        """The email addresses in the body, wherever they are."""
        return {found.decode().lower() for found in re.findall(rb'[^\s"]+@[^\s"]+', arrival.body)}

    def error(self, status: int, code: str = "", message: str = "") -> Answer:
        """Attio's form of an error."""
        kind = {401: "auth_error", 403: "auth_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
        message = message or "The stand-in was told to fail."
        return Answer.json(
            status,
            {"status_code": status, "type": kind, "code": code or CODES.get(status, "unknown"), "message": message},
        )

    def throttled(self, until: float) -> Answer:
        """A 429 with the date until which to wait."""
        answer = self.error(429, "rate_limit_exceeded", "Rate limit exceeded, please try again later")
        answer.headers = (("retry-after", formatdate(until, usegmt=True)),)
        return answer

    def answer(self, arrival: Arrival) -> Answer:
        """What Attio answers."""
        try:
            return self._answered(arrival)
        except Refusal as refusal:
            answer = self.error(refusal.status, refusal.code, refusal.message)
            if refusal.problems is not None:
                answer.body = orjson.dumps(orjson.loads(answer.body) | {"validation_errors": refusal.problems})
            return answer

    def people(self) -> list[Json]:
        """Whom it holds, oldest first, as a query would list them."""
        return [self._record(person) for person in self._people]

    def page(self) -> str:
        """The newest people as an HTML table."""
        slugs = list(self._slugs().values())
        head = "".join(f"<th>{escape(slug)}</th>" for slug in slugs)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(_shown(person.values.get(slug)))}</td>' for slug in slugs)}</tr>"
            for person in reversed(self._people[-SHOWN:])
        )
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Attio stand-in</title>"
            "<style>body{font:15px/1.5 system-ui;margin:2rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}</style>"
            f"<h1>{len(self._people)} people</h1><p>{len(self.accepted)} writes accepted, {len(self.log)} calls.</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></html>"
        )

    def _answered(self, arrival: Arrival) -> Answer:
        match arrival.method, arrival.path:
            case "GET", "/v2/self":
                return self._self(arrival)
            case "PUT", "/v2/objects/people/records":
                self._authorized(arrival, SCOPES)
                return self._assert(arrival)
            case "POST", "/v2/objects/people/records/query":
                self._authorized(arrival, SCOPES)
                return self._query(arrival)
            case "GET", "/v2/objects/people/attributes":
                self._authorized(arrival, SCOPES[1:])
                return self._attributes(arrival)
        raise Refusal(404, "not_found", "Could not find this endpoint.")

    def _bearer(self, arrival: Arrival) -> str:
        scheme, _, token = arrival.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def _known(self, token: str) -> bool:
        return token == self.token and not self._wrong.revoked

    @property
    def _wrong(self) -> AttioFaults:
        return cast("AttioFaults", self.faults)

    def _slugs(self) -> dict[str, str]:
        """Today's slugs to the first ones."""
        renamed = self._wrong.renamed
        if not renamed:
            return self._first_slugs
        return {now: slug for slug in self.attributes if (now := renamed.get(slug, slug))}

    def _authorized(self, arrival: Arrival, scopes: tuple[str, ...]) -> None:
        if not self._known(self._bearer(arrival)):
            raise Refusal(401, "unauthorized", "The access token is missing, unknown or was revoked.")
        for scope in scopes:
            if scope in self._wrong.lost_scopes:
                raise Refusal(403, "unauthorized", f"This token lacks the scope {scope}.")

    def _self(self, arrival: Arrival) -> Answer:
        """Never a 401: see destinations 5.6."""
        token = self._bearer(arrival)
        if not token:
            raise Refusal(400, "missing_value", "A bearer token is required.")
        if not self._known(token):
            return Answer.json(200, {"active": False})
        granted = " ".join(scope for scope in SCOPES if scope not in self._wrong.lost_scopes)
        return Answer.json(
            200,
            {
                "active": True,
                "scope": granted,
                "token_type": "Bearer",
                "exp": None,
                "workspace_id": self._workspace_id,
                "workspace_name": self.workspace,
                "workspace_slug": self.workspace.lower(),
                "iss": "attio.com",
            },
        )

    def _assert(self, arrival: Arrival) -> Answer:
        matching = arrival.query.get("matching_attribute", "")
        slugs = self._slugs()
        if matching not in slugs:
            raise no_attribute(matching)
        if slugs[matching] != "email_addresses":
            raise Refusal(400, "validation_type", f'Attribute "{matching}" is not unique.')
        sent = values_of(arrival.body)
        checked: dict[str, list[Any]] = {}
        for now, value in sent.items():
            slug = slugs.get(now)
            if slug is None:
                raise no_attribute(now)
            checked[slug] = kept(now, self.attributes[slug], value)
        emails = [value["email_address"] for value in checked.get("email_addresses", ())]
        if not emails:
            raise Refusal(400, "missing_value", f'A value for the matching attribute "{matching}" is required.')
        person = self._matching(emails)
        known = person.values.get("email_addresses", [])
        checked["email_addresses"] = known + [
            {"email_address": email} for email in dict.fromkeys(emails) if {"email_address": email} not in known
        ]
        person.values |= checked  # but for the matching attribute, what is sent is what there is: 5.3
        for email in emails:
            self._by_email[email] = person
        self.accept()
        return Answer.json(200, {"data": self._record(person)})

    def _matching(self, emails: list[str]) -> Person:
        """The person of these addresses, perhaps a new one."""
        found = {id(person): person for email in emails if (person := self._by_email.get(email))}
        if len(found) > 1:
            raise Refusal(400, "multiple_match_results", "Multiple records match the values of the matching attribute.")
        for person in found.values():
            return person
        created = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "000Z")
        person = Person(str(uuid.uuid4()), created)
        self._people.append(person)
        return person

    def _query(self, arrival: Arrival) -> Answer:
        """People by email address, in the short and the long form of the filter; the only filter we use."""
        body = object_of(arrival.body)
        where = body.get("filter", {}).get("email_addresses") if isinstance(body.get("filter", {}), dict) else None
        if isinstance(where, dict) and isinstance(where.get("email_address"), dict):
            where = where["email_address"].get("$eq")
        if not isinstance(where, str):
            raise Refusal(400, "filter_error", "The stand-in filters people by email address only.")
        person = self._by_email.get(where.lower())
        return Answer.json(200, {"data": [self._record(person)] if person else []})

    def _attributes(self, arrival: Arrival) -> Answer:
        limit, offset = (arrival.query.get(name, default) for name, default in (("limit", "500"), ("offset", "0")))
        if not (limit.isdecimal() and offset.isdecimal()):
            raise Refusal(400, "validation_type", "limit and offset are whole numbers.")
        listed = [
            {"api_slug": now, "type": self.attributes[slug], "is_archived": False, "is_writable": True}
            for now, slug in self._slugs().items()
        ]
        return Answer.json(200, {"data": listed[int(offset) :][: int(limit)]})

    def _record(self, person: Person) -> Json:
        ids = {"workspace_id": self._workspace_id, "object_id": self._object_id, "record_id": person.record_id}
        today = {slug: now for now, slug in self._slugs().items()}
        return {
            "id": ids,
            "created_at": person.created_at,
            "web_url": f"https://app.attio.com/sandbox/person/{person.record_id}",
            "values": {today[slug]: value for slug, value in person.values.items() if slug in today},
        }


def _shown(value: list[Any] | None) -> str:
    """A value for people: the first part of each that says it all."""
    keys = ("full_name", "email_address", "original_phone_number", "value")
    return ", ".join(str(next(each[key] for key in keys if key in each)) for each in value or ())
