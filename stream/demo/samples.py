"""Generated customer events, for the demo: of every kind, each with the outcome it must have. The same every time."""

from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

FIRST = ("Ada", "Grace", "Katherine", "Mary", "Hedy", "Barbara", "Radia", "Margaret")
LAST = ("Moreau", "Lindgren", "Okafor", "Tanaka", "Silva", "Novak", "Haddad", "Byrne")
TITLES = ("Engineer", "Analyst", "Head of Data", "Product Manager", "Consultant")


@dataclass(frozen=True, slots=True)
class Sample:
    """An event as it lies in the topic. *expected*: `delivered` (or coalesced), `filtered` or `dead_lettered`."""

    key: bytes
    value: bytes
    expected: str


def samples(number: int, seed: int = 1) -> list[Sample]:
    """So many events; contacts come again, so that updates and order are part of it."""
    random = Random(seed)  # noqa: S311 - not for secrets
    contacts = max(1, number // 4)
    return [_sample(random, random.randrange(contacts), n) for n in range(number)]


def _sample(random: Random, contact: int, n: int) -> Sample:
    key = f"u-{contact}".encode()
    draw = random.random()
    if draw < 0.01:
        return Sample(key, b'{"type": "identify", "traits": {', "dead_lettered")
    event = _event(random, contact, n)
    if draw < 0.06:
        del event["traits"]["email"]
    elif draw < 0.12:
        event["context"]["consent"]["canonical"]["marketing"] = False
    elif draw < 0.20:
        event |= {"type": "track", "event": "Product Viewed"}
    elif draw < 0.40:
        event |= {"type": "track", "event": "Logged In"}
    elif draw < 0.45:
        event |= {"type": "track", "event": "Lead Generated", "properties": {"lead_source": "Pricing page"}}
    return Sample(key, orjson.dumps(event), "filtered" if 0.01 <= draw < 0.20 else "delivered")


def _event(random: Random, contact: int, n: int) -> dict[str, Any]:
    first, last = FIRST[contact % len(FIRST)], LAST[contact // len(FIRST) % len(LAST)]
    return {
        "type": "identify",
        "userId": f"u-{contact}",
        "messageId": f"demo-{n}",
        "timestamp": "2026-06-06T10:30:00.000Z",
        "traits": {
            "email": f"{first}.{last}.{contact}@example.com",
            "first_name": first,
            "last_name": last,
            "phone": f"+1555{contact % 10_000_000:07}",
            "job_title": random.choice(TITLES),
        },
        "properties": {},
        "context": {"locale": "en-GB", "consent": {"canonical": {"essential": True, "marketing": True}}},
    }
