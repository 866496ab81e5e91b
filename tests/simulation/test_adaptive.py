"""Adaptive concurrency against simulated vendors of every kind: within a tenth of the best fixed setting.

`python -m benchmarks.adaptive` finds the best setting by a sweep and shows the whole table.
"""

import pytest

from benchmarks.adaptive.measured import SEEDS, distance, measured, within
from benchmarks.adaptive.vector import VectorLimit
from benchmarks.adaptive.vendors import BEHAVIOURS, Behaviour
from benchmarks.adaptive.world import MOST, Fixed
from stream.core.concurrency import AdaptiveLimit

named = pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=[each.name for each in BEHAVIOURS])
better: list[str] = []


@named
def test_it_is_within_a_tenth_of_the_best_setting(behaviour: Behaviour) -> None:
    """In calls delivered and in how long each takes, cold start included."""
    best = measured(behaviour, lambda: Fixed(behaviour.best), SEEDS[:1])

    ours = measured(behaviour, lambda: AdaptiveLimit(MOST))

    assert within(ours, best), f"{ours.rate / best.rate:.3f} of the rate, {ours.latency / best.latency:.3f} of the time"
    vectors = measured(behaviour, lambda: VectorLimit(MOST), SEEDS[:1])
    if distance(ours, best) < distance(vectors, best):
        better.append(behaviour.name)


def test_it_is_better_than_vectors_rules_in_most() -> None:
    """Counted by the tests above."""
    assert len(better) > len(BEHAVIOURS) / 2, better


def test_it_stays_where_the_rate_limit_bounds() -> None:
    """More calls in flight gain nothing there."""
    [behaviour] = [each for each in BEHAVIOURS if each.rate_limit]

    found = measured(behaviour, lambda: AdaptiveLimit(MOST), SEEDS[:1])

    assert found.changes < 10
    assert found.highest <= 20
