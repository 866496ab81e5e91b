"""A stand-in for Splio Trigger SMS, and for what of the Data API tells the credit left (destinations 3, seed 001)."""

import hashlib
import re
from collections import defaultdict
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson
from pydantic import Field

from stream.destinations.sandbox import Faults, Sandbox
from stream.destinations.sandbox_http import Answer, Arrival

UNIVERSE, KEY, DATA_KEY = "sandbox", "splio-sms-sandbox-key", "splio-sandbox-data-key"
TOKEN = "sandbox.data-api.token"  # noqa: S105 - of the stand-in
SEND = "/api/triggersms/nph-4.pl"
RULES = [{"event": "Order Completed", "message": "6tJglf8zd"}]
SHOWN = 200  # numbers on the page
PLENTY = 1_000_000

Json = dict[str, Any]


class SplioSmsFaults(Faults):
    """What can be wrong with a universe besides."""

    revoked: bool = Field(False, description="the key is not the universe's")
    credit: int | None = Field(None, ge=0, description="texts that are paid for; null: plenty")
    unknown_designs: list[str] = Field([], description="ids that no design has")
    invalid: list[str] = Field([], description="numbers that are none")
    blacklisted: list[str] = Field([], description="numbers that are valid and get nothing")
    error_status: int = Field(400, description="HTTP status of an answer whose own code is 400")
    shape: Literal["samples", "prose"] = Field("samples", description="of answers: as Splio's samples, or its prose")


class Refusal(Exception):
    """Splio's word on a call it does not take; the code is always 400."""


