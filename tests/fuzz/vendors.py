"""Vendors that answer anything: the real client of each destination, with a transport that says what was drawn."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any, get_args
from urllib.parse import quote

from schemas.privacy import PrivacyResult
from stream.core.limits import RateLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Delivered, Outcome, Refused
from stream.core.records import Batch, Message
from stream.destinations import REGISTRY
from stream.destinations.base import Calls, Check, Destination, secrets
from stream.destinations.privacy import PrivacyCalls
from stream.destinations.splio_files.fields import NoFields
from stream.http import CertificateRefused, NotSent, Response, Unanswered
from stream.http.client import Client
from stream.http.responses import Answer
from stream.http.tokens import TokenRefused
from stream.topics.parts import encoded, split
from tests.fuzz.answers import SECRET, answer
from tests.fuzz.events import SETTINGS, timestamp
from tests.fuzz.success import TAKEN
from tests.fuzz.target import Target, awaited, unshown
from tests.fuzz.values import PERSON, SHOWN
from tests.unit.partition import LogRecord

CALL_KINDS = (NotSent, Unanswered, CertificateRefused, TokenRefused, Refused)
"""What a call may raise; `TokenRefused` and `Refused` hold the answer, or the verdict on the batch."""

MOST_CALLS = 400
CONFIGURED: dict[str, dict[str, Any]] = SETTINGS | {
    "attio reading first": {"type": "attio", "api_key": SECRET, "phone_mode": "only_if_empty"},
    "splio_contacts in bulk": {"type": "splio_contacts", "api_key": SECRET, "bulk": True, "default_list_id": "news"},
    "splio_contacts by token": {"type": "splio_contacts", "token": SECRET, "subscribe": False},
    "splio_sms resending": {
        "type": "splio_sms",
        "universe": "u",
        "key": SECRET,
        "on_unknown": "resend",
        "data_api_key": SECRET,
        "rules": [{"event": "A", "message": "6tJglf8zd"}],
        "test_number": PERSON["phone"],
    },
    "customerio": {"app_api_key": SECRET, "site_id": "site/1+", "tracking_api_key": SECRET},
    "customerio without track": {"type": "customerio", "app_api_key": SECRET, "region": "eu"},
}
CONFIGURED["splio_files"] = {
    "universe": "u",
    "password": SECRET,
    "host_key": "SHA256:" + "x" * 43,
    "api_key": SECRET,
    "custom_attributes": {"tier": "traits.a"},
}


class Endless(AssertionError):
    """One message led to more calls than any answer is a reason for."""


@dataclass(frozen=True, slots=True)
class Case:
    """A configured destination, and what the vendor says to its calls, one after the other and over again."""

    name: str
    answers: tuple[Answer | Exception, ...]
    checking: bool
    bulk: int = 3
    timestamp: int = 0

    def __repr__(self) -> str:
        said = [(each.status, each.body[:300]) if isinstance(each, Answer) else each for each in self.answers]
        return f"Case({self.name!r}, {said!r}, checking={self.checking}, bulk={self.bulk}, timestamp={self.timestamp})"


class Vendor:
    """A transport that answers as it is told."""

    def __init__(self, answers: Sequence[Answer | Exception]) -> None:
        self._answers = answers
        self.said: list[Answer] = []
        self.calls = 0

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        """The next answer."""
        assert method
        assert url.startswith("https://")
        assert timeout > 0
        answer = self._answers[self.calls % len(self._answers)]
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise Endless(f"{self.calls} calls")
        if isinstance(answer, Exception):
            raise answer
        self.said.append(answer)
        return answer

    async def close(self) -> None:
        """Nothing."""


class Desk:
    """Where privacy answers go."""

    def __init__(self) -> None:
        self.answers: list[PrivacyResult] = []

    async def erase(self, email: str, at: float) -> bool:
        assert email
        assert datetime.fromtimestamp(at, UTC)
        return True

    async def answer(self, result: PrivacyResult) -> None:
        assert [encoded(part) for part in split(result, 2_000)]
        self.answers.append(result)


def draw(random: Random) -> Case:
    """A case for any of the destinations."""
    name, well = random.choice(list(CONFIGURED)), random.random() < 0.4
    answers = tuple(answer(random, name.split()[0], well=well) for _ in range(random.choice((1, 2, 3, 5))))
    return Case(name, answers, random.random() < 0.3, random.choice((1, 2, 3)), timestamp(random))


def holds(case: Case) -> None:
    """Each message has one outcome of the union; what is said shows nobody and no secret; success is the vendor's."""
    awaited(_checked(case) if case.checking else _sent(case))


