"""A stand-in for Splio's Data API: its calls, tokens and limits (destinations 2). Contacts' rules: `universe.py`."""

import base64
import math
import re
import time
from collections.abc import Mapping
from html import escape
from typing import Any, cast
from urllib.parse import unquote

import orjson
from pydantic import Field

from stream.destinations.sandbox import Faults, Sandbox
from stream.destinations.sandbox_http import Answer, Arrival
from stream.destinations.splio_contacts.universe import Contact, Fault, Id, Json, Universe

API_KEY = "splio-sandbox-key"
LISTS: Mapping[Id, str] = {"newsletter": "Newsletter", 25: "Customers"}
FIELDS: Mapping[Id, str] = {"city": "text", "company": "text", "country": "text", 5: "int"}
HOUR = 3600.0  # seconds a token lives (seed 000)
LIMITS = {True: 20, False: 10}  # calls a second: about contacts, and others (2.8)
BULK_ITEMS = 1000
SHOWN = 200  # contacts on the page

GONE = Fault("id", "wrong_value", "Contact not found for given identifier.")
SENTENCES = {401: "Expired JWT Token", 405: "Method not allowed"}  # shape (b): a bare text

_CONTACT = re.compile(r"/data/contacts/([^/]+)(/lists/subscribe)?")


class SplioContactsFaults(Faults):
    """What can be wrong with a universe besides."""

    wrong_key: bool = Field(False, description="the API key is unknown, and no token is granted")
    no_rights: bool = Field(False, description="403 to every call: the key lacks the rights of the Data API")
    expired_before: float = Field(0.0, description="tokens granted before this time, seconds since 1970, are refused")
    token_seconds: float = Field(HOUR, gt=0, description="how long tokens granted from now on live")
    limits: bool = Field(False, description="the real limits: 20 calls a second about contacts, 10 others")


