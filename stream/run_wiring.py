"""Puts a destination that takes files to work, as `stream.app` does with those that are called."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from stream.core.health import Health
from stream.core.lease import Lease
from stream.core.limits import BurialLimit, RateLimits
from stream.core.records import Message
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.destinations.base import Runs, RunSettings
from stream.kafka.source import Source
from stream.messages import Make
from stream.remembering import Memory
from stream.runs import RunPipeline
from stream.settings import Settings
from stream.telemetry.metrics import Meters
from stream.topics.dead_letters import DeadLetters
from stream.topics.receipts import Receipts
from stream.topics.rows import Rows
from stream.uploads import Run, Uploads

NEVER = 1 << 62  # attempts: a run is not buried, its records wait


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a pipeline is made of, whichever kind. *source* has trackers that keep ranges, *memory* a state."""

    source: Source
    make: Make
    memory: Memory
    burials: DeadLetters
    limits: RateLimits
    gate: Callable[[Message], str | None] | None
    receipts: Receipts | None


def run_pipeline(name: str, settings: Settings, destination: Runs, parts: RunParts) -> RunPipeline:
    """The pipeline of destination *name*."""
    own, memory = settings.destinations[name], parts.memory
    assert isinstance(own, RunSettings)  # noqa: S101 - as every destination of the kind has
    assert memory.state is not None  # noqa: S101 - as it was asked for
    meters, stop_above = Meters(name), settings.dead_letters.stop_above
    lease = Lease(session_timeout=settings.kafka.session_timeout, drain=settings.source.drain)
    burial_limit = BurialLimit(stop_above.percent, stop_above.of) if stop_above else None
    rows = Rows(
        memory.state, columns=destination.columns, fingerprint=destination.fingerprint, erasures=memory.erasures
    )
    run = Run(
        destination, rows=rows, lease=lease, meters=meters, burial_limit=burial_limit, wall=time.time, gate=parts.gate
    )
    delivery = Uploads(
        run,
        scheduler=Scheduler(),
        health=Health(
            backoff=Backoff(own.retry.base, own.retry.max, Random()),  # noqa: S311 - jitter
            concurrency=1,
            attempts=NEVER,
            burials=burial_limit,
        ),
        limit=parts.limits.first,
        lease=lease,
        burials=parts.burials,
        meters=meters,
        concurrency=1,
        wall=time.time,
    )
    return RunPipeline(
        name,
        run=run,
        delivery=delivery,
        make=parts.make,
        every=own.every,
        max_rows=own.max_rows,
        burial_limit=burial_limit,
        gate=parts.gate,
        source=parts.source,
        burials=parts.burials,
        lease=lease,
        limits=parts.limits,
        meters=meters,
        commit_every=settings.source.commit_every,
        drain=settings.source.drain,
        wall=time.time,
        companions=memory.companions,
        receipts=parts.receipts,
    )
