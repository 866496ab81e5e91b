"""`concurrency: adaptive` over real HTTP, against a stand-in that refuses more than so many calls at once."""

import asyncio
import time
from random import Random
from statistics import median

import orjson

from stream.adapting import AdaptiveDelivery
from stream.core.concurrency import INITIAL
from stream.core.health import Bury, Health
from stream.core.lease import Lease
from stream.core.limits import RateLimit
from stream.core.offsets import OffsetTracker
from stream.core.records import Message, Record
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.base import Calls
from stream.destinations.sandbox import serve
from stream.http.settings import HttpSettings
from stream.messages import Messages
from stream.opening import open_destination
from stream.settings import mapping_of
from stream.telemetry.metrics import Meters
from tests.contract.test_destinations import configured, event_named
from tests.e2e.vendor import Crowded
from tests.unit.partition import LogRecord

EVENTS = 400


class NoLetters:
    """Nothing is to be buried here."""

    async def bury(self, record: Record, bury: Bury, *, attempts: int, first_failed_at: float | None) -> None:
        raise AssertionError(f"{record.offset} became a dead letter: {bury}")


def delivery_to(calls: Calls) -> AdaptiveDelivery:
    """Senders that may call without end."""
    now = asyncio.get_running_loop().time()
    lease = Lease(session_timeout=3600.0, drain=20.0)
    lease.prove(now)
    health = Health(backoff=Backoff(0.5, 60.0, Random(1)), concurrency=64)
    health.assign()
    return AdaptiveDelivery(
        calls,
        scheduler=Scheduler(),
        health=health,
        limit=RateLimit(None, now),
        lease=lease,
        burials=NoLetters(),
        meters=Meters("adaptive"),
        concurrency=64,
        wall=time.time,
    )


async def test_the_limit_found_is_below_what_the_vendor_refuses() -> None:
    """It refuses more than ten calls at once: that is met while it is sought, and hardly again."""
    sandbox, tracker, limits = Crowded(), OffsetTracker("events", 0, 0), []
    async with serve(sandbox) as url:
        settings = configured("attio", sandbox, url)
        sandbox.faults = AttioFaults(latency=0.1)
        async with open_destination(settings, HttpSettings()) as calls:
            assert isinstance(calls, Calls)
            delivery = delivery_to(calls)
            make = Messages(
                "attio",
                mapping=mapping_of("attio", settings),
                destination=calls,
                dialect="datafly",
                wall=time.time,
            )
            for number in range(EVENTS):
                event = event_named("Identified")
                event["traits"]["email"] = f"contact-{number}@example.com"
                record = LogRecord(number, orjson.dumps(event), timestamp=int(time.time() * 1000))
                assert tracker.admit(number)
                message = make(record, tracker)
                assert isinstance(message, Message)
                delivery.scheduler.add(message, 0.0)
            working = asyncio.create_task(delivery.run())
            while tracker.unsettled:
                await asyncio.sleep(0.01)
                limits.append(delivery.concurrency)
                assert not working.done()
                assert sandbox.refused < EVENTS / 20
            working.cancel()
            await asyncio.wait([working])

    assert EVENTS == len(sandbox.accepted)
    assert max(limits) > INITIAL
    assert INITIAL <= median(limits) <= Crowded.TAKES