class SplioContactsSandbox(Sandbox):
    """One universe and one API key."""

    faults_model = SplioContactsFaults

    def __init__(
        self,
        api_key: str = API_KEY,
        *,
        unique_key: str = "email",
        lists: Mapping[Id, str] = LISTS,
        fields: Mapping[Id, str] = FIELDS,
    ) -> None:
        self.api_key = api_key
        self.universe = Universe(unique_key, lists, fields)
        self._tokens: dict[str, tuple[float, float]] = {}  # when granted, and until when good
        self._called: dict[bool, tuple[int, int]] = {}
        super().__init__()

    def reset(self) -> None:
        """As new; tokens stay good."""
        super().reset()
        self.universe.clear()
        self._called.clear()

    @property
    def credentials(self) -> dict[str, str]:
        """The key, which mints tokens."""
        return {"api_key": self.api_key}

    @property
    def renewals(self) -> int:
        """Tokens granted so far."""
        return len(self._tokens)

    def grant(self) -> str:
        """A token, as `POST /authenticate` gives it."""
        now = time.time()
        expiry = now + self._wrong.token_seconds
        claims = {"iat": now, "exp": expiry, "number": len(self._tokens)}
        token = ".".join(_part(each) for each in ({"alg": "none"}, claims, {"stand": "in"}))
        self._tokens[token] = (now, expiry)
        return token

    def writes(self, arrival: Arrival) -> bool:
        """Calls that create or change contacts."""
        return arrival.method in ("POST", "PATCH", "DELETE") and arrival.path.startswith("/data/contacts")

    def contacts(self, arrival: Arrival) -> set[str]:
        """The email addresses in body and path."""
        text = f"{arrival.path} {arrival.body.decode('utf-8', 'replace')}"
        return {found.lower() for found in re.findall(r'[^\s"/]+@[^\s"/]+', text)}

    def error(self, status: int, code: str = "", message: str = "") -> Answer:
        """Splio's form of an error: one of four (2.6)."""
        message = message or SENTENCES.get(status, "The stand-in was told to fail.")
        if status in (401, 405):
            return Answer.json(status, message)
        if status == 429:
            return Answer.json(status, {"message": "API rate limit exceeded"})
        error = {"error_key": "", "error": code or "internal_error", "error_description": message}
        return Answer.json(status, {"status": status, "errors": error if status >= 500 else [error]})

    def throttled(self, until: float) -> Answer:
        """A 429 with whole seconds to wait, and no `Retry-After`."""
        answer = self.error(429)
        answer.headers = (
            ("rateLimit-limit", str(LIMITS[True])),
            ("rateLimit-remaining", "0"),
            ("rateLimit-reset", str(max(1, math.ceil(until - time.time())))),
        )
        return answer

    def people(self) -> list[Json]:
        """Whom it holds, oldest first."""
        return [self.universe.shown(contact) for contact in self.universe.contacts]

    def page(self) -> str:
        """The newest contacts as an HTML table, with their lists."""
        columns = ("email", "cellphone", "firstname", "lastname", "language", "creation_date")
        head = "".join(f"<th>{name}</th>" for name in (*columns, "custom fields", "lists"))
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in self._cells(contact, columns))}</tr>"
            for contact in reversed(self.universe.contacts[-SHOWN:])
        )
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Splio contacts stand-in</title>"
            "<style>body{font:15px/1.5 system-ui;margin:2rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}</style>"
            f"<h1>{len(self.universe.contacts)} contacts</h1>"
            f"<p>{len(self.accepted)} writes accepted, {len(self.log)} calls, {self.renewals} tokens granted.</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></html>"
        )

    def answer(self, arrival: Arrival) -> Answer:
        """What Splio answers."""
        if (limited := self._limited(arrival)) is not None:
            return limited
        if arrival.path == "/authenticate":
            return self._authenticate(arrival) if arrival.method == "POST" else self.error(405)
        if not self._known(arrival):
            return self.error(401)
        if self._wrong.no_rights:
            return self.error(403, "forbidden", "This user has no access to the Data API")
        if arrival.method == "GET" and (looked_up := self._looked_up(arrival)) is not None:
            return looked_up
        match arrival.method, arrival.path:
            case "POST", "/data/contacts":
                return self._create(arrival)
            case "POST", "/data/contacts/bulk":
                return self._create_many(arrival)
        if match := _CONTACT.fullmatch(arrival.target.partition("?")[0]):
            return self._about(arrival, unquote(match[1]), subscribes=match[2] is not None)
        return self.error(404, "not_found", "No route found")

    def _looked_up(self, arrival: Arrival) -> Answer | None:
        """What the connection test asks for."""
        match arrival.path:
            case "/ping":
                return Answer.json(200, {"user_id": 123})
            case "/universes/unique-key":
                return Answer.json(200, {"unique_key": self.universe.unique_key})
            case "/data/v1/lists":
                return _listed([{"id": each, "name": name} for each, name in self.universe.lists.items()], arrival)
            case "/data/fields/contacts":
                return _listed([{"id": each, "name": str(each)} for each in self.universe.fields], arrival)
        return None

    @property
    def _wrong(self) -> SplioContactsFaults:
        return cast("SplioContactsFaults", self.faults)

    def _limited(self, arrival: Arrival) -> Answer | None:
        if not self._wrong.limits:
            return None
        about_contacts = arrival.path.startswith("/data/contacts")
        second, count = self._called.get(about_contacts, (0, 0))
        count = count + 1 if second == int(arrival.at) else 1
        self._called[about_contacts] = (int(arrival.at), count)
        if count <= LIMITS[about_contacts]:
            return None
        self.log[-1].not_before = int(arrival.at) + 1
        return self.throttled(int(arrival.at) + 1)

    def _authenticate(self, arrival: Arrival) -> Answer:
        content = _json(arrival)
        key = content.get("api_key") if isinstance(content, dict) else None
        if not key:
            return self._refused(Fault("api_key", "is_blank", "This value should not be blank."))
        if key != self.api_key or self._wrong.wrong_key:
            return self._refused(Fault("username", "authentication.failed", "Authentication failed"))
        return Answer.json(200, {"token": self.grant()})

    def _known(self, arrival: Arrival) -> bool:
        scheme, _, token = arrival.headers.get("authorization", "").partition(" ")
        granted, expiry = self._tokens.get(token.strip(), (0.0, 0.0))
        return scheme.lower() == "bearer" and arrival.at < expiry and granted >= self._wrong.expired_before

    def _refused(self, *faults: Fault) -> Answer:
        return Answer.json(400, {"status": 400, "errors": [fault.json() for fault in faults]})

    def _create(self, arrival: Arrival) -> Answer:
        sent = _json(arrival)
        if faults := list(self.universe.faults(sent)):
            return self._refused(*faults)
        contact = self.universe.create(sent)
        if contact is None:
            return self._refused(Fault("id", "wrong_value", self._taken(sent)))
        self.accept()
        return Answer.json(201, self.universe.shown(contact))

    def _create_many(self, arrival: Arrival) -> Answer:
        content = _json(arrival)
        sent = content.get("contacts") if isinstance(content, dict) else None
        if not isinstance(sent, list) or not 0 < len(sent) <= BULK_ITEMS:
            return self._refused(Fault("contacts", "wrong_value", f"1 to {BULK_ITEMS} contacts are taken"))
        errors = [
            fault.json(f"contacts[{place}].")
            for place, each in enumerate(sent)
            for fault in self.universe.faults(each, partial=True)
        ]
        if errors:
            return Answer.json(400, {"status": 400, "errors": errors})
        if any("email" not in each or self.universe.key_of(each) is None for each in sent):
            return self.error(503, "internal_error", "An error occurred")  # the trap of 2.9
        items = [self._item(each) for each in sent]
        self.accept()
        return Answer.json(207, {"time": 59, "errors": sum(each["code"] >= 300 for each in items), "items": items})

    def _item(self, sent: Json) -> Json:
        key = self.universe.key_of(sent)
        if self.universe.create(sent) is None:
            return {"contact_id": key, "code": 400, "description": self._taken(sent)}
        return {"contact_id": key, "code": 201, "description": ""}

    def _taken(self, sent: Json) -> str:
        return f"Contact with unique key {self.universe.key_of(sent)} already exists"

    def _about(self, arrival: Arrival, key: str, *, subscribes: bool) -> Answer:
        """Calls about one contact."""
        if arrival.method not in (("POST",) if subscribes else ("GET", "PATCH", "DELETE")):
            return self.error(405)
        contact = self.universe.find(key)
        if contact is None:
            return Answer.json(404, {"status": 404, "errors": [GONE.json()]})
        if arrival.method == "GET":
            return Answer.json(200, self.universe.shown(contact))
        if arrival.method == "DELETE":
            self.universe.delete(key)
            self.accept()
            return Answer(204)
        faults = self._subscribe(contact, arrival) if subscribes else self._change(contact, key, arrival)
        if faults:
            return self._refused(*faults)
        self.accept()
        return Answer.json(200, self.universe.shown(contact))

    def _subscribe(self, contact: Contact, arrival: Arrival) -> list[Fault]:
        content = _json(arrival)
        ids = content.get("list_ids") if isinstance(content, dict) else None
        if not isinstance(ids, list) or not all(type(each) is int for each in ids):
            return [Fault("list_ids", "wrong_type", "list_ids should be a list of integers")]
        faults = list(self.universe.list_faults([{"id": each} for each in ids]))
        if not faults:
            contact.lists |= dict.fromkeys(ids)
        return faults

    def _change(self, contact: Contact, key: str, arrival: Arrival) -> list[Fault]:
        sent = _json(arrival)
        faults = list(self.universe.faults(sent, partial=True))
        if not faults and self.universe.key_of(sent) not in (None, key.lower()):
            faults = [Fault(self.universe.unique_key, "wrong_contact_key", "The unique key cannot be changed")]
        if not faults:
            self.universe.change(contact, sent)
        return faults

    def _cells(self, contact: Contact, columns: tuple[str, ...]) -> list[str]:
        custom = ", ".join(f"{each}: {value}" for each, value in contact.custom.items())
        lists = ", ".join(self.universe.lists[each] for each in contact.lists)
        return [*(str(contact.fields.get(name, "")) for name in columns), custom, lists]


def _listed(elements: list[Json], arrival: Arrival) -> Answer:
    """A page of what there is."""
    size, number = int(arrival.query.get("per_page", "50")), int(arrival.query.get("page_number", "1"))
    page = elements[(number - 1) * size : number * size]
    return Answer.json(
        200, {"count_element": len(elements), "current_page": number, "per_page": size, "elements": page}
    )


def _json(arrival: Arrival) -> Any:
    try:
        return orjson.loads(arrival.body)
    except orjson.JSONDecodeError:
        return None


def _part(claims: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")
