"""Each behaviour under each way to bound the calls in flight, averaged over seeds. How it is shown is `__main__`'s."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean

from benchmarks.adaptive.vector import VectorLimit
from benchmarks.adaptive.vendors import BEHAVIOURS, Behaviour
from benchmarks.adaptive.world import MOST, CallLimit, Figures, Fixed, World
from stream.core.concurrency import AdaptiveLimit

SEEDS = (1, 2, 3)
SETTINGS: tuple[int, ...] = (*range(1, 17), *range(18, 33, 2), 36, 40, 44, 48, 56, MOST)  # that the sweep tries
AS_FAST = 0.98  # of the highest rate: what differs less is as fast
AIM = 0.1  # how much less of the rate, or more of the latency, may be found


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour: the best fixed setting, ours, and Vector's rules."""

    behaviour: Behaviour
    best: int
    fixed: Figures
    ours: Figures
    vector: Figures

    @property
    def met(self) -> bool:
        """Whether ours is within the aim."""
        return within(self.ours, self.fixed)

    @property
    def recorded(self) -> bool:
        """Whether the setting that the tests take for the best is as good as the one found."""
        if self.best == self.behaviour.best:
            return True
        return distance(of_fixed(self.behaviour, self.behaviour.best), self.fixed) <= 1.5 * (1 - AS_FAST)

    @property
    def better(self) -> bool:
        """Whether ours does better than Vector's rules: nearer to the best setting in what is further off."""
        return distance(self.ours, self.fixed) < distance(self.vector, self.fixed)


def within(found: Figures, best: Figures) -> bool:
    """Whether the rate is at most a tenth lower and the latency at most a tenth higher."""
    return found.rate >= (1 - AIM) * best.rate and found.latency <= (1 + AIM) * best.latency


def distance(found: Figures, best: Figures) -> float:
    """How much is missing of the best setting's rate, or how much is added to its latency: the worse of the two."""
    return max(0.0, 1 - found.rate / best.rate, found.latency / best.latency - 1)


def measured(behaviour: Behaviour, limit: Callable[[], CallLimit], seeds: Iterable[int] = SEEDS) -> Figures:
    """What a behaviour comes to, on average of the seeds."""
    runs = [World(behaviour, limit, seed=seed).live() for seed in seeds]
    return Figures(*(fmean(getattr(run, name) for run in runs) for name in Figures.__slots__))


def best_setting(behaviour: Behaviour) -> int:
    """The best of the fixed settings: throughput first, so the lowest latency among those that are as fast as any."""
    swept = {setting: of_fixed(behaviour, setting, SEEDS[:1]) for setting in SETTINGS}
    highest = max(figures.rate for figures in swept.values())
    as_fast = [setting for setting, figures in swept.items() if figures.rate >= AS_FAST * highest]
    return min(as_fast, key=lambda setting: (round(swept[setting].latency, 3), setting))


def of_fixed(behaviour: Behaviour, setting: int, seeds: Iterable[int] = SEEDS) -> Figures:
    """What it comes to with a number."""
    return measured(behaviour, lambda: Fixed(setting), seeds)


def rows(*, sweep: bool) -> Iterable[Row]:
    """Each behaviour, measured. *sweep*: look for the best setting, instead of taking the recorded one."""
    for behaviour in BEHAVIOURS:
        best = best_setting(behaviour) if sweep else behaviour.best
        yield Row(
            behaviour,
            best,
            fixed=of_fixed(behaviour, best),
            ours=measured(behaviour, lambda: AdaptiveLimit(MOST)),
            vector=measured(behaviour, lambda: VectorLimit(MOST)),
        )
