"""What several workers say of themselves, as one page: states, reasons, counters that never fall."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.errors import Bug, Exit, UserError
from stream.telemetry import metrics
from stream.telemetry.server import is_ready
from stream.telemetry.state import DestinationState, Holding, PartitionState
from stream.telemetry.together import Counts, Together, absent, added, read_counts, read_states, report, together
from stream.workers.process import Ended, last_words, read_end, understood

SINCE = "2026-06-06T10:30:00+00:00"
WELL = DestinationState("running", None, SINCE, True, 10, 4, 2, 32, 1.5, 0.1)


def part(number: int, holding: Holding | None = None) -> PartitionState:
    return PartitionState("crm.events", number, 5, 10, 5, holding)


def test_what_workers_have_is_added_up() -> None:
    """Partitions in their order, the oldest event of all, the one that has stood still for longest."""
    first = replace(WELL, partitions=(part(0), part(2)))
    second = replace(WELL, lag=5, oldest_pending_seconds=9.0, seconds_since_turn=4.0, partitions=(part(1),))

    both = together([first, second])

    assert replace(WELL, lag=15, pending=8, in_flight=4, concurrency=64) == replace(
        both, partitions=(), oldest_pending_seconds=1.5, seconds_since_turn=0.1
    )
    assert (9.0, 4.0) == (both.oldest_pending_seconds, both.seconds_since_turn)
    assert [0, 1, 2] == [each.partition for each in both.partitions]


@pytest.mark.parametrize("state", ["paused", "blocked", "draining", "unassigned", "suspended", "throttled"])
def test_the_worst_state_is_shown(state: str) -> None:
    """With its own reason and time, whichever worker is in it."""
    bad = replace(WELL, state=state, reason="for a reason", since="2026-06-06T11:00:00+00:00")

    both = together([WELL, bad, WELL])

    assert (state, "for a reason", bad.since) == (both.state, both.reason, both.since)


def test_a_worker_that_is_missing_makes_all_unready() -> None:
    """And says why."""
    both = together([WELL, absent("worker 1 ended with SIGKILL and is started again", SINCE)])

    assert not is_ready(both)
    assert "worker 1 ended with SIGKILL and is started again" == both.reason
    assert 10 == both.lag


def sent(words: Mapping[str, Any]) -> Any:
    """As it arrives at the other end of the pipe."""
    return orjson.loads(orjson.dumps(words))


def test_a_state_is_the_same_on_the_other_side() -> None:
    """Partitions with what holds them too."""
    state = replace(WELL, partitions=(part(0), part(1, Holding(5, "not settled"))))

    assert {"attio": state} == read_states(sent(report({"attio": state})))


def test_counts_are_added_under_their_usual_names() -> None:
    """Counters and histograms; when they were made is the earliest time. Gauges are left to the states."""
    meters = metrics.Meters("together")
    meters.delivered.inc(3)
    meters.request("200", 0.02)
    metrics.PENDING.labels("together").set(7)
    one = read_counts(sent(report({})))

    shown = measured(Together(lambda: added([one, one])).registry)

    own = measured(metrics.REGISTRY)
    assert own.keys() == shown.keys()
    assert 6.0 == shown["crmstream_events_total", "delivered"]
    assert 2.0 == shown["crmstream_requests_total", "200"]
    assert 2.0 == shown["crmstream_request_seconds_bucket", "0.025"]
    assert 0.0 == shown["crmstream_request_seconds_bucket", "0.01"]
    assert 7.0 == shown["crmstream_pending", ""]
    assert own["crmstream_events_created", "delivered"] == shown["crmstream_events_created", "delivered"]


def measured(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """The samples of our destination by name and their other label, as a scraper reads them."""
    return {
        (sample.name, "".join(value for label, value in sample.labels.items() if label != "destination")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.labels.get("destination") == "together"
    }


def test_counts_of_different_places_stay_apart() -> None:
    """A destination that only one worker has counted anything for is there as it is."""
    attio: Counts = {("crmstream_events", "crmstream_events_total", (("destination", "attio"),)): 3.0}
    other: Counts = {("crmstream_events", "crmstream_events_total", (("destination", "other"),)): 4.0}

    assert attio | other == added([attio, other])


# How one ended


def test_an_error_that_a_user_can_act_on_is_handed_on_whole() -> None:
    """With its hint and exit code; it comes before bugs that a task group brought along."""
    errors = [Bug("unexpected KeyError at x.py:1"), UserError("no topic", "create it", Exit.REFUSED)]

    ended = read_end(3, sent(last_words(errors)))

    assert ended.error is not None
    assert ("no topic", "create it", Exit.REFUSED) == (ended.error.text, ended.error.hint, ended.error.exit_code)


def test_a_crash_is_no_error_of_the_users() -> None:
    """It is told in the log, with what and where it was."""
    ended = read_end(1, sent(last_words([Bug("unexpected KeyError at x.py:1")])))

    assert ended.error is None
    assert "ended with exit code 1 (unexpected KeyError at x.py:1)" == str(ended)


def test_a_word_that_death_cut_short_is_none() -> None:
    """It would end the parent, and with it all the others."""
    assert {"states": {}} == understood(b'{"states": {}}\n')
    assert {} == understood(b'{"states": {}')


@pytest.mark.parametrize(
    "code, said", [(-9, "ended with SIGKILL"), (-11, "ended with SIGSEGV"), (-40, "signal 40"), (7, "exit code 7")]
)
def test_one_that_could_not_say_anything_is_told_by_its_signal(code: int, said: str) -> None:
    """Or its exit code."""
    assert said in str(read_end(code, {}))
    assert isinstance(read_end(code, {}), Ended)
