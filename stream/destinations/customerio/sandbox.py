"""A stand-in for both of Customer.io's APIs, App and Track, with their traps (destinations 6). It holds `People`.

It takes what the vendor takes without a word: a removal of somebody it never knew is a 200, and who was removed is
still found for a while.
"""

import base64
import math
import time
from html import escape
from typing import Any, Literal, cast
from urllib.parse import unquote

import orjson
from pydantic import Field

from stream.destinations.customerio.people import Json, People, Person, Refusal, in_range, new_environment, page
from stream.destinations.sandbox import Faults, Sandbox
from stream.destinations.sandbox_http import Answer, Arrival

APP_KEY, SITE_ID, TRACK_KEY = "customerio-sandbox-app-key", "customerio-sandbox-site", "customerio-sandbox-track-key"
HOSTS = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
SHOWN = 200  # people on the page

Permission = Literal["workspaces", "customers", "attributes", "segments", "messages", "activities"]


class CustomerioFaults(Faults):
    """What can be wrong with a workspace besides. `throttle_…` is about both APIs' calls."""

    revoked: bool = Field(False, description="the App key is unknown")
    track_revoked: bool = Field(False, description="the Track key is unknown")
    lost_permissions: list[Permission] = Field([], description="what the App key may not read")
    elsewhere: bool = Field(False, description="the account is in the other region: App calls are redirected there")
    other_workspace: bool = Field(False, description="the Track key is of another workspace")
    lingers: float = Field(0.5, ge=0, description="for how long who was removed is still found")
    silent: bool = Field(False, description="a 429 names no time, as the vendor's documentation has it")
    broken: list[Permission] = Field([], description="what answers 500 for people there are")
    refusing: list[Permission] = Field([], description="what answers 400 for people there are")


