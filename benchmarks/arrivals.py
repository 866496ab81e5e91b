"""What reached the vendor, by its own clock and its own reading of the bodies, and what is wrong with it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean

import orjson


@dataclass(frozen=True, slots=True)
class Arrived:
    """All that arrived, counted. Calls that the vendor refuses are only in *refused*, *in_flight* and *connections*."""

    count: int
    distinct: int
    highest: int  # of the sequence numbers, which start at 0; -1: none
    out_of_order: int  # arrivals with a lower number than one of the same contact before
    overlapping: int  # arrivals while an earlier one of the same contact was not answered yet
    began: float  # the first arrival, by the clock that all processes of a machine share
    seconds: float  # from the first arrival to the last answer
    latency_ms: float  # mean time from arrival to answer
    in_flight: int  # at most
    refused: int
    connections: int  # opened
    http2: int  # of them
    cpu_seconds: float  # of this process since the first arrival

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.count / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Log:
    """Each arrival: whose and which it was, when it came, when it was answered (never: infinity)."""

    contacts: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, bodies: Sequence[bytes], arrived: list[float], answered: list[float]) -> "Log":
        """Made of what the vendor kept."""
        log = cls(arrived=arrived, answered=answered)
        for contact, number in map(contact_and_number, bodies):
            log.contacts.append(contact)
            log.numbers.append(number)
        return log

    @classmethod
    def loads(cls, text: bytes) -> "Log":
        """Read from JSON, where no answer is null."""
        log = cls(**orjson.loads(text))
        log.answered = [float("inf") if each is None else each for each in log.answered]
        return log

    def dumps(self) -> bytes:
        """As JSON."""
        return orjson.dumps(asdict(self))

    def judged(self, *, in_flight: int, refused: int, connections: int, http2: int, cpu_seconds: float) -> Arrived:
        """All of it, counted."""
        answers = [each for each in self.answered if each != float("inf")]
        waited = [end - start for start, end in zip(self.arrived, self.answered, strict=True) if end != float("inf")]
        return Arrived(
            count=len(self.numbers),
            distinct=len(set(self.numbers)),
            highest=max(self.numbers, default=-1),
            out_of_order=out_of_order(zip(self.contacts, self.numbers, strict=True)),
            overlapping=overlapping(self),
            began=self.arrived[0] if self.arrived else time.perf_counter(),
            seconds=max(answers) - self.arrived[0] if answers else 0.0,
            latency_ms=1000 * fmean(waited) if waited else 0.0,
            in_flight=in_flight,
            refused=refused,
            connections=connections,
            http2=http2,
            cpu_seconds=cpu_seconds,
        )


def contact_and_number(body: bytes) -> tuple[str, int]:
    """Whose body it is, and the event's sequence number, which `load` hides in the job title."""
    values = orjson.loads(body)["data"]["values"]
    return values["email_addresses"][0]["email_address"], int(values["job_title"][0]["value"])


def out_of_order(contacts: Iterable[tuple[str, int]]) -> int:
    """How many came after a later one of the same contact."""
    last: dict[str, int] = {}
    late = 0
    for contact, number in contacts:
        late += number < last.get(contact, -1)
        last[contact] = max(number, last.get(contact, -1))
    return late


def overlapping(log: Log) -> int:
    """How many came while an earlier one of the same contact was in flight: order by luck only."""
    until: dict[str, float] = {}
    early = 0
    for contact, start, end in zip(log.contacts, log.arrived, log.answered, strict=True):
        early += start < until.get(contact, 0.0)
        until[contact] = max(end, until.get(contact, 0.0))
    return early


def faults(arrived: Arrived, count: int, in_flight: int, *, ordered: bool = True) -> Iterator[str]:
    """What is wrong with what arrived: nothing where it is complete, distinct and, where that counts, in order.

    Where the vendor always refuses some, *count* is how many there are without them.
    """
    if arrived.distinct != count or (not arrived.refused and arrived.highest != count - 1):  # numbered from 0
        yield f"{arrived.distinct} of {count} events arrived"
    if arrived.count != arrived.distinct:
        yield f"{arrived.count - arrived.distinct} arrived again"
    if arrived.in_flight > in_flight:
        yield f"{arrived.in_flight} were in flight at once"
    if ordered and arrived.out_of_order:
        yield f"{arrived.out_of_order} arrived after a later one of their contact"
    if ordered and arrived.overlapping:
        yield f"{arrived.overlapping} arrived before the one before them of their contact was answered"
