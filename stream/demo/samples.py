"""Generated customer events, for the demo: of every kind, each with what must become of it. The same every time.

What must become of an event is said here in a few rules of its own, so that the demo's balance has two sides.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import orjson

FIRST = ("Ada", "Grace", "Katherine", "Mary", "Hedy", "Barbara", "Radia", "Margaret")
LAST = ("Moreau", "Lindgren", "Okafor", "Tanaka", "Silva", "Novak", "Haddad", "Byrne")
TITLES = ("Engineer", "Analyst", "Head of Data", "Product Manager", "Consultant")
CITIES = ("Paris", "Lyon", "Nantes", "Lille")

TAKEN = {
    "attio": {"Identified", "Signed Up", "Lead Generated", "Logged In"},
    "splio_contacts": {"Identified", "Signed Up", "Order Completed"},
    "splio_sms": {"Order Completed"},
    "splio_files": {"Identified", "Signed Up", "Order Completed"},
}
"""Which events each destination of the demo takes."""

ANSWERS = "customerio"
"""The destination of the demo that answers privacy requests."""

DESTINATIONS = (*TAKEN, ANSWERS)

ASKS_CONSENT = {"attio", "splio_sms"}
"""The destinations of the demo that deliver with marketing consent only."""

Expected = Literal["delivered", "filtered", "dead_lettered"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """An event as it lies in the topic. *person*: whom it is about, None where nobody can know."""

    key: bytes
    value: bytes
    name: str
    person: str | None
    consent: bool = True
    malformed: bool = False

    def expected(self, destination: str) -> Expected:
        """What must become of it; what travels with a newer update counts as delivered."""
        if self.malformed:
            return "dead_lettered"
        taken = self.name in TAKEN[destination] and self.person is not None
        return "delivered" if taken and (self.consent or destination not in ASKS_CONSENT) else "filtered"


def samples(number: int, seed: int = 1) -> list[Sample]:
    """So many events; contacts come again, so that updates, order and remembered traits are part of it."""
    made = Maker(Random(seed), contacts=max(1, number // 4))  # noqa: S311 - not for secrets
    return [made.event(n) for n in range(number)]


@dataclass(slots=True)
class Maker:
    """Makes one event after the other, and knows whom it has introduced."""

    random: Random
    contacts: int
    introduced: set[int] = field(default_factory=set)

    def event(self, n: int) -> Sample:
        """The *n*-th event."""
        contact = self.random.randrange(self.contacts)
        draw = self.random.random()
        key = f"u-{contact}".encode()
        if draw < 0.01:
            return Sample(key, b'{"type": "identify", "traits": {', "", None, malformed=True)
        event = _envelope(contact, n)
        if draw < 0.06:  # somebody who never said who they are
            event["userId"] = f"visitor-{n}"
            return _sample(event, "Identified", None)
        consent = draw >= 0.12
        event["context"]["consent"]["canonical"]["marketing"] = consent
        if contact not in self.introduced or draw < 0.5:
            self.introduced.add(contact)
            event["traits"] = _traits(self.random, contact)
            return _sample(event, "Identified", contact, consent=consent)
        names = ("Product Viewed", "Logged In", "Lead Generated", "Order Completed", "Signed Up")
        name = self.random.choice(names)  # a bare track: who it is about is remembered
        event |= {"type": "track", "event": name, "properties": {"lead_source": "Pricing page", "total": 49.9}}
        return _sample(event, name, contact, consent=consent)


def _sample(event: Json, name: str, contact: int | None, *, consent: bool = True) -> Sample:
    person = None if contact is None else _email(contact)
    return Sample(str(event["userId"]).encode(), orjson.dumps(event), name, person, consent)


def _envelope(contact: int, n: int) -> Json:
    return {
        "type": "identify",
        "userId": f"u-{contact}",
        "messageId": f"demo-{n}",
        "timestamp": "2026-06-06T10:30:00.000Z",
        "context": {"locale": "en-GB", "consent": {"canonical": {"essential": True, "marketing": True}}},
    }


def _traits(random: Random, contact: int) -> Json:
    return {
        "email": _email(contact),
        "first_name": FIRST[contact % len(FIRST)],
        "last_name": LAST[contact // len(FIRST) % len(LAST)],
        "phone": f"+336{10_000_000 + contact:08}",
        "job_title": random.choice(TITLES),
        "city": random.choice(CITIES),
    }


def _email(contact: int) -> str:
    first, last = FIRST[contact % len(FIRST)], LAST[contact // len(FIRST) % len(LAST)]
    return f"{first}.{last}.{contact}@example.com".lower()


@dataclass(frozen=True, slots=True)
class PrivacySample:
    """A privacy request, and how it must be answered: a status, and how many profiles are found."""

    number: int
    kind: Literal["access", "deletion"]
    email: str
    status: str
    profiles: int

    @property
    def key(self) -> bytes:
        """Requests of a person stay in order."""
        return self.email.encode()

    @property
    def value(self) -> bytes:
        """As it lies in the topic."""
        return orjson.dumps(
            {
                "request_id": f"demo-{self.number}",
                "kind": self.kind,
                "identity": {"email": self.email},
                "requested_at": "2026-06-06T10:30:00Z",
            }
        )


REQUESTS = (
    PrivacySample(1, "access", "jane@example.com", "completed", 1),
    PrivacySample(2, "access", "ada@example.com", "completed", 2),
    PrivacySample(3, "deletion", "jane+news@example.com", "completed", 1),
    PrivacySample(4, "access", "nobody@example.com", "no_records", 0),
    PrivacySample(5, "deletion", "nobody@example.com", "no_records", 0),
)
"""About the people whom the stand-in for Customer.io holds from its beginning."""
