"""Puts a configuration to work: one pipeline for each destination, the server, operators' commands, the end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from random import Random

import structlog

from schemas.control import Command
from stream.core.health import Health
from stream.core.lease import Lease
from stream.core.limits import BurialLimit, RateLimits
from stream.core.offsets import OffsetTracker
from stream.core.ranges import RangeTracker
from stream.core.records import Message
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.delivery import Delivery
from stream.destinations import REGISTRY
from stream.destinations.base import Calls, Destination, DestinationSettings, Runs, secrets
from stream.destinations.privacy import PrivacyCalls
from stream.errors import Exit, UserError
from stream.http.client import Client
from stream.http.settings import HttpSettings, open_transport
from stream.kafka.admin import Admin
from stream.kafka.producer import Producer
from stream.kafka.source import Source
from stream.messages import Make, Messages
from stream.pipeline import Pipeline
from stream.remembering import Memory, erasures_of, memory_of
from stream.run_wiring import RunParts, run_pipeline
from stream.settings import Settings, mapping_of, topics_read
from stream.telemetry.metrics import Meters
from stream.telemetry.state import DestinationState
from stream.topics import control, names
from stream.topics.dead_letters import DeadLetters
from stream.topics.erasures import Erasures
from stream.topics.journal import Journal, ensure
from stream.topics.privacy import Desk, Requests
from stream.topics.receipts import Receipts

log = structlog.get_logger()


@asynccontextmanager
async def open_destination(
    settings: DestinationSettings,
    http: HttpSettings,
    *,
    limits: RateLimits | None = None,
    observe: Callable[[str, float], None] = lambda _status, _seconds: None,
) -> AsyncIterator[Destination]:
    """A destination with its connections, closed at the end."""
    calls = REGISTRY[settings.type].calls
    clock = asyncio.get_running_loop().time
    transport = open_transport(http, keep_alive=calls.repeatable)
    limits = limits or RateLimits(settings.rates, clock())
    client = Client(
        transport,
        settings.base_url,
        calls.token(settings),
        limiter=limits.first,
        others=limits.by_name,
        timeout=http.timeout,
        refusals=calls.refusals,
        secrets=secrets(settings),
        observe=observe,
        clock=clock,
    )
    try:
        yield calls(settings, client)
    finally:
        await transport.close()


def chosen(settings: Settings, only: Collection[str]) -> dict[str, DestinationSettings]:
    """The destinations to run: those enabled, or of them the named ones. Raises UserError for a name there is not."""
    if unknown := sorted(set(only) - settings.destinations.keys()):
        known = ", ".join(settings.destinations)
        raise UserError(f"there is no destination {unknown[0]!r}", f"the file has {known}", Exit.BAD_FILE)
    names = {
        name: found for name, found in settings.destinations.items() if found.enabled and (not only or name in only)
    }
    if not names:
        raise UserError("no destination is enabled", "set enabled: true on one", Exit.BAD_FILE)
    return names


class App:
    """One process's share of the work."""

    def __init__(self, settings: Settings, *, only: Collection[str] = (), accept_loss: bool = False) -> None:
        self._settings = settings
        self._destinations = chosen(settings, only)
        self._accept_loss = accept_loss
        self._stopped = False
        self._erasures: Erasures | None = None
        self.pipelines: dict[str, Pipeline] = {}
        self.address: str | None = None  # of the server

    async def run(self, *, drain: bool = False) -> None:
        """Deliver until `stop`; with *drain* until what the topics held at the start is settled. Raises UserError."""
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(Admin(self._settings.kafka))
            await self._topics(admin)
            if self._settings.server.port is not None:
                from stream.telemetry.server import serve

                self.address = await stack.enter_async_context(serve(self._settings.server, self.snapshots))
            producer = await stack.enter_async_context(Producer(self._settings.kafka))
            self._erasures = erasures_of(self._settings, producer)
            for name, destination in self._destinations.items():
                self.pipelines[name] = await self._pipeline(stack, admin, producer, name, destination)
            async with asyncio.TaskGroup() as tasks:
                heard, read = asyncio.Event(), asyncio.Event()
                following = [tasks.create_task(self._obey(heard), name="control")]
                if self._erasures is not None:
                    follow = self._erasures.follow(self._settings.kafka, read)
                    following.append(tasks.create_task(follow, name="erasures"))
                    await read.wait()  # no event of an erased person must pass
                await heard.wait()  # a destination that was paused before must not start by sending
                running = [tasks.create_task(p.run(drain=drain), name=n) for n, p in self.pipelines.items()]
                if self._stopped:
                    self.stop()
                await asyncio.wait(running)
                for task in following:
                    task.cancel()

    def stop(self) -> None:
        """End `run` cleanly: finish what is in flight, commit, leave the groups."""
        self._stopped = True
        for pipeline in self.pipelines.values():
            pipeline.stop()

    def snapshots(self) -> dict[str, DestinationState]:
        """How each destination is doing."""
        return {name: pipeline.snapshot() for name, pipeline in self.pipelines.items()}

    async def _topics(self, admin: Admin) -> None:
        """The source's topics must be there; ours are made where they are missing."""
        settings = self._settings
        read = {topic for each in self._destinations.values() for topic in topics_read(settings, each)}
        counts = await admin.partitions(sorted(read))
        create = settings.kafka.create_topics
        if privacy := settings.privacy:
            await admin.ensure(names.erasures(privacy.requests), partitions=1, compacted=True, create=create)
            if partitions := counts.get(privacy.requests):
                await admin.ensure(privacy.results, partitions=partitions, compacted=False, create=create)
        await admin.ensure(settings.dead_letters.topic, partitions=1, compacted=False, create=create)
        await admin.ensure(settings.control.topic, partitions=1, compacted=True, create=create)
        if settings.receipts:
            await admin.ensure(settings.receipts.topic, partitions=1, compacted=False, create=create)

    async def _pipeline(
        self, stack: AsyncExitStack, admin: Admin, producer: Producer, name: str, destination: DestinationSettings
    ) -> Pipeline:
        settings, loop = self._settings, asyncio.get_running_loop()
        meters = Meters(name)
        lease = Lease(session_timeout=settings.kafka.session_timeout, drain=settings.source.drain)
        limits = RateLimits(destination.rates, loop.time())
        calls = await stack.enter_async_context(
            open_destination(destination, settings.http, limits=limits, observe=meters.request)
        )
        burials = DeadLetters(producer, topic=settings.dead_letters.topic, destination=name, wall=time.time)
        source = Source(
            settings.kafka,
            admin=admin,
            topics=topics_read(settings, destination),
            group=f"{settings.source.group}.{name}",
            start=settings.source.start,
            window=settings.source.window,
            accept_loss=self._accept_loss,
            tracker=RangeTracker if isinstance(calls, Runs) else OffsetTracker,
        )
        make, memory = await self._make(admin, producer, name, destination, calls)
        judge = gate(destination.max_age, calls, memory.erasures)
        receipts = self._receipts(producer, name)
        if isinstance(calls, Runs):
            parts = RunParts(source, make, memory, burials, limits, judge, receipts)
            return run_pipeline(name, settings, calls, parts)
        assert isinstance(calls, Calls)  # noqa: S101 - there is no third kind
        journal = (
            None if calls.repeatable else await self._journal(admin, f"{settings.source.group}.{name}", calls, source)
        )
        retry, stop_above = destination.retry, settings.dead_letters.stop_above
        delivery = Delivery(
            calls,
            scheduler=Scheduler(
                ordered=destination.ordering == "key",
                items=destination.batch.items,
                size=destination.batch.bytes,
                linger=destination.batch.linger,
                merge=merger(calls) if destination.coalesce and calls.coalesces else None,
            ),
            health=Health(
                backoff=Backoff(retry.base, retry.max, Random()),  # noqa: S311 - jitter
                concurrency=destination.concurrency,
                attempts=retry.attempts,
                give_up_after=retry.give_up_after,
                burials=BurialLimit(stop_above.percent, stop_above.of) if stop_above else None,
            ),
            limit=limits.first,
            lease=lease,
            burials=burials,
            meters=meters,
            concurrency=destination.concurrency,
            gate=judge,
            journal=journal,
            wall=time.time,
        )
        return Pipeline(
            name,
            source=source,
            make=make,
            delivery=delivery,
            burials=burials,
            lease=lease,
            limits=limits,
            meters=meters,
            buffer=min(settings.source.buffer, calls.at_once or settings.source.buffer),
            buffer_bytes=settings.source.buffer_bytes,
            commit_every=settings.source.commit_every,
            drain=settings.source.drain,
            wall=time.time,
            companions=(*memory.companions, *(() if journal is None else (journal,))),
            receipts=receipts,
        )

    async def _make(
        self, admin: Admin, producer: Producer, name: str, destination: DestinationSettings, calls: Destination
    ) -> tuple[Make, Memory]:
        """What makes messages of the records, and what it remembers.

        A destination that answers requests is given its desk.
        """
        settings, privacy = self._settings, self._settings.privacy
        if isinstance(calls, PrivacyCalls) and privacy and privacy.key:
            key = privacy.key.get_secret_value().encode()
            calls.name = name
            known = self._erasures.known if self._erasures else None
            topic = names.erasures(privacy.requests)
            calls.desk = Desk(producer, results=privacy.results, erasures=topic, key=key, known=known)
            return Requests(name, key=calls.key, encode=calls.encode), Memory()
        mapping = mapping_of(name, destination)
        memory = await memory_of(
            name,
            settings,
            mapping,
            admin=admin,
            producer=producer,
            erasures=self._erasures,
            stateful=isinstance(calls, Runs),
        )
        messages = Messages(
            name,
            mapping=mapping,
            destination=calls,
            dialect=settings.source.dialect,
            wall=time.time,
            traits=memory.traits,
            erasures=memory.erasures,
        )
        return messages, memory

    def _receipts(self, producer: Producer, name: str) -> Receipts | None:
        """Where a destination's receipts go, if any are wanted."""
        wanted, group = self._settings.receipts, f"{self._settings.source.group}.{name}"
        if wanted is None:
            return None
        return Receipts(producer, topic=wanted.topic, group=group, destination=name, wall=time.time)

    async def _journal(self, admin: Admin, group: str, calls: Calls, source: Source) -> Journal:
        """What a destination needs whose calls must not be repeated."""
        settings = self._settings
        await ensure(admin, group=group, topics=settings.source.topics, create=settings.kafka.create_topics)
        return Journal(settings.kafka, group=group, rule=calls.intent, lost=source.rejoin, wall=time.time)

    async def _obey(self, heard: asyncio.Event) -> None:
        """Carry out operators' commands: those that held at the start, which sets *heard*, then each as it comes."""
        seen: control.Commands = {}
        async with aclosing(control.follow(self._settings.kafka, self._settings.control.topic)) as commands:
            async for current in commands:
                for name, command in current.items():
                    if name in self.pipelines and seen.get(name) != command:
                        self._carry_out(name, command)
                seen = current
                heard.set()

    def _carry_out(self, name: str, command: Command) -> None:
        delivery = self.pipelines[name].delivery
        log.info(command.action, destination=name, given_at=str(command.at))
        if command.action == "pause":
            delivery.health.pause(command.reason or "an operator paused it: `crmstream resume` frees it")
        else:
            delivery.health.resume()
            delivery.wake()


def merger(calls: Calls) -> Callable[[Sequence[Message]], Message]:
    """Makes one message of consecutive upserts of a contact, by the vendor's rules on what the newer one replaces."""

    def merge(parts: Sequence[Message]) -> Message:
        fields, notes = parts[0].fields, parts[0].notes
        for part in parts[1:]:
            fields = calls.merged(fields, part.fields)
            notes += part.notes
        last = parts[-1]
        body = calls.encode(fields)
        return Message(last.key, fields, body, last.record, last.tracker, last.event_time, notes, parts=tuple(parts))

    return merge


def gate(
    max_age: float | None, calls: Destination, erasures: Erasures | None = None
) -> Callable[[Message], str | None] | None:
    """Judges each message immediately before each call; None where there is nothing to judge."""
    asks = type(calls).gate is not Destination.gate
    if max_age is None and not asks and erasures is None:
        return None

    def judge(message: Message) -> str | None:
        now = time.time()
        if max_age is not None and now - message.event_time > max_age:
            return "expired"
        if erasures is not None and any(
            erasures.erased(part.persons, part.happened_at) for part in message.parts or (message,)
        ):
            return "erased"
        return calls.gate(message, now) if asks else None

    return judge
