"""Attio's stand-in with a ledger: whose event arrived when, and at which member's door."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from stream.destinations.attio.sandbox import AttioFaults, AttioSandbox
from stream.destinations.sandbox import Entry, Failure
from stream.destinations.sandbox_http import Answer, Arrival

WELL = AttioFaults()
_WRITTEN = re.compile(rb'"email_address": ?"([^"]+)".*"job_title": ?\[\{"value": ?"(\d+)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A write that the vendor took: the *n*-th event of a contact. *at* is seconds since the epoch."""

    email: str
    n: int
    at: float
    door: str  # host:port at which it came in: each member has its own

    @property
    def event(self) -> tuple[str, int]:
        """What it is about, however often it comes."""
        return self.email, self.n


class Vendor(AttioSandbox):
    """A workspace that notes each event it takes. The events' `job_title` is their number within the contact."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: list[Delivery] = []
        self.distinct: set[tuple[str, int]] = set()
        self._door = ""

    def answer(self, arrival: Arrival) -> Answer:
        """As Attio, once it is known at which door the call came in."""
        self._door = arrival.headers["host"]
        return super().answer(arrival)

    def accept(self) -> None:
        """Note the event as well."""
        super().accept()
        entry = self.log[-1]
        if found := _WRITTEN.search(entry.body):
            delivery = Delivery(found[1].decode(), int(found[2]), entry.at, self._door)
            self.ledger.append(delivery)
            self.distinct.add(delivery.event)

    @property
    def in_flight(self) -> int:
        """Writes that were taken and are not answered yet."""
        return sum(entry.answered is None for entry in self.accepted[-200:])

    @property
    def repeats(self) -> int:
        """Writes beyond the first of each event."""
        return len(self.ledger) - len(self.distinct)

    def calls_for(self, email: str) -> list[Entry]:
        """The writes about a contact, taken or not, in their order."""
        return [entry for entry in self.log if entry.method == "PUT" and email.encode() in entry.body]

    def seen_at(self, door: str) -> list[Delivery]:
        """What came in at one member's door."""
        return [delivery for delivery in self.ledger if delivery.door == door]


class Crowded(Vendor):
    """Refuses more than so many writes at once."""

    TAKES = 10

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def answer(self, arrival: Arrival) -> Answer:
        """As Attio, or that it is too much."""
        if self.writes(arrival) and self.in_flight >= self.TAKES:
            self.refused += 1
            return self.throttled(arrival.at + 1)
        return super().answer(arrival)


def broken_for(*emails: str, status: int = 503, times: int | None = None) -> AttioFaults:
    """Calls about these contacts fail, all others are well."""
    return AttioFaults(fail=[Failure(status=status, contacts=list(emails), times=times)])


def assert_all_in_order(ledger: Iterable[Delivery], sent: Mapping[str, int]) -> None:
    """The first deliveries of each contact are its events 1 to n, in that order: none lost, none overtaken."""
    firsts: dict[str, dict[int, None]] = {}
    for delivery in ledger:
        firsts.setdefault(delivery.email, {})[delivery.n] = None
    wrong = {
        email: found
        for email, count in sent.items()
        if (found := list(firsts.get(email, ()))) != [*range(1, count + 1)]
    }
    assert not wrong, f"{len(wrong)} of {len(sent)} contacts: {dict(list(wrong.items())[:3])}"
    assert firsts.keys() == sent.keys()


def body_of(entry: Entry) -> dict[str, object]:
    """The values of a write."""
    values: dict[str, object] = orjson.loads(entry.body)["data"]["values"]
    return values
