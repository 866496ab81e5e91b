"""The rate limit as the vendor sees it, and how many burials are too many."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.limits import BurialLimit, Limit, Quota, RateLimit, RateLimits, turn_of

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
    most, fullest = 0.0, 0.0  # of a window that ends here: from wherever it is fullest
    for number, time in enumerate(times):
        fullest = max(fullest, rate * time - number)
        most = max(most, fullest + number + 1 - rate * time)
    return most


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


def test_a_group_s_members_have_their_turns_one_after_the_other() -> None:
    """Whichever partition is the first of each: a tenth of an interval holds about a tenth of the turns."""
    for partitions in (range(100), range(0, 3000, 3), range(500, 600)):
        turns = [turn_of(partition) for partition in partitions]

        assert 0.0 < min(turns) <= max(turns) <= 1.0
        tenths = Counter(int(turn * 9.999) for turn in turns)
        assert 0.07 * len(turns) <= min(tenths.values()) <= max(tenths.values()) <= 0.13 * len(turns)


def test_who_is_alone_begins_with_an_empty_bucket() -> None:
    """It has the first partition, and waits for a whole interval."""
    assert 1.0 == turn_of(0)


def test_a_share_begins_with_the_member_s_turn() -> None:
    """A part of an interval later; then one request each interval."""
    limit = RateLimit(20.0)

    limit.share(5.0, 10.0, turn=0.25)

    assert [0.05, 0.25] == pytest.approx([limit.reserve(10.0) for _ in range(2)])


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


# Shares that come and go

NEVER = float("inf")


def test_without_a_share_nothing_may_start() -> None:
    """Between two assignments the rate is for the other members, also where it has no bound."""
    limits = RateLimits({"contacts": 20.0, "free": None})

    limits.hold(now=1.0)
    limits.hold(now=2.0)

    for limit in limits.by_name.values():
        assert (NEVER, NEVER) == (limit.free_at(), limit.reserve(2.0))
        limit.cancel()
        assert NEVER == limit.free_at()


def test_a_share_after_a_hold_keeps_what_was_promised_before() -> None:
    """A turn that was given away before the rebalance and comes after it takes its place."""
    limits = RateLimits({"": 1.0, "free": None}, now=0.0)
    assert [1.0, 2.0] == [limits.first.reserve(0.0) for _ in range(2)]

    limits.hold(now=0.1)
    limits.share(0.5, now=0.2)

    assert 3.0 == limits.first.free_at()
    assert 0.2 == limits.by_name["free"].free_at()
    limits.hold(now=10.0)
    limits.share(0.5, now=10.0)
    assert 12.0 == limits.first.free_at()


SPLITS = st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any)  # partitions of each of four members


@given(RATES, st.lists(st.tuples(SPLITS, st.floats(0, 2), st.floats(0, 3)), min_size=1, max_size=5))
def test_members_keep_to_the_rate_together_whatever_rebalances_do(
    rate: float, rebalances: list[tuple[list[int], float, float]]
) -> None:
    """All of them always busy; at a rebalance all give up before anyone gets: one request a member above the rate."""
    members = [RateLimits({"": rate}) for _ in range(4)]
    times: list[float] = []
    now = 0.0
    for split, between, until in rebalances:
        for member in members:
            member.hold(now)
        now += between
        for member, partitions in zip(members, split, strict=True):
            if partitions:
                member.share(partitions / sum(split), now)
        for member in members:
            while member.first.free_at() < now + until and len(times) < 2000:
                at = max(now, member.first.free_at())
                times.append(at + member.first.reserve(at))
        now += until

    assert most_above(sorted(times), rate) <= len(members) + rate * RateLimit.BURST + 1e-6


# One quota for several destinations


def pooled(rate: float, *parts: float, destinations: int) -> list[Limit]:
    """The lanes of one process that has these parts of its destinations' partitions."""
    quota = Quota({"": rate}, destinations)
    lanes = [quota.limits() for _ in parts]
    for lane, part in zip(lanes, parts, strict=True):
        lane.share(part, 0.0)
    return [lane.first for lane in lanes]


def busy(lanes: list[Limit], seconds: float, late: float = 0.001) -> list[int]:
    """How many turns each lane gets, all of them always wanting one; their timers ring in order of time, then turn."""
    turns, now = [0] * len(lanes), 0.0
    due = [lane.free_at() for lane in lanes]
    while (now := max(now, min(due)) + late) < seconds:
        for number in sorted(range(len(lanes)), key=lambda each: due[each]):
            if due[number] <= now and lanes[number].free_at() <= now:
                lanes[number].reserve(now)
                turns[number] += 1
            due[number] = lanes[number].free_at()
    return turns


def test_two_destinations_of_a_quota_have_one_rate_together() -> None:
    """Both busy: half the turns each."""
    first, second = busy(pooled(10.0, 1.0, 1.0, destinations=2), seconds=100)

    assert 950 <= first + second <= 1000
    assert abs(first - second) <= 2


def test_what_one_destination_leaves_the_other_may_use() -> None:
    """The idle one costs it next to nothing."""
    [turns] = busy(pooled(10.0, 1.0, 1.0, destinations=2)[:1], seconds=100)

    assert 950 <= turns <= 1000


def test_a_process_has_the_mean_of_its_parts() -> None:
    """Half of one destination's partitions, a quarter of another's, none of a third's: a quarter of the rate."""
    lanes = pooled(10.0, 0.5, 0.25, destinations=3)

    assert [0.4, 0.4] == pytest.approx([lane.interval for lane in lanes])


def test_a_destination_without_partitions_takes_its_part_along() -> None:
    """The other goes on with what is its own."""
    quota = Quota({"": 10.0}, 2)
    first, second = quota.limits(), quota.limits()
    first.share(1.0, 0.0)
    second.share(1.0, 0.0)

    first.hold(1.0)

    assert (NEVER, NEVER) == (first.first.free_at(), first.first.reserve(1.0))
    assert pytest.approx(0.2) == second.first.interval
    assert pytest.approx(1.2) == second.first.free_at()
    second.hold(2.0)
    first.share(0.5, 2.0)
    assert NEVER == second.first.free_at()
    assert pytest.approx(2.4) == first.first.free_at()


@given(RATES, st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.3)), min_size=1, max_size=60))
def test_no_window_of_a_quota_holds_more_than_its_rate(rate: float, calls: list[tuple[int, float]]) -> None:
    """Whichever of three destinations calls, whenever."""
    lanes = pooled(rate, 1.0, 1.0, 1.0, destinations=3)
    times, now = [], 0.0
    for lane, pause in calls:
        now += pause
        times.append(now + lanes[lane].reserve(now))

    assert most_above(times, rate) <= max(1.0, rate * RateLimit.BURST) + 1e-6


def test_each_limit_of_a_vendor_is_pooled_by_its_name() -> None:
    """Contacts with contacts, the rest with the rest; and a turn given back is anyone's."""
    quota = Quota({"contacts": 20.0, "other": 10.0}, 2)
    first, second = quota.limits(), quota.limits()
    for limits in (first, second):
        limits.share(1.0, 0.0)
    turn = first.by_name["contacts"].reserve(0.0)

    assert pytest.approx(turn + 0.05) == second.by_name["contacts"].reserve(0.0)
    second.by_name["contacts"].cancel()
    assert pytest.approx(turn + 0.05) == first.by_name["contacts"].reserve(0.0)
    assert pytest.approx(0.1) == second.by_name["other"].reserve(0.0)  # none was taken there
    assert first.first is first.by_name["contacts"]
