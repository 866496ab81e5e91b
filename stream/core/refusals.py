"""What it costs to call a vendor too much, and when it is worth the risk again. Decides nothing else."""

NEVER = float("inf")
PAUSES = 20  # what a refusal cost, so many times over, passes before the next
REPEATS = 3  # times that this is doubled
CHEAPEST = 0.05  # seconds


class Refusals:
    """When the vendor wanted fewer calls, and how long nothing was sent then. Times are monotonic seconds."""

    __slots__ = (
        "_at",
        "_before",
        "_cost",
        "_proving",
        "_repeats",
        "_resumed_at",
        "_share",
        "_since",
        "paused",
        "quiet_until",
    )

    def __init__(self) -> None:
        self._at = -NEVER
        self.forget()

    def forget(self) -> None:
        """As if there had been none; but what began before the last is still old news."""
        self.paused = False  # until a call that began after it is answered
        self.quiet_until = -NEVER  # no step up before
        self._before = self._resumed_at = self._since = -NEVER
        self._cost = 0.0  # 0: none is remembered
        self._share = 0.0
        self._repeats = 0
        self._proving = False

    def told(self, started: float) -> bool:
        """Whether a call that began then was under way when the last refusal came: it can only say the same."""
        return started <= self._at

    def soon(self, now: float) -> bool:
        """Whether the last was so lately that they take more than a twentieth of the time."""
        return self.paused or now < self._before

    def at_once(self, now: float, usual: float) -> bool:
        """Whether hardly a call was answered since the last."""
        return self.paused or now - self._resumed_at < 2 * usual

    def note(self, now: float, share: float, *, again: bool) -> None:
        """There is one. *share* of the pauses is how long it keeps quiet; *again*: it was to be expected."""
        self._repeats = min(REPEATS, self._repeats + 1) if again or self._proving else self._repeats
        self._share = share
        self._proving = False
        self._at = now
        if not self.paused:
            self._since = now
        self.paused = True
        self.quiet_until = NEVER

    def resume(self, now: float) -> None:
        """Calls go on: what it cost is known."""
        self.paused = False
        self._resumed_at = now
        self._cost = max(now - self._since, CHEAPEST)
        self._before = now + PAUSES * self._cost
        self.quiet_until = now + self._quiet()

    def dared(self, now: float, share: float) -> bool:
        """A step up was taken and not refused so far; False where none is remembered. The second proves the first."""
        if not self._cost:
            return False
        if self._proving:
            self.forget()
        else:
            self._proving = True
            self._share = share
            self.quiet_until = now + self._quiet()
        return True

    def _quiet(self) -> float:
        return self._share * self._cost * (PAUSES << self._repeats)
