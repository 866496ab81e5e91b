"""Vendors to be found out: each answers a call after a time and with an outcome that depend on what it has to do.

They are the simulation's: none is real. Times are seconds since the beginning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import pi, sin
from random import Random

from stream.core.outcomes import DELIVERED, Outcome, Retry, Throttled

Answer = tuple[float, Outcome]
BUSY = Retry("503 busy", 503)
DOWN = Retry("not sent: connection refused")
TIMED_OUT = Retry("no answer: timed out")
TIMEOUT = 10.0


class Vendor:
    """Answers every call after *latency*, times a random factor of mean 1 and the deviation *jitter*."""

    def __init__(self, latency: float = 0.2, jitter: float = 0.0) -> None:
        self.latency = latency
        self.jitter = jitter
        self.in_flight = 0

    def take(self, now: float, random: Random) -> Answer:
        """How long this call takes, and what it comes to; the call itself is in flight already."""
        return self.time(now, random), DELIVERED

    def time(self, now: float, random: Random) -> float:  # noqa: ARG002 - others depend on it
        """Seconds that this call takes."""
        return self.latency * self.factor(random)

    def factor(self, random: Random) -> float:
        """1 on average: a fixed part, and one that is distributed exponentially."""
        return 1.0 if not self.jitter else 1 - self.jitter + random.expovariate(1 / self.jitter)


class Workers(Vendor):
    """So many work at once; other calls wait in line. *at* may change how many there are."""

    def __init__(
        self, workers: int, latency: float = 0.2, jitter: float = 0.0, at: Callable[[float], int] | None = None
    ) -> None:
        super().__init__(latency, jitter)
        self.free = [0.0] * workers
        self.at = at

    def time(self, now: float, random: Random) -> float:
        self._staff(now)
        start = max(now, self.free[0])
        end = start + super().time(now, random)
        heapreplace(self.free, end)
        return end - now

    def _staff(self, now: float) -> None:
        if self.at is None or (wanted := self.at(now)) == len(self.free):
            return
        self.free.sort()
        self.free = [*self.free, *[now] * (wanted - len(self.free))] if wanted > len(self.free) else self.free[-wanted:]
        heapify(self.free)


class Soft(Vendor):
    """Each call slows the others: latency x (1 + (calls in flight / *knee*) ** *power*)."""

    def __init__(self, knee: int, power: float = 2.0, latency: float = 0.1, jitter: float = 0.0) -> None:
        super().__init__(latency, jitter)
        self.knee, self.power = knee, power

    def time(self, now: float, random: Random) -> float:
        crowd: float = (self.in_flight / self.knee) ** self.power
        return super().time(now, random) * (1 + crowd)


class Overwhelmed(Vendor):
    """Fine up to *knee* calls in flight; beyond, it does less the more it has to do."""

    def __init__(self, knee: int) -> None:
        super().__init__()
        self.knee = knee

    def time(self, now: float, random: Random) -> float:
        return super().time(now, random) * max(1.0, (self.in_flight / self.knee) ** 2)


class Bucket(Vendor):
    """429 above *rate* calls a second, of which *burst* may come at once. *names*: the wait that it asks for."""

    def __init__(self, rate: float, burst: float, names: float | None = 1.0, jitter: float = 0.0) -> None:
        super().__init__(jitter=jitter)
        self.rate, self.burst, self.names = rate, burst, names
        self.tokens, self.at = burst, 0.0

    def take(self, now: float, random: Random) -> Answer:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return 0.02, Throttled(self.names)
        self.tokens -= 1
        return super().take(now, random)


class Windowed(Vendor):
    """429 above *calls* in each whole *seconds*; names the rest of it as the wait."""

    def __init__(self, calls: int, seconds: float) -> None:
        super().__init__(jitter=0.2)
        self.calls, self.seconds = calls, seconds
        self.window, self.taken = 0, 0

    def take(self, now: float, random: Random) -> Answer:
        if int(now / self.seconds) != self.window:
            self.window, self.taken = int(now / self.seconds), 0
        self.taken += 1
        if self.taken > self.calls:
            return 0.02, Throttled((self.window + 1) * self.seconds - now)
        return super().take(now, random)


class Crowded(Vendor):
    """Refuses more than so many calls at once, with *answer*."""

    def __init__(self, most: int, answer: Outcome, jitter: float = 0.0) -> None:
        super().__init__(jitter=jitter)
        self.most, self.answer = most, answer

    def take(self, now: float, random: Random) -> Answer:
        return (0.02, self.answer) if self.in_flight > self.most else super().take(now, random)


class Stalling(Workers):
    """Answers nothing for *length* seconds in each *every*."""

    def __init__(self, workers: int, every: float, length: float) -> None:
        super().__init__(workers, jitter=0.3)
        self.every, self.length = every, length

    def time(self, now: float, random: Random) -> float:
        end = now + super().time(now, random)
        into = end % self.every
        return end - now + (self.length - into if into < self.length else 0.0)


class Bimodal(Vendor):
    """One call in so many takes much longer."""

    def take(self, now: float, random: Random) -> Answer:  # noqa: ARG002
        return (0.1 if random.random() > 0.1 else 1.5), DELIVERED


class Drifting(Workers):
    """Its own time for a call doubles and comes back in *period* seconds."""

    slower = 1.0

    def __init__(self, workers: int, period: float) -> None:
        super().__init__(workers, jitter=0.2)
        self.period = period

    def factor(self, random: Random) -> float:
        return super().factor(random) * self.slower

    def time(self, now: float, random: Random) -> float:
        self.slower = 1.5 - sin(2 * pi * now / self.period) / 2
        return super().time(now, random)


class Absent(Workers):
    """Down from *since* to *until*: refused at once, or not answered where it *hangs*."""

    def __init__(self, since: float, until: float, *, hangs: bool = False) -> None:
        super().__init__(24, jitter=0.2)
        self.since, self.until, self.hangs = since, until, hangs

    def take(self, now: float, random: Random) -> Answer:
        if self.since <= now < self.until:
            return (TIMEOUT, TIMED_OUT) if self.hangs else (0.005, DOWN)
        return super().take(now, random)


class Flaky(Workers):
    """One call in twenty fails, at random."""

    def take(self, now: float, random: Random) -> Answer:
        return (0.05, BUSY) if random.random() < 0.05 else super().take(now, random)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A vendor of one kind, and what is to be done there."""

    name: str
    vendor: Callable[[], Vendor]
    best: int  # the fixed setting that the sweep finds best
    rate_limit: float | None = None  # configured, in calls a second
    members: int = 1  # that call it, each by itself
    load: float | None = None  # calls a second that there are to make; None: always more than can be made


