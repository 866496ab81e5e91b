"""What the tests of Splio contacts arrange with: settings, messages, the destination before a stand-in or a script."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from stream.core.limits import RateLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Outcome
from stream.core.records import Batch, Fields, Message, StandIn
from stream.destinations.base import Check
from stream.destinations.sandbox import Entry, serve
from stream.destinations.splio_contacts.client import SplioContacts
from stream.destinations.splio_contacts.sandbox import SplioContactsSandbox
from stream.destinations.splio_contacts.settings import SplioContactsSettings
from stream.http import Response, Transport
from stream.http.client import Client
from stream.http.responses import Answer
from stream.http.settings import HttpSettings, open_transport
from tests.destinations.attio.workspace import Nowhere

KEY = "splio-test-key"
JANE = "jane@example.com"


def settings_of(**changes: Any) -> SplioContactsSettings:
    """Settings as a configuration file gives them."""
    return SplioContactsSettings.model_validate({"type": "splio_contacts", "api_key": KEY, **changes})


def destination_of(settings: SplioContactsSettings, transport: Transport | None = None) -> SplioContacts:
    """The destination, without a rate limit."""
    client = Client(
        transport or Nowhere(),
        settings.base_url,
        SplioContacts.token(settings),
        limiter=RateLimit(None),
        timeout=5.0,
        refusals=SplioContacts.refusals,
        observe=lambda _status, _seconds: None,
    )
    return SplioContacts(settings, client)


def message_of(splio: SplioContacts, fields: Fields) -> Message:
    """A message with these fields."""
    tracker = OffsetTracker("crm.events", 0, 0)
    return Message(splio.key(fields), fields, splio.encode(fields), StandIn(), tracker, time.time())


def batch_of(splio: SplioContacts, *contacts: Fields) -> Batch:
    """The batch of these contacts."""
    return Batch([message_of(splio, fields) for fields in contacts], deadline=time.monotonic() + 5)


@dataclass(slots=True)
class Called:
    """A call as a scripted vendor saw it."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Script:
    """A transport that gives prepared answers in turn, the last one for ever. Tokens are granted without asking."""

    def __init__(self, *answers: Answer) -> None:
        self.calls: list[Called] = []
        self._answers = list(answers)

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        path = "/" + url.split("/", 3)[3]
        if path == "/authenticate":
            return answer(200, {"token": "a.b.c"})
        self.calls.append(Called(method, path, None if body is None else orjson.loads(body), dict(headers)))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def close(self) -> None: ...


def answer(status: int, content: object, **headers: str) -> Answer:
    """An answer of Splio's; `rateLimit_reset` is a header."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Answer(status, body, lambda name: named.get(name.lower()))


def error(key: str = "", word: str = "", sentence: str = "", status: int = 400) -> Answer:
    """Splio's usual form of an error (2.6, shape a)."""
    problem = {"error_key": key, "error": word, "error_description": sentence}
    return answer(status, {"status": status, "errors": [problem]})


@dataclass(slots=True)
class Universe:
    """A stand-in, its address, and the destination that is configured for it."""

    sandbox: SplioContactsSandbox
    url: str
    splio: SplioContacts
    transport: Transport

    async def deliver(self, **fields: object) -> Outcome:
        """What became of one contact sent."""
        [outcome] = await self.splio.send(batch_of(self.splio, {"email": JANE} | fields))
        return outcome

    async def deliver_all(self, *contacts: Fields) -> Sequence[Outcome]:
        """What became of several contacts sent in one batch."""
        return await self.splio.send(batch_of(self.splio, *contacts))

    async def checks(self) -> dict[str, Check]:
        """The lines of the connection test by name."""
        return {check.name: check async for check in self.splio.check()}

    def has(self, **contact: Any) -> None:
        """Splio knows this contact already, in Splio's own form."""
        self.sandbox.universe.create({"email": JANE} | contact)

    @property
    def contact(self) -> dict[str, Any]:
        """The only contact there is."""
        [found] = self.sandbox.people()
        return found

    @property
    def lists(self) -> list[Any]:
        """The ids of the only contact's lists."""
        return [each["id"] for each in self.contact["lists"]]

    @property
    def calls(self) -> list[Entry]:
        """The calls that the stand-in has seen, without those for tokens."""
        return [entry for entry in self.sandbox.log if entry.target != "/authenticate"]

    def called(self) -> list[str]:
        """The same as method and path."""
        return [f"{entry.method} {entry.target.partition('?')[0]}" for entry in self.calls]


@asynccontextmanager
async def universe(sandbox: SplioContactsSandbox | None = None, **changes: Any) -> AsyncIterator[Universe]:
    """A stand-in on the network and a destination that calls it."""
    sandbox = sandbox or SplioContactsSandbox(api_key=KEY)
    async with serve(sandbox) as url:
        transport = open_transport(HttpSettings())
        try:
            settings = settings_of(base_url=url, **changes)
            yield Universe(sandbox, url, destination_of(settings, transport), transport)
        finally:
            await transport.close()
