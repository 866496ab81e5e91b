"""A stand-in for Acme: its contacts and its rules. It must be at least as strict as the vendor is."""

from email.utils import formatdate
from html import escape
from typing import Any
from urllib.parse import unquote

import orjson

from stream.destinations.sandbox import Sandbox
from stream.destinations.sandbox_http import Answer, Arrival

KEY = "acme-sandbox-key"
CONTACTS = "/v1/contacts/"


class AcmeSandbox(Sandbox):
    """One account and one key."""

    def __init__(self, key: str = KEY) -> None:
        self.key = key
        self._contacts: dict[str, dict[str, Any]] = {}
        super().__init__()

    def reset(self) -> None:
        """As new."""
        super().reset()
        self._contacts.clear()

    @property
    def credentials(self) -> dict[str, str]:
        """The key."""
        return {"api_key": self.key}

    def writes(self, arrival: Arrival) -> bool:
        """Upserts."""
        return arrival.method == "PUT"

    def contacts(self, arrival: Arrival) -> set[str]:
        """The email address in the path."""
        return {unquote(arrival.path.removeprefix(CONTACTS))} if arrival.path.startswith(CONTACTS) else set()

    def error(self, status: int, code: str = "", message: str = "") -> Answer:
        """Acme's form of an error."""
        return Answer.json(status, {"code": code, "message": message or "The stand-in was told to fail."})

    def throttled(self, until: float) -> Answer:
        """A 429 with the date until which to wait."""
        answer = self.error(429, "rate_limited")
        answer.headers = (("retry-after", formatdate(until, usegmt=True)),)
        return answer

    def answer(self, arrival: Arrival) -> Answer:
        """What Acme answers."""
        if arrival.headers.get("authorization") != f"Bearer {self.key}":
            return self.error(401, "unauthorized", "The key is missing or unknown.")
        if (arrival.method, arrival.path) == ("GET", "/v1/account"):
            return Answer.json(200, {"name": "Sandbox"})
        if arrival.method == "PUT" and arrival.path.startswith(CONTACTS):
            return self._upsert(unquote(arrival.path.removeprefix(CONTACTS)), arrival.body)
        return self.error(404, "not_found", "There is no such endpoint.")

    def people(self) -> list[dict[str, Any]]:
        """Whom it holds."""
        return list(self._contacts.values())

    def page(self) -> str:
        """The same as HTML."""
        rows = "".join(f"<li>{escape(str(contact['email']))}" for contact in self._contacts.values())
        return f"<!doctype html><html lang=en><meta charset=utf-8><title>Acme stand-in</title><ul>{rows}</ul></html>"

    def _upsert(self, email: str, body: bytes) -> Answer:
        try:
            sent = orjson.loads(body)
        except orjson.JSONDecodeError:
            sent = None
        if not isinstance(sent, dict) or sent.get("email") != email or "@" not in email:
            return self.error(400, "invalid", "The body must be an object with the email address of the path.")
        self.accept()
        self._contacts[email] = self._contacts.get(email, {}) | sent
        return Answer.json(200, self._contacts[email])
