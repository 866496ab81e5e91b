"""The rate limit as the vendor sees it, and how many burials are too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.limits import BurialLimit, RateLimit, RateLimits

RATES = st.sampled_from([0.5, 3.0, 5.0, 20.0, 80.0, 1000.0])
PAUSES = st.lists(st.floats(0, 2) | st.just(0.0) | st.floats(0, 0.02), min_size=1, max_size=80)


def sent(limit: RateLimit, pauses: list[float], now: float = 0.0) -> list[float]:
    """When the vendor sees requests that are made after these pauses, each as soon as it may go."""
    times = []
    for pause in pauses:
        now += pause
        times.append(now + limit.reserve(now))
    return times


def most_above(times: list[float], rate: float) -> float:
    """By how many requests any window between two of them holds more than *rate* allows."""
    return max(
        last - first + 1 - rate * (times[last] - times[first])
        for first in range(len(times))
        for last in range(first, len(times))
    )


@given(RATES, PAUSES)
def test_no_window_holds_more_than_the_rate_and_the_burst(rate: float, pauses: list[float]) -> None:
    """Whenever requests are made: 50 ms worth of them may come at once, and always a single one."""
    times = sent(RateLimit(rate), pauses)

    assert most_above(times, rate) <= max(1.0, rate * RateLimit.BURST) + 1e-6


@given(st.lists(st.tuples(st.floats(0, 30), RATES), min_size=1, max_size=5), PAUSES)
def test_a_new_share_starts_with_an_empty_bucket(shares: list[tuple[float, float]], pauses: list[float]) -> None:
    """Rebalances do not add up to more than the highest share allowed."""
    limit = RateLimit(20.0)
    times: list[float] = []
    for pause, rate in shares:
        now = (times[-1] if times else 0.0) + pause
        limit.share(rate, now)
        times += sent(limit, pauses, now)

    highest = max(20.0, *(rate for _, rate in shares))
    assert most_above(times, highest) <= max(1.0, highest * RateLimit.BURST) + 1e-6


def test_requests_are_spaced_evenly() -> None:
    """Who comes early waits for a turn of its own."""
    limit = RateLimit(5.0)

    assert [0.2, 0.4, 0.6] == pytest.approx([limit.reserve(0.0) for _ in range(3)])


def test_the_bucket_starts_empty() -> None:
    """Two processes that follow each other do not send two bursts."""
    assert pytest.approx(0.2) == RateLimit(5.0, now=100.0).reserve(100.0)


def test_an_idle_limit_saves_up_no_more_than_a_moment() -> None:
    """After an hour without requests, 50 ms worth of them goes at once."""
    limit = RateLimit(100.0)

    assert 5 == sum(limit.reserve(3600.0) < 0.001 for _ in range(20))


def test_a_late_timer_loses_nothing() -> None:
    """Who comes some milliseconds after its time does not push the others back."""
    limit = RateLimit(100.0, now=0.0)
    limit.reserve(0.013)

    assert pytest.approx(0.007) == limit.reserve(0.013)


def test_a_turn_that_was_not_used_goes_to_the_next() -> None:
    """As when a call does not fit its deadline."""
    limit = RateLimit(5.0)
    limit.reserve(0.0)
    wait = limit.reserve(0.0)

    limit.cancel()

    assert pytest.approx(wait) == limit.reserve(0.0)


def test_it_says_when_the_next_may_go() -> None:
    """Senders look before they take a message, so that a message in hand does not wait."""
    limit = RateLimit(5.0)

    assert 0.2 == limit.free_at()
    limit.reserve(0.2)
    assert 0.4 == limit.free_at()


def test_a_member_s_share_of_the_rate_is_slower() -> None:
    """A quarter of the partitions, a quarter of the rate; what was promised before is kept."""
    limit = RateLimit(20.0, now=0.0)
    limit.reserve(0.0)

    limit.share(5.0, now=0.0)

    assert [0.2, 0.4] == pytest.approx([limit.reserve(0.0) for _ in range(2)])


def test_without_a_rate_nobody_waits() -> None:
    """Not at once, not after a share is set free."""
    limit = RateLimit(None)
    assert {0.0} == {limit.reserve(1.0) for _ in range(1000)}
    assert limit.free_at() <= 1.0

    limit = RateLimit(0.1)
    limit.share(None, now=1.0)
    assert {0.0} == {limit.reserve(1.0) for _ in range(1000)}


# Burials


def reached(limit: BurialLimit, verdicts: str) -> list[int]:
    """The verdicts, counted from 1, at which the limit was reached; b is a burial, d a delivery."""
    return [n for n, verdict in enumerate(verdicts, 1) if limit.record(buried=verdict == "b")]


@pytest.mark.parametrize(
    "percent, of, allowed",
    [
        (50, 1000, 500),
        (100, 1000, 1000),
        (0.07, 10000, 7),  # not 8, as floats would have it
        (0.29, 100, 1),
        (33.3, 1000, 333),
        (33.4, 10, 4),  # rounded up
        (0.001, 10, 1),
    ],
)
def test_the_share_is_counted_exactly(percent: float, of: int, allowed: int) -> None:
    """⌈P·N/100⌉ of what the file says in decimal (design, section 10)."""
    assert allowed == BurialLimit(percent, of).allowed


def test_the_count_decides_before_there_are_n_verdicts() -> None:
    """A bad deployment stops early."""
    assert [5] == reached(BurialLimit(50, 10), "bbbbb")


def test_only_the_last_n_verdicts_count() -> None:
    """Burials that lie further back are forgotten one by one."""
    assert [] == reached(BurialLimit(50, 10), "bbbb" + "dddddddddd" + "bbbb")
    assert [15] == reached(BurialLimit(50, 10), "bbbb" + "dddddd" + "bbbb" + "b")


def test_a_delivery_never_reaches_the_limit() -> None:
    """It would pause a destination that is getting better."""
    assert [1, 3] == reached(BurialLimit(50, 2), "bdbd")


def test_after_a_resume_the_list_starts_empty() -> None:
    """Or the first burial afterwards would pause it again."""
    limit = BurialLimit(50, 10)
    reached(limit, "bbbbb")

    limit.clear()

    assert [5] == reached(limit, "bbbbb")


def test_each_limit_of_a_vendor_is_shared_out() -> None:
    """A member with a quarter of the partitions has a quarter of each rate; what has no rate stays without."""
    limits = RateLimits({"contacts": 20.0, "other": 10.0, "free": None}, now=0.0)

    limits.share(0.25, now=0.0)

    intervals = {name: limit.interval for name, limit in limits.by_name.items()}
    assert {"contacts": pytest.approx(0.2), "other": pytest.approx(0.4), "free": 0.0} == intervals
    assert limits.by_name["contacts"] is limits.first
