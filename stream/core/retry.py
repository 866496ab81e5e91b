"""How long a failed key, or a probe, waits."""

from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with equal jitter: delay n is uniform in [½, 1] x min(longest, base x 2ⁿ⁻¹) seconds."""

    base: float
    longest: float
    random: Random = field(default_factory=Random)

    def delay(self, n: int) -> float:
        """Seconds to wait after failure number *n*, counted from 1."""
        ceiling = min(self.longest, self.base * 2.0 ** min(n - 1, 63))
        return ceiling * (0.5 + self.random.random() / 2)
