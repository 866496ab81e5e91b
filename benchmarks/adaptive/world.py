"""One destination's calls in virtual time: the product's own state machine and rate limit, a simulated vendor."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Protocol

from benchmarks.adaptive.vendors import Behaviour
from stream.core.concurrency import AdaptiveLimit
from stream.core.health import Delay, Health, Permit, Release
from stream.core.limits import RateLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Delivered, Outcome, Retry, Throttled
from stream.core.records import Batch, Message, StandIn
from stream.core.retry import Backoff

SECONDS = 120.0
MOST = 64  # calls in flight
LONGEST_RETRY = 10.0  # seconds; so that luck with the last probe of an outage weighs less
NEVER = 1 << 30


class CallLimit(Protocol):
    """How many calls may be in flight."""

    limit: int

    @property
    def in_flight(self) -> int: ...
    def begin(self, now: float) -> None: ...
    def end(self, started: float, now: float, good: int, *, refused: bool = False) -> None: ...


class Fixed:
    """As many as were configured."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0

    def begin(self, now: float) -> None:  # noqa: ARG002
        self.in_flight += 1

    def end(self, started: float, now: float, good: int, *, refused: bool = False) -> None:  # noqa: ARG002
        self.in_flight -= 1


@dataclass(frozen=True, slots=True)
class Figures:
    """What a world came to."""

    rate: float  # delivered, a second of the whole time
    latency: float  # of what was delivered, seconds on average
    refused: float
    failed: float
    lowest: float  # limit in the second half
    highest: float
    changes: float  # of the limit in the second half


class World:
    """A vendor and the members that call it, until the time is up."""

    def __init__(
        self, behaviour: Behaviour, limit: Callable[[], CallLimit], *, seed: int, seconds: float = SECONDS
    ) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.vendor = behaviour.vendor()
        self._seconds = seconds
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._ticket = count()
        self._members = [Member(self, behaviour, limit(), seed + number) for number in range(behaviour.members)]

    def live(self) -> Figures:
        """What comes of it."""
        for member in self._members:
            member.start()
        while self._events and self._events[0][0] < self._seconds:
            self.now, _, happen, about = heappop(self._events)
            happen(*about)
        delivered = sum(member.delivered for member in self._members)
        limits = [limit for member in self._members for limit in member.limits_since(self._seconds / 2)]
        return Figures(
            rate=delivered / self._seconds,
            latency=sum(member.latency for member in self._members) / max(1, delivered),
            refused=sum(member.refused for member in self._members),
            failed=sum(member.failed for member in self._members),
            lowest=min(limits),
            highest=max(limits),
            changes=len(limits) - len(self._members),
        )

    def at(self, at: float, happen: Callable[..., None], *about: Any) -> None:
        """Let something happen then."""
        heappush(self._events, (at, next(self._ticket), happen, about))


class Member:
    """A destination with always enough to do, unless the behaviour says how much there is."""

    def __init__(self, world: World, behaviour: Behaviour, control: CallLimit, seed: int) -> None:
        self.delivered = self.refused = self.failed = 0
        self.latency = 0.0
        self._world = world
        self._control = control
        self._health = Health(
            backoff=Backoff(0.5, LONGEST_RETRY, Random(seed)), concurrency=control.limit, attempts=NEVER
        )
        self._health.assign()
        if isinstance(control, AdaptiveLimit):
            control.share(1 / behaviour.members)
        self._rate = RateLimit(behaviour.rate_limit)
        self._load = behaviour.load
        self._released: deque[Message] = deque()
        self._tracker = OffsetTracker("events", 0, 0)
        self._record = StandIn()
        self._made = self._waiting = 0
        self._looks_at = float("inf")
        self._limits: list[tuple[float, int]] = []

    def limits_since(self, time: float) -> list[int]:
        """What the limit was then, and each it became."""
        before = [limit for at, limit in self._limits if at <= time]
        return [*before[-1:], *(limit for at, limit in self._limits if at > time)] or [self._control.limit]

    def start(self) -> None:
        """Begin to call."""
        if self._load:
            self._arrive()
        self._fill()

    def _arrive(self) -> None:
        assert self._load
        self._waiting += 1
        self._world.at(self._world.now + self._world.random.expovariate(self._load), self._arrive)
        self._fill()

    def _message(self) -> Message | None:
        if self._released:
            return self._released.popleft()
        if self._load is not None:
            if not self._waiting:
                return None
            self._waiting -= 1
        self._made += 1
        return Message(str(self._made), {}, b"", self._record, self._tracker, 0.0)

    def _fill(self) -> None:
        """Begin what may begin."""
        now = self._world.now
        while self._control.in_flight < self._control.limit:
            if self._rate.free_at() > now:
                self._look(self._rate.free_at())
                return
            permit = self._health.permit(now)
            if permit not in (Permit.ALL, Permit.CANARY):
                self._look(self._health.next_change(now))
                return
            if (message := self._message()) is None:
                return
            self._begin(Batch([message], now, canary=permit is Permit.CANARY))

    def _look(self, at: float) -> None:
        """See then what may begin."""
        if self._world.now < self._looks_at <= at or at == float("inf"):
            return
        self._looks_at = at
        self._world.at(at, self._fill)

    def _begin(self, batch: Batch) -> None:
        world = self._world
        self._health.begin(batch)
        self._rate.reserve(world.now)
        self._control.begin(world.now)
        world.vendor.in_flight += 1
        seconds, outcome = world.vendor.take(world.now, world.random)
        world.at(world.now + seconds, self._end, batch, outcome)

    def _end(self, batch: Batch, outcome: Outcome) -> None:
        now = self._world.now
        [message] = batch.messages
        self._world.vendor.in_flight -= 1
        before = self._control.limit
        self._control.end(batch.started, now, isinstance(outcome, Delivered), refused=isinstance(outcome, Throttled))
        if self._control.limit != before:
            self._limits.append((now, self._control.limit))
            self._health.concurrency = self._control.limit
        if isinstance(outcome, Delivered):
            self.delivered += 1
            self.latency += now - batch.started
            self._health.delivered(message, batch)
        else:
            self.refused += isinstance(outcome, Throttled)
            self.failed += isinstance(outcome, Retry)
            match self._health.judge(message, outcome, batch, now):
                case Delay(until):
                    self._world.at(until, self._release, message)
                case Release():
                    self._released.append(message)
        self._health.finish(batch, now)
        self._health.recovered_since = None
        self._health.exhausted.clear()
        self._fill()

    def _release(self, message: Message) -> None:
        self._released.append(message)
        self._fill()
