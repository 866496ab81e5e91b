"""What a workspace of Customer.io holds, for its stand-in: people, their messages and activities, and pages of them."""

import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from stream.destinations.sandbox_http import Arrival

Json = dict[str, Any]

SIX_MONTHS = 182 * 86_400  # seconds
SEGMENTS = ({"id": 4, "name": "Trial", "description": "In their first month"}, {"id": 7, "name": "Newsletter"})


class Refusal(Exception):
    """Customer.io's error for a call."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True, eq=False)
class Person:
    """A profile. Times are seconds since the epoch; *gone_at*: from when on the lookup does not find it."""

    cio_id: str
    email: str
    id: str
    attributes: Json = field(default_factory=dict)
    segments: list[Json] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)  # newest first
    activities: list[Json] = field(default_factory=list)  # newest first
    gone_at: float = float("inf")

    @property
    def removed(self) -> bool:
        """Whether somebody has asked to remove it."""
        return self.gone_at != float("inf")


class People:
    """Everybody, by cio_id, and the identifiers that must not come back."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self.suppressed: set[str] = set()
        self._added = 0

    def __iter__(self) -> Any:
        now = time.time()
        return (person for person in self._people.values() if now < person.gone_at)

    def clear(self) -> None:
        """Nobody."""
        self._people.clear()
        self.suppressed.clear()
        self._added = 0

    def add(self, email: str, *, messages: int = 0, activities: int = 0, **attributes: object) -> Person:
        """A new profile. Its messages are a day apart, from an hour ago back; its activities a minute."""
        self._added += 1
        number, now = self._added, int(time.time())
        person = Person(f"a3{number:06x}", email, str(attributes.pop("id", number)), segments=[*SEGMENTS])
        person.attributes = {name: str(value) for name, value in attributes.items()}
        for n in range(messages):
            created = now - 3600 - n * 86_400
            person.messages.append(
                {"id": f"m{number}-{n}", "type": "email", "subject": f"News {n}", "created": created}
            )
        for n in range(activities):
            at = now - n * 60
            person.activities.append({"id": f"e{number}-{n}", "type": "event", "name": "page", "timestamp": at})
        self._people[person.cio_id] = person
        return person

    def by_email(self, email: str) -> list[Person]:
        """Whoever the lookup finds, also those who are about to vanish."""
        return [person for person in self if person.email.lower() == email.lower()]

    def by_cio_id(self, cio_id: str) -> Person | None:
        """Whoever can still be read."""
        person = self._people.get(cio_id)
        return None if person is None or person.removed else person

    def by_identifier(self, identifier: str) -> Person | None:
        """As Track takes it: by its shape a cio_id, else the person's id, also where it looks like an address (6.4)."""
        if identifier.startswith("cio_"):
            return self.by_cio_id(identifier.removeprefix("cio_"))
        return next(
            (person for person in self._people.values() if person.id == identifier and not person.removed), None
        )

    def remove(self, person: Person, gone_at: float, *, suppress: bool = False) -> None:
        """Take its removal; the lookup finds it for a while."""
        person.gone_at = gone_at
        if suppress:
            self.suppressed |= {person.id, person.email.lower()}


def page(items: list[Json], key: str, arrival: Arrival, *, usual: int, most: int) -> Json:
    """One page of *items* under *key*, as `limit` and `start` ask; `next` is empty on the last. Raises Refusal."""
    limit = arrival.query.get("limit", str(usual))
    if not limit.isdecimal() or not 1 <= int(limit) <= most:
        raise Refusal(400, f"limit must be between 1 and {most}")
    start = arrival.query.get("start", "")
    places = {_token(item): place for place, item in enumerate(items)}
    if start and start not in places:
        raise Refusal(400, "start is not a token of ours")
    first = places.get(start, 0)
    after = first + int(limit)
    return {key: items[first:after], "next": _token(items[after]) if after < len(items) else ""}


def in_range(messages: list[Json], arrival: Arrival) -> list[Json]:
    """The messages of the range that is asked for, cut to its last six months; without one, the last six months."""
    try:
        end = int(arrival.query.get("end_ts", "") or arrival.at + 1)
        start = int(arrival.query.get("start_ts", "") or end - SIX_MONTHS)
    except ValueError:
        raise Refusal(400, "start_ts and end_ts are unix timestamps") from None
    start = max(start, end - SIX_MONTHS)
    newest_first = [-message["created"] for message in messages]
    return messages[bisect_left(newest_first, -end) : bisect_left(newest_first, -start + 1)]


def new_environment() -> str:
    """An id of a workspace."""
    return str(uuid4().int % 900_000 + 100_000)


def _token(item: Json) -> str:
    return f"after-{item['id']}"
