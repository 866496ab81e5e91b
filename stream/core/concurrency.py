"""How many calls may be in flight to one vendor, found by measuring how fast it answers.

With *n* calls in flight a vendor answers at some rate. While it works on all of them at once the rate grows as *n*
does; where they wait for each other it stays, and only the wait grows. What is sought is the *n* with the highest

    rate / n ** WORTH

so that a tenth more calls are kept if the rate grows by WORTH of a tenth. It is found by trying. A try compares the
rate at another limit with that at the one kept, for as many rounds as chance makes necessary, and keeps the better. At
first each try doubles, until one does not help; where the rate bends tells how far to go back. Later steps are halved
where they do not help, and doubled where they help repeatedly or where chance hides what they do. Once the smallest
helps in neither direction tries become rare, until the rate changes by itself.

- What is bounded otherwise (a configured `rate_limit`, too little work) starts no try: more calls would gain nothing.
- A refusal for calling too much ends a try at once. It costs the pause that the vendor asks for, so the next step up
  waits for many times that pause (`stream.core.refusals`). Refusals at the limit kept lower it, if they cost much.
- A failure is a call that brought nothing: where more calls only bring more failures they do not pay. When nothing but
  failures came back for as many calls as may be in flight, what was found is forgotten: it starts from the beginning.
"""

from math import log, sqrt

from stream.core.refusals import Refusals
from stream.core.rounds import Measured, Rounds

INITIAL = 4  # calls
WORTH = 0.3
LEAST = 1 / 3  # part of the calls: less is not told from chance
SMALLEST, LARGEST = 0.1, 1.0  # steps, as a share of the limit
FASTEST = 0.5  # step down where hardly a call is answered between refusals
CLEAR = 0.5  # the largest step that is taken only to be told from chance
CERTAINTY = 2.0  # standard errors
PRECISION = 5.0  # standard errors to a step
CHANGED = 0.25  # of a rate, in its logarithm
REST_ROUNDS = 8  # of a measurement while there is time
MOST_ROUNDS, MOST_SECONDS = 16, 4.0  # both: then it is judged, however unsure
PATIENCE = 32  # rounds between tries that do not help, at most


