"""Our counters on the page, beside the library's own with the same in them."""

import re

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client import Histogram as Theirs

from stream.telemetry.counting import Counts, Histogram

BUCKETS = (0.001, 0.5, 1, 10)


def page(registry: CollectorRegistry) -> str:
    """Without the moments at which the counters were made."""
    return re.sub(r"(_created\{.*\}) .*", r"\1", generate_latest(registry).decode())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5))))
def test_counters_are_shown_as_the_library_shows_its_own(added: list[tuple[str, int]]) -> None:
    """Also those to which nothing was added."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("events", "Events.", ["of"], registry=ours)
    counter = Counter("events", "Events.", ["of"], registry=theirs)
    for name, amount in added:
        counts.labels(name).inc(amount)
        counter.labels(name).inc(amount)

    assert page(theirs) == page(ours)


@given(st.lists(st.floats(0, 20) | st.sampled_from(BUCKETS)))
def test_histograms_are_shown_as_the_library_shows_its_own(lasted: list[float]) -> None:
    """A bound belongs to its bucket."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    times = Histogram("seconds", "Times.", ["of"], buckets=BUCKETS, registry=ours).labels("a")
    histogram = Theirs("seconds", "Times.", ["of"], buckets=BUCKETS, registry=theirs).labels("a")
    for seconds in lasted:
        times.observe(seconds)
        histogram.observe(seconds)

    assert page(theirs) == page(ours)
