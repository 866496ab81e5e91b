"""Counters and histograms that one thread adds to, many times an event: an addition, where the library's take a lock.

They are the library's on the page: it asks `collect` when somebody asks it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from time import time
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """How many, of one combination of labels."""

    __slots__ = ("created", "value")

    def __init__(self) -> None:
        self.value = 0
        self.created = time()

    def inc(self, amount: int = 1) -> None:
        """So many more."""
        self.value += amount


class Times:
    """How many lasted how long, of one combination of labels."""

    __slots__ = ("_bounds", "counts", "created", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds  # seconds, rising
        self.counts = [0] * (len(bounds) + 1)  # up to each bound and above the one before; the last: above all
        self.sum = 0.0
        self.created = time()

    def observe(self, seconds: float) -> None:
        """One that lasted so long."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds


Child = TypeVar("Child", Count, Times)


class _Family(Collector, Generic[Child]):
    """All combinations of labels, in the order in which they were first asked for."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        child: Callable[[], Child],
    ) -> None:
        self._about = name, documentation
        self._labels = labels
        self._child: Callable[[], Child] = child
        self._children: dict[tuple[str, ...], Child] = {}
        registry.register(self)

    def labels(self, *values: str) -> Child:
        """The child of these labels' values."""
        if values not in self._children:
            self._children[values] = self._child()
        return self._children[values]


class Counts(_Family[Count]):
    """A counter with labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        super().__init__(name, documentation, labels, registry, Count)

    def collect(self) -> Iterable[Metric]:
        """As the page shows it."""
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for values, count in self._children.items():
            family.add_metric(values, count.value, created=count.created)
        return [family]


class Histogram(_Family[Times]):
    """Durations with labels, in buckets of seconds."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        super().__init__(name, documentation, labels, registry, lambda: Times(buckets))
        self._bounds = [*map(floatToGoString, buckets), "+Inf"]

    def collect(self) -> Iterable[Metric]:
        """As the page shows it."""
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        for values, times in self._children.items():
            family.add_metric(values, list(zip(self._bounds, accumulate(times.counts), strict=True)), times.sum)
            family.add_sample(f"{family.name}_created", dict(zip(self._labels, values, strict=True)), times.created)
        return [family]
