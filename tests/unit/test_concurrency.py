"""The limit that is found by measuring: what makes it rise, what it does not answer to, what brings it down."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import pytest

from stream.core.concurrency import INITIAL, AdaptiveLimit

Vendor = Callable[[int], float]
"""Seconds that a call takes, by how many are in flight with it."""


def steady(seconds: float = 0.1) -> Vendor:
    return lambda _: seconds


def workers(count: int) -> Vendor:
    return lambda in_flight: 0.1 * max(1.0, in_flight / count)


class Days:
    """A limit and its vendor: always enough to do, up to *at_most* calls in flight."""

    def __init__(self, most: int = 64, start: float = 0.0, at_most: int = 1 << 30) -> None:
        self.limit = AdaptiveLimit(most)
        self.now = start
        self.at_most = at_most
        self.seen: list[int] = []  # the limits, call by call
        self.pauses = 0
        self._flying: list[tuple[float, int, float]] = []

    def pass_(
        self, seconds: float, vendor: Vendor, *, good: bool = True, fail_every: int = 0, refuse_above: int = 1 << 30
    ) -> None:
        """So long with this vendor, which refuses at once what is too much, and then wants a second's pause."""
        until, resume = self.now + seconds, self.now
        while self.now < until:
            while self.now >= resume and len(self._flying) < min(self.limit.limit, self.at_most):
                self.limit.begin(self.now)
                crowd = len(self._flying) + 1
                takes = 0.001 if crowd > refuse_above else vendor(crowd)
                heappush(self._flying, (self.now + takes, crowd, self.now))
            if not self._flying:
                self.now = resume
                continue
            self.now, crowd, started = heappop(self._flying)
            refused = crowd > refuse_above
            if refused:
                self.pauses += self.now > resume
                resume = self.now + 1.0
            failed = not good or (fail_every and len(self.seen) % fail_every == 0)
            self.limit.end(started, self.now, good=int(not failed and not refused), refused=refused)
            self.seen.append(self.limit.limit)


def found(seconds: float, vendor: Vendor, **given: int) -> int:
    """The limit after so long with a vendor."""
    days = Days(**given)
    days.pass_(seconds, vendor)
    return days.limit.limit


def test_it_begins_with_few() -> None:
    """Nobody knows yet what the vendor takes."""
    assert INITIAL == AdaptiveLimit(128).limit


@pytest.mark.parametrize("most", [2, 3])
def test_a_small_bound_is_kept_from_the_first_call(most: int) -> None:
    """Also where it is below what it would begin with."""
    days = Days(most=most)

    days.pass_(10.0, steady())

    assert most == AdaptiveLimit(most).limit
    assert max(days.seen) == most


def test_it_doubles_until_the_bound() -> None:
    """From 4 to 64 in four steps of two rounds each, and one to begin with: a second at a tenth each."""
    days = Days(most=64)

    days.pass_(1.2, steady())

    assert [4, 8, 16, 32, 64] == [*sorted({*days.seen})[:4], max(days.seen)]
    assert days.limit.limit >= 52  # it has begun to see whether fewer do


@pytest.mark.parametrize("count", [3, 10, 40])
def test_it_finds_how_many_the_vendor_works_on_at_once(count: int) -> None:
    """More would only wait there."""
    assert found(60.0, workers(count), most=128) == pytest.approx(count, rel=0.15, abs=1)


def test_what_is_bounded_otherwise_starts_no_try() -> None:
    """A rate limit, or too little work: the limit stays where it is, however long that lasts."""
    days = Days(at_most=3)

    days.pass_(600.0, steady())

    assert {INITIAL} == set(days.seen)


def test_what_is_refused_is_not_tried_again_soon() -> None:
    """The pauses that the refusals cost stay a small part of the time."""
    days = Days()

    days.pass_(300.0, steady(), refuse_above=20)

    assert 18 <= days.limit.limit <= 20
    assert days.pauses <= 300 / 20


