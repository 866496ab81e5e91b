"""How many requests may start, and how many burials are too many."""

import math
from collections import deque
from collections.abc import Mapping
from fractions import Fraction
from typing import Protocol

NEVER = float("inf")
GOLDEN = (math.sqrt(5) - 1) / 2


class Limit(Protocol):
    """How fast requests may start. Times are monotonic seconds, and infinite while it is held."""

    @property
    def interval(self) -> float:
        """Seconds between two requests."""

    def reserve(self, now: float, /) -> float:
        """Take one turn; how many seconds from *now* the request must wait for it."""

    def cancel(self) -> None:
        """Give back a turn that was reserved and not used."""

    def free_at(self) -> float:
        """When the next request could start."""


class Limits(Protocol):
    """A vendor's limits, as one destination is paced by them."""

    @property
    def by_name(self) -> Mapping[str, Limit]:
        """Each of them."""

    @property
    def first(self) -> Limit:
        """The one for calls that name none."""

    def share(self, part: float, now: float, turn: float = 1.0) -> None:
        """Keep to this member's *part* (above 0, up to 1) of the group's rates; the buckets are empty again.

        *turn*: how much of an interval passes before the first request, above 0 up to 1. See `turn_of`.
        """

    def hold(self, now: float) -> None:
        """Let nothing start before the next share: without partitions, the rate is for the other members."""


def turn_of(partition: int) -> float:
    """How much of an interval a member lets pass before its first request, by the first of its partitions.

    All members of a group are given their partitions at the same moment. With one turn for all they would make their
    requests together ever after, and what a vendor allows for a minute come in a second. By the golden ratio the turns
    of any few or many partitions lie about evenly; that of partition 0 is a whole interval.
    """
    return 1.0 - partition * GOLDEN % 1.0


class RateLimit:
    """A token bucket, kept as the time at which the next request may start.

    The bucket holds 50 ms worth of requests (at least one), so what a vendor sees in a second is *rate* and that
    little more, and a late timer loses nothing. It starts empty. `None` as rate: no limit.
    """

    __slots__ = ("_next", "_promised", "interval")

    BURST = 0.05  # seconds

    def __init__(self, rate: float | None, now: float = 0.0) -> None:
        self.interval = 1 / rate if rate else 0.0
        self._next = now + self.interval
        self._promised = now  # while held: the time up to which turns were given away before

    def reserve(self, now: float) -> float:
        """Take one token; how many seconds from *now* the request must wait for it."""
        self._next = max(self._next, now - max(0.0, self.BURST - self.interval))
        wait = self._next - now
        self._next += self.interval
        return max(0.0, wait)

    def free_at(self) -> float:
        """When the next request could start."""
        return self._next

    def cancel(self) -> None:
        """Give back a token that was reserved and not used."""
        self._next -= self.interval

    def hold(self) -> None:
        """Let nothing start before the next `share`."""
        if self._next < NEVER:
            self._promised, self._next = self._next, NEVER

    def share(self, rate: float | None, now: float, turn: float = 1.0) -> None:
        """Change the rate, for instance to this member's share of the group's; the bucket is empty again."""
        promised = self._next if self._next < NEVER else self._promised
        if promised - self.interval <= now:
            promised = now  # no turn is given away that is still to come
        self.interval = 1 / rate if rate else 0.0
        self._next = max(promised, now + turn * self.interval) if rate else now


class RateLimits:
    """The limits of a destination that has them for itself."""

    def __init__(self, rates: Mapping[str, float | None], now: float = 0.0) -> None:
        self._rates = dict(rates)
        self.by_name = {name: RateLimit(rate, now) for name, rate in rates.items()}
        self.first = next(iter(self.by_name.values()))

    def share(self, part: float, now: float, turn: float = 1.0) -> None:
        """Keep to this member's *part* (above 0, up to 1) of the group's rates."""
        for name, rate in self._rates.items():
            self.by_name[name].share(None if rate is None else rate * part, now, turn)

    def hold(self, now: float) -> None:  # noqa: ARG002 - a lane's asks for it
        """Let nothing start before the next `share`."""
        for limit in self.by_name.values():
            limit.hold()