class AdaptiveLimit:
    """Calls that may be in flight: `limit`, at most *most*. Times are monotonic seconds."""

    __slots__ = (
        "_aim",
        "_direction",
        "_kept",
        "_patience",
        "_refusals",
        "_rest",
        "_retreat",
        "_rounds",
        "_row",
        "_row_since",
        "_starting",
        "_step",
        "_streak",
        "_there",
        "_trying",
        "_worth",
        "limit",
        "most",
    )

    def __init__(self, most: int) -> None:
        self.most = most
        self._rounds = Rounds()
        self._refusals = Refusals()
        self._worth = WORTH
        self._retreat = SMALLEST
        self._row = 0  # failures since the last answer
        self._row_since = 0.0
        self._restart()

    def __repr__(self) -> str:
        return f"<{self.limit} of {self.most}, kept {self._kept}, step {self._step:.2f}>"

    @property
    def in_flight(self) -> int:
        """Calls that began and are not over."""
        return self._rounds.in_flight

    def share(self, part: float) -> None:
        """The other members of its group make the rest of the calls, and look for a limit as this one does.

        Where calls wait for each other, more of one's own take the vendor away from the others: most of what one member
        gains is what they lose. So with *part* of the calls only that part of what the wait grows by is seen.
        """
        self._worth = 1 - max(part, LEAST) * (1 - WORTH)

    def begin(self, now: float) -> None:
        """A call begins."""
        self._rounds.begin(now)

    def end(self, started: float, now: float, good: int, *, refused: bool = False) -> None:
        """A call is over: *good* of its messages were answered for; *refused*: the vendor wants fewer calls."""
        if refused:
            self._rounds.leave(now)
            if not self._refusals.told(started):
                self._refuse(now)
            return
        if self._refusals.paused and not self._refusals.told(started):
            self._refusals.resume(started)
        if good:
            self._row = 0
        elif self._failed(started, now):
            self._rounds.leave(now)
            return
        if self._rounds.end(started, now, good):
            self._consider(now)

    def _restart(self) -> None:
        """Begin the search from the start."""
        self.limit = self._kept = min(INITIAL, self.most)
        self._there: Measured | None = None  # at the limit kept
        self._starting = True
        self._trying = False
        self._direction = 1
        self._step = LARGEST
        self._aim = 0  # a limit to try next; 0: a step from the one kept
        self._streak = 0  # tries that helped
        self._rest = 0  # rounds since the last try
        self._patience = 1
        self._refusals.forget()
        self._rounds.settle(self.limit)

    # Measuring

    def _consider(self, now: float) -> None:
        """Another round is over."""
        seen = self._rounds.measured(now, self._there.usual if self._there else 0.0)
        if seen is None:
            return
        if self._trying:
            self._judge(seen, now)
        elif self._rounds.failing:  # it is hardly back
            self._rounds.measure(now, self.limit)
        elif self._sufficient(seen):
            self._rest += seen.rounds
            if self._there and self._changed(self._there, seen):
                self._search_anew(now, faster=seen.rate > self._there.rate)
            else:
                self._there = seen
                self._next(now)

    def _sufficient(self, seen: Measured) -> bool:
        """Whether tries can be judged by it."""
        if self._starting or self._too_long(seen):
            return True
        return seen.rounds >= min(self._patience, REST_ROUNDS) and seen.noise <= self._step / PRECISION

    def _too_long(self, seen: Measured) -> bool:
        return seen.rounds >= MOST_ROUNDS and seen.seconds >= MOST_SECONDS

    def _changed(self, before: Measured, seen: Measured) -> bool:
        return abs(log(seen.rate / before.rate)) > CHANGED + CERTAINTY * _together(before, seen)

    def _search_anew(self, now: float, *, faster: bool) -> None:
        self._step = max(self._step, CHANGED)
        self._direction = 1 if faster else -1
        self._patience = self._rest = 0
        self._there = None
        self._rounds.measure(now, self.limit)

    # Trying

    def _next(self, now: float) -> None:
        """Try another limit, if it is time."""
        if self._kept == self.most:
            self._starting = False
            self._step = min(self._step, 2 * SMALLEST)
            self._direction = -1
        elif self._kept == 1:
            self._direction = 1
        quiet = self._direction > 0 and now < self._refusals.quiet_until
        assert self._there  # noqa: S101 - what a try is compared with
        if quiet or not self._there.saturated or self._rest < self._patience or self.most == 1:
            self._rounds.measure(now, self.limit)
            return
        self._trying = True
        self.limit = self._target()
        self._rounds.settle(self.limit)

    def _target(self) -> int:
        aim, self._aim = self._aim, 0
        if aim and (aim - self._kept) * self._direction > 0:
            return min(aim, self.most)
        if self._direction > 0:
            return min(self.most, max(self._kept + 1, round(self._kept * (1 + self._step))))
        return max(1, min(self._kept - 1, round(self._kept / (1 + self._step))))

    def _judge(self, seen: Measured, now: float) -> None:
        """Keep the limit that is tried, or go back, or go on measuring."""
        assert self._there  # noqa: S101 - what it is compared with
        step = log(self.limit / self._kept)
        growth = log(seen.rate / self._there.rate)
        gain = growth - self._worth * step
        doubt = _together(self._there, seen)
        if self._starting:
            unclear = False
            gain += doubt  # doubling until the first sign that it does not help
        else:
            pointless = doubt <= abs(step) / PRECISION or 2 * seen.noise <= self._there.noise
            if abs(gain) <= CERTAINTY * doubt and not pointless and not self._too_long(seen):
                return
            gain += 0.0 if step > 0 else doubt / 2  # if in doubt, fewer
            unclear = -doubt <= gain <= (doubt if step > 0 else 0.0)
        margin = max(SMALLEST, CERTAINTY * doubt)
        if step > 2 * SMALLEST and margin < growth < step - margin:
            self._aim = round(self._kept * seen.rate / self._there.rate)  # where the rate bends
        self._trying = False
        self._rest = 0
        if gain > 0 and not unclear:
            self._keep(seen, now)
        else:
            self._go_back(now, unclear=unclear)

    def _keep(self, seen: Measured, now: float) -> None:
        self._there = seen
        self._kept = self.limit
        self._patience = 0
        self._starting = self._starting and not self._aim
        if self._aim:
            self._direction = 1 if self._aim > self._kept else -1
            self._step = max(SMALLEST, self._step / 4)
            self._streak = 0
        elif self._direction > 0 and self._refusals.dared(now, SMALLEST / self._step):
            self._step = max(SMALLEST, self._step / 2)
        else:
            self._streak += 1
            if self._step == SMALLEST:
                self._direction = -self._direction  # to know it from what changes by itself
            elif self._streak > 1:
                self._step = min(LARGEST, 2 * self._step)
        self._next(now)

    def _go_back(self, now: float, *, unclear: bool) -> None:
        settled = self._patience > 0 or self._step == SMALLEST
        if unclear:
            self._step = min(CLEAR, 2 * self._step)
            self._direction = -self._direction
        elif self._step == SMALLEST and self._streak == 1:  # the other direction was right, then
            self._step = 2 * SMALLEST
            self._direction = -self._direction
            settled = False
        else:
            if not self._aim:
                self._direction = -self._direction
            self._step = 2 * SMALLEST if self._starting else max(SMALLEST, self._step / 2)
        if settled or unclear:
            self._patience = min(PATIENCE, 2 * self._patience + 1)
        self._starting = False
        self._streak = 0
        self.limit = self._kept
        assert self._there  # noqa: S101 - it was compared with
        if not self._patience and self._there.noise <= self._step / PRECISION:
            self._next(now)
        else:
            self._rounds.settle(self.limit)

    # What goes wrong

    def _refuse(self, now: float) -> None:
        """The vendor wants fewer calls."""
        stepped_up = self._trying and self._direction > 0
        again = stepped_up and self._step == SMALLEST
        if stepped_up:
            self._step = max(SMALLEST, self._step / 2)
        elif self._refusals.soon(now):
            at_once = self._refusals.at_once(now, self._there.usual if self._there else 0.0)
            self._retreat = min(FASTEST, 2 * self._retreat) if at_once else SMALLEST
            self._kept = max(1, min(self._kept - 1, round(self._kept / (1 + self._retreat))))
            self._there = None
        self._refusals.note(now, SMALLEST / self._step, again=again)
        self.limit = self._kept
        self._trying = self._starting = False
        self._streak = self._aim = self._patience = self._rest = 0
        self._rounds.settle(self.limit)

    def _failed(self, started: float, now: float) -> bool:
        """Note a failure; whether there was nothing else for so many calls as may be in flight."""
        if not self._row:
            self._row_since = now
        self._row += 1
        if self._row < max(10, self.limit):
            return False
        if self._trying and self._direction > 0 and not self._refusals.told(started):
            self._refuse(now)
        elif now - self._row_since >= 2 * (self._there.usual if self._there else 0.0):
            self._row = 0
            self._restart()
        return True


def _together(one: Measured, other: Measured) -> float:
    """The standard error of the difference."""
    return sqrt(one.noise**2 + other.noise**2)