def test_a_lower_bound_of_the_vendors_is_found_too() -> None:
    """It was 40, and is 10 now."""
    days = Days()
    days.pass_(60.0, steady(), refuse_above=40)

    days.pass_(60.0, steady(), refuse_above=10)

    assert 6 <= days.limit.limit <= 10


def test_it_follows_a_vendor_that_gets_slower_and_faster() -> None:
    """Thirty at once, then eight, then thirty again."""
    days = Days()
    limits = []

    for count in (30, 8, 30):
        days.pass_(60.0, workers(count))
        limits.append(days.limit.limit)

    assert limits == pytest.approx([30, 8, 30], rel=0.2)


def test_a_vendor_that_is_slower_for_all_loses_no_calls() -> None:
    """Fewer in flight would not make it faster."""
    days = Days()
    days.pass_(30.0, steady(0.1))

    days.pass_(60.0, steady(0.5))

    assert days.limit.limit > 50


def test_after_an_outage_it_begins_from_the_start_and_is_soon_back() -> None:
    """A vendor that just came up is not met with all there is."""
    days = Days()
    days.pass_(30.0, workers(30))

    days.pass_(10.0, steady(0.01), good=False)
    begins = days.limit.limit
    days.pass_(3.0, workers(30))

    assert INITIAL == begins
    assert days.limit.limit > 20


def test_single_failures_change_nothing() -> None:
    """One event in ten that the vendor cannot digest is no reason to call it less."""
    days = Days()

    days.pass_(60.0, steady(), fail_every=10)

    assert days.limit.limit > 50


def test_time_counts_from_anywhere() -> None:
    """Only differences are looked at: neither zero nor a large time is special."""
    early, late = Days(start=0.0), Days(start=2.0**30)

    for days in (early, late):
        days.pass_(20.0, workers(16))

    assert late.limit.limit == pytest.approx(early.limit.limit, abs=2)


@pytest.mark.parametrize("part, gains", [(1.0, True), (0.5, False)])
def test_what_others_lose_by_it_is_no_gain(part: float, gains: bool) -> None:
    """Twenty calls of another member wait there too: more of one's own get a larger share of the same rate."""

    def shared(in_flight: int) -> float:
        return 0.1 * max(1.0, (in_flight + 20) / 20)

    days = Days()
    days.limit.share(part)

    days.pass_(60.0, shared)

    assert gains == (days.limit.limit > 20)


def test_a_clock_of_whole_milliseconds_is_fine_enough() -> None:
    """Some event loops have no better; calls to a vendor next door are shorter."""
    limit, now = AdaptiveLimit(16), 1000.0
    started: list[float] = []

    for call in range(20_000):
        now += 0.0002
        shown = round(now, 3)
        if len(started) == limit.limit:
            limit.end(started.pop(0), shown, good=1)
        limit.begin(shown)
        started.append(shown)
        if call % 7 == 0:
            limit.end(started.pop(), shown, good=1)

    assert 1 <= limit.limit <= 16


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_it_stays_within_its_bounds(seed: int) -> None:
    """Answers, failures, refusals and silence in any order and after any time."""
    random = Random(seed)
    limit, now = AdaptiveLimit(random.choice([2, 5, 64])), 0.0
    started: list[float] = []

    for _ in range(3000):
        now += random.choice([0.0, 0.0, 0.001, 0.05, 30.0 * (random.random() < 0.01)])
        if random.random() < 0.01:
            limit.share(random.random())
        if started and (len(started) >= limit.limit or random.random() < 0.5):
            call = started.pop(random.randrange(len(started)))
            limit.end(call, now, random.choice([0, 1, 1, 7]), refused=random.random() < 0.05)
        else:
            limit.begin(now)
            started.append(now)
        assert 1 <= limit.limit <= limit.most
        assert len(started) == limit.in_flight