BEHAVIOURS = (
    Behaviour("constant", lambda: Vendor(), 64),
    Behaviour("jitter", lambda: Vendor(jitter=0.7), 64),
    Behaviour("knee: 20 at once", lambda: Workers(20), 20),
    Behaviour("knee with jitter", lambda: Workers(20, jitter=0.5), 20),
    Behaviour("soft knee", lambda: Soft(24, jitter=0.2), 20),
    Behaviour("overwhelmed beyond 24", lambda: Overwhelmed(24), 24),
    Behaviour(
        "slow start: 4 to 40 at once", lambda: Workers(4, jitter=0.2, at=lambda now: min(40, 4 + int(now / 2))), 40
    ),
    Behaviour("throttle by rate, bucket", lambda: Bucket(60, burst=20), 12),
    Behaviour("throttle by rate, windows", lambda: Windowed(60, 1.0), 12),
    Behaviour("throttle by rate, no time named", lambda: Bucket(60, burst=20, names=None, jitter=0.3), 12),
    Behaviour("throttle by concurrency", lambda: Crowded(16, Throttled(1.0), jitter=0.3), 16),
    Behaviour("throttle by concurrency, no time named", lambda: Crowded(16, Throttled(None)), 16),
    Behaviour("busy beyond 16 (503)", lambda: Crowded(16, BUSY, jitter=0.3), 16),
    Behaviour("stalls", lambda: Stalling(24, 10.0, 1.5), 24),
    Behaviour("bimodal", lambda: Bimodal(), 64),
    Behaviour("drift", lambda: Drifting(24, 120.0), 24),
    Behaviour("capacity 32, 10, 32", lambda: Workers(32, jitter=0.2, at=lambda now: 10 if 40 <= now < 80 else 32), 32),
    Behaviour("outage, refused", lambda: Absent(40.0, 60.0), 24),
    Behaviour("outage, hanging", lambda: Absent(40.0, 60.0, hangs=True), 24),
    Behaviour("one failure in twenty", lambda: Flaky(24, jitter=0.2), 24),
    Behaviour("slow: 1 s", lambda: Workers(32, latency=1.0, jitter=0.2), 32),
    Behaviour("two members share 24 at once", lambda: Workers(24, jitter=0.2), 12, members=2),
    Behaviour("three members share 24 at once", lambda: Workers(24, jitter=0.2), 8, members=3),
    Behaviour("own rate limit of 40/s", lambda: Vendor(jitter=0.3), 10, rate_limit=40.0),
    Behaviour("little to do: 30/s", lambda: Workers(20, jitter=0.3), 10, load=30.0),
)