@cache
def _settings(name: str) -> Any:
    given = {"type": name.split()[0], "rate_limit": None, **CONFIGURED[name]}
    return REGISTRY[given["type"]].settings.model_validate(given)


def _destination(name: str, vendor: Vendor) -> Destination:
    settings = _settings(name)
    calls: type[Destination] = REGISTRY[settings.type].calls
    client = Client(
        vendor,
        settings.base_url,
        calls.token(settings),
        limiter=RateLimit(None),
        timeout=5.0,
        refusals=calls.refusals,
        addresses=settings.addresses,
        secrets=secrets(settings),
        observe=lambda _status, _seconds: None,
    )
    return calls(settings, client)


def _messages(name: str, count: int, timestamp: int) -> list[Message]:
    tracker = OffsetTracker("events", 0, 0)
    kind = name.split()[0]
    made = []
    for number in range(count if name == "splio_contacts in bulk" else 1):
        email = f"{'abc'[number]}@example.com"
        fields: dict[str, Any] = {"email": email, "phone": PERSON["phone"], "first_name": "Jane"}
        if kind == "splio_contacts":
            fields = {"email": email, "cellphone": PERSON["phone"], "subscribed": True}
        if kind == "splio_sms":
            rule = _settings(name).rules[0].event
            fields = {"rule": rule, "rcpts": [{"cellphone": PERSON["phone"]}]}
        if kind == "customerio":
            fields = {"request_id": "q-1", "kind": ("access", "deletion")[count % 2], "email": PERSON["email"]}
        record = LogRecord(number, timestamp=timestamp)
        made.append(Message(email, fields, b"", record, tracker, time.time()))
    return made


async def _sent(case: Case) -> None:
    vendor = Vendor(case.answers)
    destination = _destination(case.name, vendor)
    if not isinstance(destination, Calls):
        await _attributes(destination, vendor)
        return
    if isinstance(destination, PrivacyCalls):
        destination.name, destination.desk = "customerio", Desk()
    messages = _messages(case.name, case.bulk, case.timestamp)
    for message in messages:
        message.body = destination.encode(message.fields)
        message.failures = case.bulk - 1  # a second failure makes a bulk call search for whom to blame
    for _ in range(2):  # what a message has achieved stays with it
        before = len(vendor.said)
        try:
            outcomes = await destination.send(Batch(messages, deadline=time.monotonic() + 60))
        except CALL_KINDS as error:
            _discreet([str(error)])
            continue
        assert len(messages) == len(outcomes)
        for outcome in outcomes:
            assert isinstance(outcome, get_args(Outcome))
            _discreet([str(getattr(outcome, "detail", "")), str(getattr(outcome, "hint", ""))])
        delivered = sum(isinstance(outcome, Delivered) for outcome in outcomes)
        if delivered:
            said = vendor.said if isinstance(destination, PrivacyCalls) else vendor.said[before:]
            assert TAKEN[case.name.split()[0]](said, delivered, destination), vendor.said
            break
    if isinstance(destination, PrivacyCalls):
        await destination.buried(messages[0], "exhausted", "no")


async def _attributes(destination: Any, vendor: Vendor) -> None:
    """What a destination of files asks of an API before its first file."""
    try:
        await destination._create_attributes()
    except NoFields as error:
        _discreet([str(error), str(getattr(error.outcome, "hint", ""))])
    except CALL_KINDS as error:
        _discreet([str(error)])
    else:
        assert 200 <= vendor.said[-1].status < 300


async def _checked(case: Case) -> None:
    vendor = Vendor(case.answers)
    destination = _destination(case.name, vendor)
    checks = destination._check_attributes() if case.name == "splio_files" else destination.check()  # type: ignore[attr-defined]
    found: list[Check] = []
    try:
        async for check in checks:
            found.append(check)  # noqa: PERF401 - what came before an error is looked at as well
    except CALL_KINDS as error:
        _discreet([str(error)])
    assert all(check.name and check.text for check in found)
    assert all(check.hint for check in found if check.ok is False)
    _discreet([text for check in found for text in (check.name, check.text, check.hint)])


def _discreet(texts: list[str]) -> None:
    """Nobody's data, no secret, however it was written, and no page of text."""
    unshown(texts, *SHOWN, SECRET, quote(SECRET, safe=""), SECRET.replace("/", "\\/"))
    assert all(len(text) < 1_200 for text in texts)


TARGETS = [Target("vendor answers", draw, holds, share=5)]
