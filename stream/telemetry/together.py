"""What several workers say of themselves, as one: states for the probes and `/state.json`, counts for `/metrics`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from stream.telemetry import metrics
from stream.telemetry.state import DestinationState, Holding, PartitionState

WORST_FIRST = ("paused", "blocked", "draining", "unassigned", "suspended", "throttled", "running")
ADDED = ("counter", "histogram")  # the types that are added up; gauges are set from the states

Counts: TypeAlias = dict[tuple[str, str, tuple[tuple[str, str], ...]], float]
"""Value by metric, sample and labels."""


def together(states: Sequence[DestinationState]) -> DestinationState:
    """One destination on all workers: what they have in sum, in the state of the one that is worst off."""
    worst = min(states, key=lambda each: WORST_FIRST.index(each.state))
    partitions = (partition for each in states for partition in each.partitions)
    return replace(
        worst,
        assigned=all(each.assigned for each in states),
        lag=sum(each.lag for each in states),
        pending=sum(each.pending for each in states),
        in_flight=sum(each.in_flight for each in states),
        concurrency=sum(each.concurrency for each in states),
        oldest_pending_seconds=max(each.oldest_pending_seconds for each in states),
        seconds_since_turn=max(each.seconds_since_turn for each in states),
        partitions=tuple(sorted(partitions, key=lambda each: (each.topic, each.partition))),
    )


def absent(reason: str, since: str) -> DestinationState:
    """A destination on a worker that does not run it."""
    return DestinationState("unassigned", reason, since, False, 0, 0, 0, 0, 0.0, 0.0)


def report(snapshots: Mapping[str, DestinationState]) -> dict[str, Any]:
    """A worker's word on itself, for JSON; `read_states` and `read_counts` understand it."""
    counts = [
        (metric.name, sample.name, list(sample.labels.items()), sample.value)
        for metric in metrics.REGISTRY.collect()
        if metric.type in ADDED
        for sample in metric.samples
    ]
    return {"states": {name: asdict(state) for name, state in snapshots.items()}, "counts": counts}


def read_states(report: Mapping[str, Any]) -> dict[str, DestinationState]:
    """The states of a report."""
    return {name: _state(given) for name, given in report["states"].items()}


def _state(given: Mapping[str, Any]) -> DestinationState:
    partitions = tuple(
        PartitionState(**{**each, "holding": each["holding"] and Holding(**each["holding"])})
        for each in given["partitions"]
    )
    return DestinationState(**{**given, "partitions": partitions})


def read_counts(report: Mapping[str, Any]) -> Counts:
    """The counts of a report."""
    return {
        (metric, sample, tuple((label, value) for label, value in labels)): count
        for metric, sample, labels, count in report["counts"]
    }


def added(counts: Iterable[Counts]) -> Counts:
    """The sum; of the times at which a counter was made, the earliest."""
    total: Counts = {}
    for each in counts:
        for place, value in each.items():
            known = total.get(place)
            if known is None:
                total[place] = value
            else:
                total[place] = min(known, value) if place[1].endswith("_created") else known + value
    return total


class Together(Collector):
    """The usual metrics, with what the workers counted in the place of what this process did."""

    def __init__(self, counts: Callable[[], Counts]) -> None:
        self._counts = counts
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Each metric there is."""
        counts = self._counts()
        for metric in metrics.REGISTRY.collect():
            if metric.type in ADDED:
                metric.samples = []
                for (name, sample, labels), value in counts.items():
                    if name == metric.name:
                        metric.add_sample(sample, dict(labels), value)
            yield metric