class Quota:
    """The limits of one account, pooled for those destinations of this process that share it.

    Each destination's group has its partitions shared out by itself. A process may use the mean of its parts in all of
    them: over all processes that adds up to the rate, and what one destination leaves is there for those beside it.
    One that has ended, or that this process does not run, takes its part with it.
    """

    def __init__(self, rates: Mapping[str, float | None], destinations: int, now: float = 0.0) -> None:
        """*destinations*: how many share it, whether this process runs them or not."""
        self._pool = RateLimits(rates, now)
        self._pool.hold(now)
        self._destinations = destinations
        self._parts: dict[QuotaLimits, float] = {}
        self._turn = 1.0

    def limits(self) -> "QuotaLimits":
        """What another of the destinations is paced by."""
        return QuotaLimits(self, {name: Lane(pool, self._destinations) for name, pool in self._pool.by_name.items()})

    def share(self, whose: "QuotaLimits", part: float, now: float, turn: float | None = None) -> None:
        """One of them has this part of its group's partitions now."""
        self._parts[whose] = part
        self._turn = turn or self._turn
        if together := sum(self._parts.values()):
            self._pool.share(together / self._destinations, now, self._turn)
        else:
            self._pool.hold(now)


class QuotaLimits:
    """The limits of a destination that shares them with others."""

    def __init__(self, quota: Quota, lanes: "Mapping[str, Lane]") -> None:
        self._quota = quota
        self.by_name = lanes
        self.first = next(iter(lanes.values()))

    def share(self, part: float, now: float, turn: float = 1.0) -> None:
        """Bring this member's *part* of the destination's partitions into the quota."""
        for lane in self.by_name.values():
            lane.held = False
        self._quota.share(self, part, now, turn)

    def hold(self, now: float) -> None:
        """Let nothing of this destination start before the next `share`, and take its part out of the quota."""
        for lane in self.by_name.values():
            lane.held = True
        self._quota.share(self, 0.0, now)


class Lane:
    """One destination's way to a pool that it shares.

    Who is ahead of an even share lets the others go first, for as long as a timer may be late: then the turn is taken
    by whoever wants it, so none starves and none is wasted.
    """

    __slots__ = ("_lanes", "_mine", "_pool", "held")

    COURTESY = 0.002  # seconds

    def __init__(self, pool: Limit, lanes: int) -> None:
        self._pool = pool
        self._lanes = lanes
        self._mine = 0.0  # when its next turn would be, were all as busy
        self.held = True

    @property
    def interval(self) -> float:
        """Seconds between two requests, of whichever lane."""
        return self._pool.interval

    def reserve(self, now: float) -> float:
        """Take one turn of the pool's; how many seconds from *now* the request must wait for it."""
        if self.held:
            return NEVER
        wait = self._pool.reserve(now)
        self._mine = now + wait + self._lanes * self._pool.interval
        return wait

    def cancel(self) -> None:
        """Give back a turn that was reserved and not used."""
        if not self.held:
            self._pool.cancel()

    def free_at(self) -> float:
        """When the next request of this lane could start."""
        if self.held:
            return NEVER
        at = self._pool.free_at()
        return at + self.COURTESY if self._mine > at else at


class BurialLimit:
    """Whether too large a share of the last verdicts were burials: `P% of N`.

    Before N verdicts the count alone decides, so a bad deployment stops early.
    """

    __slots__ = ("_last", "allowed", "buried")

    def __init__(self, percent: float, of: int) -> None:
        self.allowed = math.ceil(Fraction(str(percent)) * of / 100)  # of the decimal that was written, not its float
        self._last: deque[bool] = deque(maxlen=of)
        self.buried = 0

    def record(self, buried: bool) -> bool:
        """Note one verdict; True where the limit is reached."""
        last = self._last
        if len(last) == last.maxlen:
            self.buried -= last[0]
        last.append(buried)
        self.buried += buried
        return buried and self.buried >= self.allowed

    def clear(self) -> None:
        """Start over, as after a resume."""
        self._last.clear()
        self.buried = 0
