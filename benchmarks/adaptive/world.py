"""One destination's calls in virtual time: the product's own state machine and rate limit, a simulated vendor."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Protocol

from benchmarks.adaptive.vendors import Behaviour
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
    """A destination with always enough to do, unless the behaviour says how much there is."""

    def __init__(self, behaviour: Behaviour, control: CallLimit, *, seed: int, seconds: float = SECONDS) -> None:
        self.control = control
        self.vendor = behaviour.vendor()
        self.seconds = seconds
        self.now = 0.0
        self._random = Random(seed)
        self._health = Health(
            backoff=Backoff(0.5, LONGEST_RETRY, Random(seed)), concurrency=control.limit, attempts=NEVER
        )
        self._health.assign()
        self._rate = RateLimit(behaviour.rate_limit)
        self._load = behaviour.load
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._ticket = count()
        self._released: deque[Message] = deque()
        self._tracker = OffsetTracker("events", 0, 0)
        self._record = StandIn()
        self._made = 0
        self._waiting = 0
        self._looks_at = float("inf")
        self._delivered = self._refused = self._failed = 0
        self._latency = 0.0
        self._limits: list[tuple[float, int]] = [(0.0, control.limit)]

    def live(self) -> Figures:
        """Until the time is up."""
        if self._load:
            self._at(0.0, self._arrive)
        self._fill()
        while self._events and self._events[0][0] < self.seconds:
            self.now, _, happen, about = heappop(self._events)
            happen(*about)
            self._fill()
        late = [limit for at, limit in self._limits if at > self.seconds / 2]
        around = late or [self.control.limit]
        return Figures(
            self._delivered / self.seconds,
            self._latency / max(1, self._delivered),
            self._refused,
            self._failed,
            min(around),
            max(around),
            len(late),
        )

    def _at(self, at: float, happen: Callable[..., None], *about: Any) -> None:
        heappush(self._events, (at, next(self._ticket), happen, about))

    def _arrive(self) -> None:
        self._waiting += 1
        assert self._load
        self._at(self.now + self._random.expovariate(self._load), self._arrive)

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
        while self.control.in_flight < self.control.limit:
            if self._rate.free_at() > self.now:
                self._look(self._rate.free_at())
                return
            permit = self._health.permit(self.now)
            if permit not in (Permit.ALL, Permit.CANARY):
                self._look(self._health.next_change(self.now))
                return
            if (message := self._message()) is None:
                return
            self._begin(Batch([message], self.now, canary=permit is Permit.CANARY))

    def _look(self, at: float) -> None:
        if self.now < self._looks_at <= at or at == float("inf"):
            return
        self._looks_at = at
        self._at(at, lambda: None)

    def _begin(self, batch: Batch) -> None:
        self._health.begin(batch)
        self._rate.reserve(self.now)
        self.control.begin(self.now)
        self.vendor.in_flight += 1
        seconds, outcome = self.vendor.take(self.now, self._random)
        self._at(self.now + seconds, self._end, batch, outcome)

    def _end(self, batch: Batch, outcome: Outcome) -> None:
        [message] = batch.messages
        self.vendor.in_flight -= 1
        before = self.control.limit
        self.control.end(
            batch.started, self.now, isinstance(outcome, Delivered), refused=isinstance(outcome, Throttled)
        )
        if self.control.limit != before:
            self._limits.append((self.now, self.control.limit))
            self._health.concurrency = self.control.limit
        if isinstance(outcome, Delivered):
            self._delivered += 1
            self._latency += self.now - batch.started
            self._health.delivered(message, batch)
        else:
            self._refused += isinstance(outcome, Throttled)
            self._failed += isinstance(outcome, Retry)
            match self._health.judge(message, outcome, batch, self.now):
                case Delay(until):
                    self._at(until, self._released.append, message)
                case Release():
                    self._released.append(message)
        self._health.finish(batch, self.now)
        self._health.recovered_since = None
        self._health.exhausted.clear()