class SplioSmsSandbox(Sandbox):
    """One universe, whose every well-formed design exists. Each number in a call gets a text, as often as it is in."""

    faults_model = SplioSmsFaults

    def __init__(self, universe: str = UNIVERSE, key: str = KEY) -> None:
        self.universe = universe
        self.key = key
        self.texts: list[Json] = []
        super().__init__()

    def reset(self) -> None:
        """As new."""
        super().reset()
        self.texts.clear()

    @property
    def credentials(self) -> dict[str, str]:
        """The universe and its key."""
        return {"universe": self.universe, "key": self.key}

    def settings(self, url: str) -> Json:
        """With a rule, for an event that is worth a text."""
        return super().settings(url) | {"rules": RULES}

    def writes(self, arrival: Arrival) -> bool:
        """A call with recipients."""
        return arrival.path == SEND and bool(_recipients(_parameters(arrival)))

    def contacts(self, arrival: Arrival) -> set[str]:
        """The numbers in the call."""
        return {str(each.get("cellphone")) for each in _recipients(_parameters(arrival))}

    def error(self, status: int, code: str = "", message: str = "") -> Answer:
        """Splio's form of an error."""
        return self._said(status, "error", message or code or "The stand-in was told to fail.", code=status)

    def throttled(self, until: float) -> Answer:  # noqa: ARG002
        """A 429 that names no time: none is documented."""
        return self.error(429, message="too many requests")

    def answer(self, arrival: Arrival) -> Answer:
        """What Splio answers."""
        match arrival.method, arrival.path:
            case "PUT" | "POST" | "GET", path if path == SEND:
                try:
                    return self._send(arrival)
                except Refusal as refusal:
                    return self._said(self._own.error_status, "error", str(refusal), code=400)
            case "POST", "/authenticate":
                return self._authenticate(arrival)
            case "GET", "/universes/consumption":
                if arrival.headers.get("authorization") != f"Bearer {TOKEN}":
                    return Answer.json(401, {"errors": [{"error": "authentication.failed"}]})
                return Answer.json(200, {"sms_credit": self._credit_left()})
        return Answer(404, b"<html>Not Found</html>", content_type="text/html")

    def people(self) -> list[Json]:
        """The texts that went out, oldest first."""
        return [dict(text) for text in self.texts]

    def page(self) -> str:
        """The texts of each number as an HTML table, the newest number first."""
        by_number: defaultdict[str, list[Json]] = defaultdict(list)
        for text in reversed(self.texts):
            by_number[text["cellphone"]].append(text)
        rows = "".join(
            f"<tr><td>{escape(number)}</td><td>{len(texts)}</td>"
            f"<td>{'<br>'.join(escape(_shown(text)) for text in texts)}</td></tr>"
            for number, texts in list(by_number.items())[:SHOWN]
        )
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Splio SMS stand-in</title>"
            "<style>body{font:15px/1.5 system-ui;margin:2rem}"
            "td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}</style>"
            f"<h1>{len(self.texts)} texts to {len(by_number)} numbers</h1>"
            f"<p>{len(self.accepted)} calls taken of {len(self.log)}; credit for {self._credit_left():,} more.</p>"
            "<table><thead><tr><th>number</th><th>texts</th><th>design and fields, newest first</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></html>"
        )

    @property
    def _own(self) -> SplioSmsFaults:
        faults = self.faults
        assert isinstance(faults, SplioSmsFaults)  # noqa: S101 - for the type checker
        return faults

    def _send(self, arrival: Arrival) -> Answer:
        parameters = _parameters(arrival)
        if not all(parameters.get(name) for name in ("universe", "key", "message", "rcpts")):
            raise Refusal("incorrect/missing parameters")
        if parameters["universe"] != self.universe:
            raise Refusal("invalid universe")
        if parameters["key"] != self.key or self._own.revoked:
            raise Refusal("invalid key for this universe")
        design = parameters["message"]
        if not re.fullmatch(r"[A-Za-z0-9]{9}", design) or design in self._own.unknown_designs:
            raise Refusal("invalid message id")
        rcpts = _rcpts(parameters["rcpts"])
        valid = [each for each in rcpts if self._valid(each["cellphone"])]
        if self._credit_left() < len(valid):
            return self._said(200, "blocked", "insufficient credit", code=200)
        queued = [each for each in valid if each["cellphone"] not in self._own.blacklisted]
        campaign = _campaign(design, arrival.at)
        about = {name: parameters[name] for name in ("opcode", "category") if name in parameters}
        for each in queued:  # a number that is in twice gets two texts
            self.texts.append(each | about | {"message": design, "campaign_id": campaign, "at": arrival.at})
        if self._own.credit is not None:
            self._own.credit -= len(queued)
        self.accept()
        result = {"done": len(valid), "inserted": str(len(queued)), "campaign_id": campaign, "todo": len(rcpts)}
        return self._said(200, "ok", "ok", code=200, result=result)

    def _valid(self, number: str) -> bool:
        return bool(re.fullmatch(r"\+[1-9]\d{6,14}", number, re.ASCII)) and number not in self._own.invalid

    def _credit_left(self) -> int:
        return PLENTY if self._own.credit is None else self._own.credit

    def _said(self, http: int, status: str, message: str, *, code: int, result: Json | None = None) -> Answer:
        """An answer in the shape of Splio's samples, or in that of its prose."""
        said: Json
        if self._own.shape == "prose":
            said = {"code": code, "name": status if status != "error" else "Bad Request", "description": message}
        else:
            said = {"status": status, "message": message, "code": code}
        return Answer.json(http, said if result is None else said | {"result": result})

    def _authenticate(self, arrival: Arrival) -> Answer:
        try:
            given = orjson.loads(arrival.body).get("api_key")
        except (orjson.JSONDecodeError, AttributeError):
            given = None
        if given != DATA_KEY:
            return Answer.json(400, {"errors": [{"error_key": "username", "error": "authentication.failed"}]})
        return Answer.json(200, {"token": TOKEN})


def _parameters(arrival: Arrival) -> dict[str, str]:
    """What the call names, in the address of a GET, else in the form that the body is."""
    if arrival.method == "GET":
        return arrival.query
    if not arrival.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        return dict(parse_qsl(arrival.body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict"))
    except ValueError:
        return {}


def _recipients(parameters: dict[str, str]) -> list[Json]:
    """The objects in `rcpts`, whatever else is wrong."""
    try:
        found = orjson.loads(parameters.get("rcpts", "[]"))
    except orjson.JSONDecodeError:
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _rcpts(text: str) -> list[dict[str, str]]:
    """The recipients; raises Refusal for any that is not an object of texts with a number."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal("invalid JSON") from None
    if not isinstance(found, list) or not found:
        raise Refusal("incorrect/missing parameters")
    for each in found:
        fine = isinstance(each, dict) and "cellphone" in each and all(isinstance(value, str) for value in each.values())
        if not fine:
            raise Refusal("incorrect/missing parameters")
    return found


def _campaign(design: str, at: float) -> str:
    """One for each day and design, so that statistics come together (seed 001)."""
    return hashlib.sha256(f"{datetime.fromtimestamp(at, UTC):%F} {design}".encode()).hexdigest()[:9]


def _shown(text: Json) -> str:
    """A text for people."""
    fields = {name: value for name, value in text.items() if name not in ("cellphone", "message", "campaign_id", "at")}
    return " ".join([text["message"], *(f"{name}={value}" for name, value in fields.items())])
