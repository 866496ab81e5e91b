"""Delivery with as many calls in flight as are found to pay, in virtual time."""

from collections.abc import Sequence
from typing import Any

from stream.adapting import AdaptiveDelivery
from stream.core.concurrency import INITIAL
from stream.core.outcomes import DELIVERED, Outcome, Retry, Throttled
from stream.core.records import Batch
from tests.simulation.clock import run
from tests.unit.test_delivery import Desk, Vendor

CONTACTS = [f"key-{number}" for number in range(2000)]


class Crowded(Vendor):
    """Refuses more than so many calls at once, as soon as they come."""

    def __init__(self, most: int, refusal: Outcome) -> None:
        super().__init__(lambda _: DELIVERED)
        self.most = most
        self.refusal = refusal
        self.refused = 0

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        if self.in_flight >= self.most:
            self.refused += 1
            return [self.refusal] * len(batch)
        return await super().send(batch)


def adapting(vendor: Vendor, *keys: str, **given: Any) -> Desk:
    return Desk(vendor, *keys, delivery_of=AdaptiveDelivery, **{"concurrency": 32, **given})


def after(seconds: float, vendor: Vendor, *keys: str, **given: Any) -> Desk:
    """The desk after so many seconds of work."""

    async def work() -> Desk:
        desk = adapting(vendor, *keys, **given)
        await desk.work(seconds)
        return desk

    desk: Desk = run(work())
    return desk


def test_it_begins_with_few_calls_and_soon_makes_many() -> None:
    """Fifty seconds' work of four at a time is done in ten."""
    vendor = Vendor(lambda _: DELIVERED)

    desk = after(10.0, vendor, *CONTACTS)

    assert [1000.0] * INITIAL == vendor.at[:INITIAL]
    assert vendor.at[INITIAL] > 1000.0
    assert 32 == vendor.most_in_flight
    assert {"delivered": 2000} == desk.totals


def test_what_is_shown_is_the_limit_found() -> None:
    """By the state and the metric; a row of failures is as long as that."""
    desk = after(0.5, Vendor(lambda _: DELIVERED), *CONTACTS)

    assert INITIAL < desk.delivery.concurrency < 32
    assert desk.delivery.concurrency == desk.health.concurrency


def test_more_than_the_vendor_takes_at_once_is_seldom_sent() -> None:
    """It pauses for a second each time; sixty a second is all there is."""
    vendor = Crowded(6, Throttled(1.0))

    desk = after(30.0, vendor, *CONTACTS)

    assert 4 <= desk.delivery.concurrency <= 6
    assert desk.totals["delivered"] > 0.8 * 60 * 30
    assert vendor.refused < 20


def test_what_the_rate_limit_bounds_stays_as_it_is() -> None:
    """Twenty a second of a tenth each need two at once."""
    vendor = Vendor(lambda _: DELIVERED)

    desk = after(60.0, vendor, *CONTACTS, rate=20.0)

    assert INITIAL == desk.delivery.concurrency
    assert 1150 < desk.totals["delivered"] <= 1200


def test_an_outage_is_met_with_canaries_and_ended_with_few_calls() -> None:
    """As with a number, but that what was found before is forgotten."""
    vendor = Vendor(lambda _: DELIVERED)

    async def work() -> Desk:
        desk = adapting(vendor, *CONTACTS)
        desk.loop.call_later(2.0, setattr, vendor, "answers", lambda _: Retry("503 busy", 503))
        desk.loop.call_later(62.0, setattr, vendor, "answers", lambda _: DELIVERED)
        desk.loop.call_later(61.9, lambda: limits.append(desk.delivery.concurrency))
        await desk.finish()
        return desk

    limits: list[int] = []
    desk = run(work())

    assert {"delivered": 2000} == desk.totals
    assert [INITIAL] == limits
    assert 3 <= len([at for at in vendor.at if 1002.0 < at < 1062.0]) < 20


def test_one_key_at_a_time_stays_in_order() -> None:
    """However many may be in flight."""
    vendor = Vendor(lambda _: DELIVERED)

    async def work() -> None:
        desk = adapting(vendor, *(["ada", "bob"] * 100))
        await desk.finish()

    run(work())

    for key in ("ada", "bob"):
        offsets = [message.record.offset for [message] in vendor.calls if message.key == key]
        assert offsets == sorted(offsets)
    assert 2 == vendor.most_in_flight


def test_a_call_wakes_no_sender_in_vain() -> None:
    """All but a few sleep for good: what woke them for each call would cost as much as the call."""
    waits = 0

    async def work() -> Desk:
        desk = adapting(Crowded(6, Throttled(1.0)), *CONTACTS[:1000], concurrency=128)
        create = desk.loop.create_future

        def counted() -> Any:
            nonlocal waits
            waits += 1
            return create()

        desk.loop.create_future = counted  # type: ignore[method-assign]
        await desk.work(30.0)
        return desk

    assert {"delivered": 1000} == run(work()).totals
    assert waits < 1500  # one for each answer, a few for pauses, and as many as there are senders


def test_a_cancelled_call_is_over() -> None:
    """A shutdown in its midst leaves nothing counted as in flight."""

    async def work() -> Desk:
        desk = adapting(Vendor(lambda _: DELIVERED), *CONTACTS)
        await desk.work(0.05)
        return desk

    desk = run(work())

    assert isinstance(desk.delivery, AdaptiveDelivery)
    assert 0 == desk.delivery._adaptive.in_flight
