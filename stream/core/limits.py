"""How many requests may start, and how many burials are too many."""

import math
from collections import deque
from collections.abc import Mapping
from fractions import Fraction


class RateLimit:
    """A token bucket, kept as the time at which the next request may start.

    The bucket holds 50 ms worth of requests (at least one), so what a vendor sees in a second is *rate* and that
    little more, and a late timer loses nothing. It starts empty. `None` as rate: no limit.
    """

    __slots__ = ("_next", "interval")

    BURST = 0.05  # seconds

    def __init__(self, rate: float | None, now: float = 0.0) -> None:
        self.interval = 1 / rate if rate else 0.0
        self._next = now + self.interval

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

    def share(self, rate: float | None, now: float) -> None:
        """Change the rate, for instance to this member's share of the group's; the bucket is empty again."""
        self.interval = 1 / rate if rate else 0.0
        self._next = max(self._next, now + self.interval) if rate else now


class RateLimits:
    """A vendor's limits by name, shared out together. The first is the one that new calls are paced by."""

    def __init__(self, rates: Mapping[str, float | None], now: float = 0.0) -> None:
        self._rates = dict(rates)
        self.by_name = {name: RateLimit(rate, now) for name, rate in rates.items()}
        self.first = next(iter(self.by_name.values()))

    def share(self, part: float, now: float) -> None:
        """Keep to this member's *part* (0 to 1) of the group's rates."""
        for name, rate in self._rates.items():
            if rate is not None:
                self.by_name[name].share(rate * part, now)


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
