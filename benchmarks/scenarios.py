"""The scenarios: what the vendor does, how many calls are in flight, whose the events are. Nothing runs here."""

from dataclasses import dataclass
from typing import Literal

Protocol = Literal["HTTP/1.1", "HTTP/2"]
PROTOCOLS: tuple[Protocol, ...] = ("HTTP/1.1", "HTTP/2")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A vendor, how many calls are in flight at most, and for how many contacts the events are."""

    name: str
    latency: float  # milliseconds
    jitter: float
    in_flight: int
    contacts: int
    aim: float  # events a second
    aim_cpu: float | None = None  # µs an event
    refuse: str | None = None  # the contact for whom the vendor always answers 500
    tls: Protocol | None = None  # what the vendor offers first

    def __str__(self) -> str:
        jitter = f" ± {self.jitter:g}" if self.jitter else ""
        hot = f", {self.contacts} hot contacts" if self.contacts < self.in_flight else ""
        refused = f", one of {self.contacts:,} contacts refused" if self.refuse else ""
        tls = f", {self.tls} with TLS" if self.tls else ""
        return f"{self.name}: {self.latency:g}{jitter} ms, {self.in_flight} in flight{hot}{refused}{tls}"

    @property
    def ideal(self) -> float | None:
        """Events a second if nothing but the vendor took time; None where it takes none."""
        return min(self.in_flight, self.contacts) * 1000 / self.latency if self.latency else None


A = Scenario("A", latency=0, jitter=0, in_flight=64, contacts=10_000, aim=17_000, aim_cpu=55)
B = Scenario("B", latency=20, jitter=5, in_flight=256, contacts=10_000, aim=10_500, aim_cpu=80)
C = Scenario("C", latency=20, jitter=0, in_flight=256, contacts=200, aim=8_500)

KILLED = 5  # times
OTHERS = 0.95  # of B's rate, while one contact is refused
D = Scenario("D", latency=20, jitter=5, in_flight=256, contacts=10_000, aim=0)
E = Scenario(
    "E", latency=20, jitter=5, in_flight=256, contacts=1_000, aim=OTHERS * B.aim, refuse="contact.00007@example.com"
)

AIM_PEAK_MB = 120
