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
from stream.core.records import Message
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.delivery import Delivery
from stream.destinations import REGISTRY
from stream.destinations.base import Calls, DestinationSettings, secrets
from stream.errors import Exit, UserError
from stream.http.client import Client
from stream.http.settings import HttpSettings, open_transport
from stream.kafka.admin import Admin
from stream.kafka.producer import Producer
from stream.kafka.source import Source
from stream.messages import Messages
from stream.pipeline import Pipeline
from stream.settings import Settings, mapping_of
from stream.telemetry.metrics import Meters
from stream.telemetry.state import DestinationState
from stream.topics import control
from stream.topics.dead_letters import DeadLetters

log = structlog.get_logger()


@asynccontextmanager
async def open_destination(
    settings: DestinationSettings,
    http: HttpSettings,
    *,
    limits: RateLimits | None = None,
    observe: Callable[[str, float], None] = lambda _status, _seconds: None,
) -> AsyncIterator[Calls]:
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
            for name, destination in self._destinations.items():
                self.pipelines[name] = await self._pipeline(stack, admin, producer, name, destination)
            async with asyncio.TaskGroup() as tasks:
                heard = asyncio.Event()
                commands = tasks.create_task(self._obey(heard), name="control")
                await heard.wait()  # a destination that was paused before must not start by sending
                running = [tasks.create_task(p.run(drain=drain), name=n) for n, p in self.pipelines.items()]
                if self._stopped:
                    self.stop()
                await asyncio.wait(running)
                commands.cancel()

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
        await admin.partitions(settings.source.topics)
        create = settings.kafka.create_topics
        await admin.ensure(settings.dead_letters.topic, partitions=1, compacted=False, create=create)
        await admin.ensure(settings.control.topic, partitions=1, compacted=True, create=create)

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
            gate=gate(destination.max_age, calls),
            wall=time.time,
        )
        return Pipeline(
            name,
            source=Source(
                settings.kafka,
                admin=admin,
                topics=settings.source.topics,
                group=f"{settings.source.group}.{name}",
                start=settings.source.start,
                window=settings.source.window,
                accept_loss=self._accept_loss,
            ),
            make=Messages(
                name,
                mapping=mapping_of(name, destination),
                destination=calls,
                dialect=settings.source.dialect,
                wall=time.time,
            ),
            delivery=delivery,
            burials=burials,
            lease=lease,
            limits=limits,
            meters=meters,
            buffer=settings.source.buffer,
            buffer_bytes=settings.source.buffer_bytes,
            commit_every=settings.source.commit_every,
            drain=settings.source.drain,
            wall=time.time,
        )

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


def gate(max_age: float | None, calls: Calls) -> Callable[[Message], str | None] | None:
    """Judges each message immediately before each call; None where there is nothing to judge."""
    asks = type(calls).gate is not Calls.gate
    if max_age is None and not asks:
        return None

    def judge(message: Message) -> str | None:
        now = time.time()
        if max_age is not None and now - message.event_time > max_age:
            return "expired"
        return calls.gate(message, now) if asks else None

    return judge