class CustomerioSandbox(Sandbox):
    """One workspace with its keys. *sample*: whether a few people are there from the beginning."""

    faults_model = CustomerioFaults

    def __init__(self, *, region: Literal["us", "eu"] = "us", sample: bool = True) -> None:
        self.region = region
        self.environment = new_environment()
        self.holds = People()
        self._sample = sample
        super().__init__()

    def reset(self) -> None:
        """As new: the sample's people and nobody else."""
        super().reset()
        self.holds.clear()
        if self._sample:
            self.holds.add("jane@example.com", messages=500, activities=120, first_name="Jane")
            self.holds.add("jane+news@example.com", messages=3, first_name="Jane")
            self.holds.add("ada@example.com", first_name="Ada", id="ada-work")
            self.holds.add("ada@example.com", messages=2, first_name="Ada", id="ada-home")

    @property
    def credentials(self) -> dict[str, str]:
        """The keys of both APIs."""
        return {"app_api_key": APP_KEY, "site_id": SITE_ID, "tracking_api_key": TRACK_KEY}

    def settings(self, url: str) -> dict[str, Any]:
        """Both APIs are served here."""
        return {"app_url": url, "track_url": url} | self.credentials

    def writes(self, arrival: Arrival) -> bool:
        """Every call of either API: reads are limited like writes here, and fail like them."""
        return arrival.path.startswith(("/v1/", "/api/"))

    def contacts(self, arrival: Arrival) -> set[str]:
        """The address that is looked up, or whose profile it is."""
        if email := arrival.query.get("email"):
            return {email.lower()}
        steps = _steps(arrival)
        names = {step.removeprefix("cio_") for step in steps}
        return {person.email.lower() for person in self.holds if person.cio_id in names}

    def error(self, status: int, code: str = "", message: str = "") -> Answer:
        """The form of errors that both APIs have."""
        return Answer.json(status, {"meta": {"error": message or code or "The stand-in was told to fail."}})

    def throttled(self, until: float) -> Answer:
        """A 429 with whole seconds to wait, or with nothing but a sentence."""
        answer = self.error(429, message="over the 10-per-second limit")
        if not self._wrong.silent:
            answer.headers = (("retry-after", str(max(1, math.ceil(until - time.time())))),)
        return answer

    def answer(self, arrival: Arrival) -> Answer:
        """What Customer.io answers."""
        try:
            return self._app(arrival) if arrival.path.startswith("/v1/") else self._track(arrival)
        except Refusal as refusal:
            return self.error(refusal.status, message=refusal.message)

    def people(self) -> list[Json]:
        """Whoever the lookup would find, oldest first."""
        return [_listed(person) | {"attributes": person.attributes} for person in self.holds]

    def page(self) -> str:
        """The newest people as an HTML table."""
        rows = "".join(
            f"<tr><td>{escape(person.cio_id)}</td><td>{escape(person.email)}</td><td>{len(person.messages)}</td>"
            f"<td>{len(person.activities)}</td><td>{'leaving' if person.removed else ''}</td></tr>"
            for person in list(self.holds)[::-1][:SHOWN]
        )
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Customer.io stand-in</title>"
            "<style>body{font:15px/1.5 system-ui;margin:2rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}</style>"
            f"<h1>{len(list(self.holds))} people</h1><p>{len(self.accepted)} writes taken, {len(self.log)} calls.</p>"
            "<table><thead><tr><th>cio_id</th><th>email</th><th>messages</th><th>activities</th><th></th></tr></thead>"
            f"<tbody>{rows}</tbody></table></html>"
        )

    @property
    def _wrong(self) -> CustomerioFaults:
        return cast("CustomerioFaults", self.faults)

    # App API

    def _app(self, arrival: Arrival) -> Answer:
        faults = self._wrong
        if faults.elsewhere:
            other = HOSTS["eu" if self.region == "us" else "us"]
            return Answer(301, headers=(("location", other + arrival.target),))
        if faults.revoked or arrival.headers.get("authorization") != f"Bearer {APP_KEY}":
            raise Refusal(401, "Unauthorized")
        match _steps(arrival):
            case ["v1", "workspaces"] if arrival.method == "GET":
                self._permitted(faults, "workspaces")
                return Answer.json(200, {"workspaces": [{"id": int(self.environment), "name": "Sandbox"}]})
            case ["v1", "customers"] if arrival.method == "GET":
                self._permitted(faults, "customers")
                self._in_order(faults, "customers")
                if "email" not in arrival.query:
                    raise Refusal(400, "email is required")
                found = self.holds.by_email(arrival.query["email"])
                return Answer.json(200, {"results": [_listed(person) for person in found]})
            case ["v1", "customers", cio_id, ("attributes" | "segments" | "messages" | "activities") as name]:
                self._permitted(faults, name)
                return Answer.json(200, self._collection(arrival, unquote(cio_id), name))
        raise Refusal(404, "not found")

    @staticmethod
    def _permitted(faults: CustomerioFaults, name: str) -> None:
        if name in faults.lost_permissions:
            raise Refusal(403, f"the key may not read {name}")

    @staticmethod
    def _in_order(faults: CustomerioFaults, name: str) -> None:
        for status, names in ((500, faults.broken), (400, faults.refusing)):
            if name in names:
                raise Refusal(status, f"{name}: the stand-in was told to answer {status}")

    def _collection(self, arrival: Arrival, cio_id: str, name: str) -> Json:
        kind = arrival.query.get("id_type", "id")
        if kind not in ("id", "cio_id"):
            raise Refusal(400, f"the workspace does not use {kind} as identifier")
        person = self.holds.by_cio_id(cio_id) if kind == "cio_id" else self.holds.by_identifier(cio_id)
        if person is None:
            raise Refusal(404, "customer not found")
        self._in_order(self._wrong, name)
        match name:
            case "attributes":
                attributes = {"email": person.email, "id": person.id, "cio_id": person.cio_id} | person.attributes
                return {"customer": {"id": person.id, "attributes": attributes, "unsubscribed": False, "devices": []}}
            case "segments":
                return {"segments": person.segments}
            case "messages":
                return page(in_range(person.messages, arrival), name, arrival, usual=50, most=1000)
        return page(person.activities, name, arrival, usual=10, most=100)

    # Track API

    def _track(self, arrival: Arrival) -> Answer:
        faults = self._wrong
        pair = base64.b64encode(f"{SITE_ID}:{TRACK_KEY}".encode()).decode()
        if faults.track_revoked or arrival.headers.get("authorization") != f"Basic {pair}":
            raise Refusal(401, "Unauthorized request")
        match arrival.method, *_steps(arrival):
            case "GET", "api", "v1", "accounts", "region":
                environment = "1" if faults.other_workspace else self.environment
                where = {"url": f"track{'-eu' * (self.region == 'eu')}.customer.io", "region": self.region}
                return Answer.json(200, where | {"environment_id": int(environment)})
            case "PUT", "api", "v1", "customers", identifier:
                return self._identify(unquote(identifier), arrival)
            case "DELETE", "api", "v1", "customers", identifier:
                return self._remove(unquote(identifier), faults.lingers, suppress=False)
            case "POST", "api", "v1", "customers", identifier, "suppress":
                return self._remove(unquote(identifier), faults.lingers, suppress=True)
        raise Refusal(404, "not found")

    def _identify(self, identifier: str, arrival: Arrival) -> Answer:
        """A profile comes back by any later identify, unless it was suppressed: then the call is taken and ignored."""
        try:
            found = orjson.loads(arrival.body or b"{}")
        except orjson.JSONDecodeError:
            raise Refusal(400, "malformed JSON") from None
        email = str(found.get("email", "")) if isinstance(found, dict) else ""
        self.accept()
        known = self.holds.by_identifier(identifier) is not None
        if not known and not self.holds.suppressed & {identifier, email.lower()}:
            self.holds.add(email, id=identifier)
        return Answer.json(200, {})

    def _remove(self, identifier: str, lingers: float, *, suppress: bool) -> Answer:
        """200 and an empty object, whoever it is."""
        self.accept()
        if (person := self.holds.by_identifier(identifier)) is not None:
            self.holds.remove(person, time.time() + lingers, suppress=suppress)
        return Answer.json(200, {})


def _listed(person: Person) -> Json:
    return {"email": person.email, "id": person.id, "cio_id": person.cio_id}


def _steps(arrival: Arrival) -> list[str]:
    """The parts of the path as they were sent: what is encoded in one stays in it."""
    return arrival.target.partition("?")[0].strip("/").split("/")
