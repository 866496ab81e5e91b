"""What the calls of a while say of a vendor, counted in rounds: as many calls as may be in flight. Decides nothing."""

from dataclasses import dataclass
from math import sqrt

SHORTEST_SECONDS = 0.05  # that calls are counted for
GRAIN = 0.001  # seconds: an event loop's clock may show calls that took less as none
FEW = 1.0  # calls: that so few do not differ is no sign that they never do
SATURATED = 0.9  # of the limit in flight on average: it is what bounds


@dataclass(frozen=True, slots=True)
class Measured:
    """A vendor's speed with so many calls in flight."""

    rate: float  # messages answered for, a second
    noise: float  # standard error of the rate by chance, as a share of it
    usual: float  # seconds that a call takes on average
    saturated: bool  # whether as many calls were in flight as may be
    rounds: int
    seconds: float


class Rounds:
    """Calls as they begin and end. Times are monotonic seconds."""

    __slots__ = (
        "_area",
        "_at",
        "_bad",
        "_began",
        "_calls",
        "_good",
        "_left",
        "_size",
        "_skip",
        "_squares",
        "_sum",
        "in_flight",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self._at = 0.0  # when that changed last
        self._size = self._skip = 0
        self.measure(0.0, 1)

    def settle(self, size: int) -> None:
        """Begin once what is in flight, or about to be, has come back: it is not as the limit *size* makes it."""
        self._size = size
        self._skip = max(self.in_flight, size)

    def measure(self, now: float, size: int) -> None:
        """Begin to count, in rounds of *size* calls."""
        self._began = now
        self._area = 0.0  # calls in flight x seconds
        self._good = self._bad = self._calls = 0
        self._sum = self._squares = 0.0
        self._size = self._left = size

    def begin(self, now: float) -> None:
        """A call begins."""
        if self.in_flight:
            self._area += self.in_flight * (now - self._at)
        else:
            self._began += now - self._at  # no part of the time
        self._at = now
        self.in_flight += 1

    def leave(self, now: float) -> None:
        """A call is over, and says nothing."""
        self._area += self.in_flight * (now - self._at)
        self._at = now
        self.in_flight -= 1

    def end(self, started: float, now: float, good: int) -> bool:
        """A call is over, and *good* of its messages were answered for. Whether that ends a round."""
        self.leave(now)
        if self._skip:
            self._skip -= 1
            if not self._skip:
                self.measure(now, self._size)
            return False
        took = now - started
        self._good += good
        self._bad += not good
        self._calls += 1
        self._sum += took
        self._squares += took * took
        self._left -= 1
        if self._left:
            return False
        self._left = self._size
        return True

    def measured(self, now: float, usual: float) -> Measured | None:
        """What the rounds so far say; None where that is nothing yet, as when less than *usual* has passed."""
        seconds = now - self._began
        if not self._good or seconds < max(SHORTEST_SECONDS, 0.9 * usual):
            return None
        mean = max(self._sum / self._calls, GRAIN / self._calls)
        variance = max(0.0, self._squares / self._calls - mean * mean)
        in_flight = self._area / seconds  # on average
        return Measured(
            rate=in_flight / mean * self._good / self._calls,  # Little's law: less blurred by calls that end together
            noise=sqrt((variance / (mean * mean) + FEW / self._calls) / self._calls),
            usual=mean,
            saturated=in_flight >= SATURATED * self._size,
            rounds=self._calls // self._size,
            seconds=seconds,
        )

    @property
    def failing(self) -> bool:
        """Whether most calls failed."""
        return 2 * self._bad > self._calls
