"""Vector's Adaptive Request Concurrency, written from its public description to be compared with.

The rules and their defaults are those of Vector's documentation ("Adaptive Request Concurrency") and of its source,
`src/sinks/util/adaptive_concurrency/controller.rs`: once a mean response time, the mean of the responses since is
compared with a moving average of such means and its deviation.
"""

from math import sqrt

ALPHA = 0.4
DECREASE_RATIO = 0.9
DEVIATION_SCALE = 2.5


class VectorLimit:
    """Calls that may be in flight. Times are monotonic seconds."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = 1
        self.in_flight = 0
        self._past: tuple[float, float] | None = None  # mean and variance
        self._next_update = 0.0
        self._sum = 0.0
        self._count = 0
        self._back_pressure = False
        self._reached = False

    def begin(self, now: float) -> None:  # noqa: ARG002 - others measure by it
        """A call begins."""
        self.in_flight += 1
        if self.in_flight >= self.limit:
            self._reached = True

    def end(self, started: float, now: float, good: int, *, refused: bool = False) -> None:
        """A call is over. What Vector would retry is back pressure; only the time of what succeeded counts."""
        self.in_flight -= 1
        if refused or not good:
            self._back_pressure = True
        else:
            self._sum += now - started
            self._count += 1
        mean = self._sum / self._count if self._count else None
        if self._past is None:
            if mean is not None:
                self._past = (mean, 0.0)
                self._next_update = now + mean
            return
        if now < self._next_update:
            return
        self._manage(*self._past, mean)
        if mean is not None:
            self._past = self._averaged(*self._past, mean)
        self._next_update = now + self._past[0]
        self._sum, self._count = 0.0, 0
        self._back_pressure = self._reached = False

    def _manage(self, past: float, variance: float, mean: float | None) -> None:
        quick = mean is not None and round(mean, 6) <= round(past, 6)  # as Vector's own simulation rounds
        slow = mean is not None and round(mean, 6) >= round(past + DEVIATION_SCALE * sqrt(variance), 6)
        if self.limit < self.most and self._reached and not self._back_pressure and quick:
            self.limit += 1
        elif self.limit > 1 and (self._back_pressure or slow):
            self.limit = max(1, int(self.limit * DECREASE_RATIO))

    def _averaged(self, past: float, variance: float, mean: float) -> tuple[float, float]:
        difference = mean - past
        increment = ALPHA * difference
        return past + increment, (1 - ALPHA) * (variance + difference * increment)
