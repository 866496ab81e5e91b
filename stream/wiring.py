"""Makes the pipeline of one destination, as its kind and its settings ask. How all of them run is `stream.app`'s.

What only some kinds and settings need is imported where they are met.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from stream.adapting import AdaptiveDelivery
from stream.core.health import Health
from stream.core.lease import Lease
from stream.core.limits import BurialLimit, Limits, Quota, RateLimits
from stream.core.offsets import OffsetTracker
from stream.core.ranges import RangeTracker
from stream.core.records import Message
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.core.units import Adaptive
from stream.delivery import Delivery
from stream.destinations.base import Calls, Destination, DestinationSettings, Runs, RunSettings
from stream.gates import gate, merger
from stream.kafka.admin import Admin
from stream.kafka.producer import Producer
from stream.kafka.source import Source
from stream.messages import Make, Messages
from stream.opening import open_destination
from stream.pipeline import Pipeline, Receipts
from stream.remembering import Memory, memory_of
from stream.settings import Settings, mapping_of, topics_read
from stream.telemetry.metrics import Meters
from stream.topics import names
from stream.topics.beside import Beside
from stream.topics.dead_letters import DeadLetters
from stream.topics.erasures import Erasures
from stream.topics.journal import Journal, journals

if TYPE_CHECKING:
    from stream.runs import RunPipeline

NEVER = 1 << 62  # attempts: a run is not buried, its records wait


@dataclass(frozen=True, slots=True)
class Parts:
    """What every pipeline is made of."""

    source: Source
    make: Make
    memory: Memory
    burials: DeadLetters
    limits: Limits
    lease: Lease
    meters: Meters
    gate: Callable[[Message], str | None] | None
    receipts: Receipts | None


class Wiring:
    """What the pipelines of a process share, and how one is made of it."""

    def __init__(
        self,
        settings: Settings,
        *,
        admin: Admin,
        producer: Producer,
        erasures: Erasures | None,
        accept_loss: bool,
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._producer = producer
        self._erasures = erasures
        self._accept_loss = accept_loss
        self._quotas: dict[str, Quota] = {}

    async def pipeline(self, stack: AsyncExitStack, name: str) -> Pipeline:
        """The pipeline of destination *name*; its connections end with the *stack*. Raises UserError."""
        own = self._settings.destinations[name]
        meters = Meters(name)
        limits = self._limits(own)
        destination = await stack.enter_async_context(
            open_destination(own, self._settings.http, limits=limits, observe=meters.request)
        )
        parts = await self._parts(name, own, destination, limits, meters)
        if isinstance(destination, Runs):
            return self._of_runs(name, destination, parts)
        assert isinstance(destination, Calls)  # noqa: S101 - there is no third kind
        return await self._of_calls(name, destination, parts)

    async def _parts(
        self, name: str, own: DestinationSettings, destination: Destination, limits: Limits, meters: Meters
    ) -> Parts:
        settings = self._settings
        make, memory = await self._make(name, destination)
        return Parts(
            source=Source(
                settings.kafka,
                admin=self._admin,
                topics=topics_read(settings, own),
                group=settings.source.group_of(name),
                start=settings.source.start,
                window=settings.source.window,
                accept_loss=self._accept_loss,
                tracker=RangeTracker if isinstance(destination, Runs) else OffsetTracker,
            ),
            make=make,
            memory=memory,
            burials=DeadLetters(self._producer, topic=settings.dead_letters.topic, destination=name, wall=time.time),
            limits=limits,
            lease=Lease(session_timeout=settings.kafka.session_timeout, drain=settings.source.drain),
            meters=meters,
            gate=gate(own.max_age, destination, memory.erasures),
            receipts=self._receipts(name),
        )

    def _limits(self, own: DestinationSettings) -> Limits:
        """What a destination is paced by: its own limits, or those of the account that it shares with others."""
        now = asyncio.get_running_loop().time()
        if own.quota is None:
            return RateLimits(own.rates, now)
        if own.quota not in self._quotas:
            sharing = [
                each for each in self._settings.destinations.values() if each.enabled and each.quota == own.quota
            ]
            self._quotas[own.quota] = Quota(own.rates, len(sharing), now)
        return self._quotas[own.quota].limits()

    async def _make(self, name: str, destination: Destination) -> tuple[Make, Memory]:
        """What makes messages of the records, and what it remembers. One that answers requests gets its desk."""
        settings, privacy = self._settings, self._settings.privacy
        if destination.reads == "privacy_requests" and privacy and privacy.key:
            from stream.destinations.privacy import PrivacyCalls
            from stream.topics.privacy import Desk, Requests

            assert isinstance(destination, PrivacyCalls)  # noqa: S101 - as all that read requests are
            destination.name = name
            destination.desk = Desk(
                self._producer,
                results=privacy.results,
                erasures=names.erasures(privacy.requests),
                key=privacy.key.get_secret_value().encode(),
                known=self._erasures.known if self._erasures else None,
            )
            return Requests(name, key=destination.key, encode=destination.encode), Memory()
        mapping = mapping_of(name, settings.destinations[name])
        memory = await memory_of(
            name,
            settings,
            mapping,
            admin=self._admin,
            producer=self._producer,
            erasures=self._erasures,
            stateful=isinstance(destination, Runs),
        )
        make = Messages(
            name,
            mapping=mapping,
            destination=destination,
            dialect=settings.source.dialect,
            wall=time.time,
            traits=memory.traits,
            erasures=memory.erasures,
        )
        return make, memory

    async def _of_calls(self, name: str, calls: Calls, parts: Parts) -> Pipeline:
        settings, own = self._settings, self._settings.destinations[name]
        companions, journal = parts.memory.companions, None
        if not calls.repeatable:
            beside, journal = await self._journal(name, calls, parts.source)
            companions += (beside, journal)
        delivery_of, concurrency = Delivery, own.concurrency
        if isinstance(concurrency, Adaptive):
            delivery_of, concurrency = AdaptiveDelivery, concurrency.most
        delivery = delivery_of(
            calls,
            scheduler=Scheduler(
                ordered=own.ordering == "key",
                items=own.batch.items,
                size=own.batch.bytes,
                linger=own.batch.linger,
                merge=merger(calls) if own.coalesce and calls.coalesces else None,
            ),
            health=Health(
                backoff=Backoff(own.retry.base, own.retry.max, Random()),  # noqa: S311 - jitter
                concurrency=concurrency,
                attempts=own.retry.attempts,
                give_up_after=own.retry.give_up_after,
                burials=self._burial_limit(),
            ),
            limit=parts.limits.first,
            lease=parts.lease,
            burials=parts.burials,
            meters=parts.meters,
            concurrency=concurrency,
            gate=parts.gate,
            journal=journal,
            wall=time.time,
        )
        return Pipeline(
            name,
            source=parts.source,
            make=parts.make,
            delivery=delivery,
            burials=parts.burials,
            lease=parts.lease,
            limits=parts.limits,
            meters=parts.meters,
            buffer=min(settings.source.buffer, calls.at_once or settings.source.buffer),
            buffer_bytes=settings.source.buffer_bytes,
            commit_every=settings.source.commit_every,
            drain=settings.source.drain,
            wall=time.time,
            companions=companions,
            receipts=parts.receipts,
        )

    def _of_runs(self, name: str, destination: Runs, parts: Parts) -> "RunPipeline":
        from stream.runs import RunPipeline
        from stream.topics.rows import Rows
        from stream.uploads import Run, Uploads

        settings, own, memory = self._settings, self._settings.destinations[name], parts.memory
        assert isinstance(own, RunSettings)  # noqa: S101 - as every destination of the kind has
        assert memory.state is not None  # noqa: S101 - as it was asked for
        burial_limit = self._burial_limit()
        run = Run(
            destination,
            rows=Rows(
                memory.state, columns=destination.columns, fingerprint=destination.fingerprint, erasures=memory.erasures
            ),
            lease=parts.lease,
            meters=parts.meters,
            burial_limit=burial_limit,
            wall=time.time,
            gate=parts.gate,
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
            lease=parts.lease,
            burials=parts.burials,
            meters=parts.meters,
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
            lease=parts.lease,
            limits=parts.limits,
            meters=parts.meters,
            commit_every=settings.source.commit_every,
            drain=settings.source.drain,
            wall=time.time,
            companions=memory.companions,
            receipts=parts.receipts,
        )

    async def _journal(self, name: str, calls: Calls, source: Source) -> tuple[Beside, Journal]:
        """What a destination needs whose calls must not be repeated; its topics are made where they are missing."""
        settings, group = self._settings, self._settings.source.group_of(name)
        beside = Beside(self._admin, journals(group), create=settings.kafka.create_topics)
        await beside.ensure(settings.source.topics)
        return beside, Journal(settings.kafka, group=group, rule=calls.intent, lost=source.rejoin, wall=time.time)

    def _receipts(self, name: str) -> Receipts | None:
        """Where a destination's receipts go, if any are wanted."""
        wanted, group = self._settings.receipts, self._settings.source.group_of(name)
        if wanted is None:
            return None
        from stream.topics import receipts

        return receipts.Receipts(self._producer, topic=wanted.topic, group=group, destination=name, wall=time.time)

    def _burial_limit(self) -> BurialLimit | None:
        stop_above = self._settings.dead_letters.stop_above
        return BurialLimit(stop_above.percent, stop_above.of) if stop_above else None
