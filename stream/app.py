"""Puts a configuration to work: one pipeline for each destination, the server, operators' commands, the end."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack, aclosing

import structlog

from schemas.control import Command
from stream.kafka.admin import FOREVER, Admin
from stream.kafka.producer import Producer
from stream.opening import chosen
from stream.pipeline import Pipeline
from stream.remembering import erasures_of
from stream.settings import Settings, topics_read
from stream.telemetry.state import DestinationState
from stream.topics import control, names
from stream.wiring import Wiring

log = structlog.get_logger()


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
            erasures = erasures_of(self._settings, producer)
            wiring = Wiring(
                self._settings, admin=admin, producer=producer, erasures=erasures, accept_loss=self._accept_loss
            )
            for name in self._destinations:
                self.pipelines[name] = await wiring.pipeline(stack, name)
            async with asyncio.TaskGroup() as tasks:
                heard, read = asyncio.Event(), asyncio.Event()
                following = [tasks.create_task(self._obey(heard), name="control")]
                if erasures is not None:
                    follow = erasures.follow(self._settings.kafka, read)
                    following.append(tasks.create_task(follow, name="erasures"))
                    await read.wait()  # no event of an erased person must pass
                await heard.wait()  # a destination that was paused before must not start by sending
                running = [tasks.create_task(p.run(drain=drain), name=n) for n, p in self.pipelines.items()]
                if self._stopped:
                    self.stop()
                await asyncio.wait(running)
                if cut := [task.get_name() for task in running if task.cancelled()]:  # it would look like a clean end
                    raise RuntimeError(f"{', '.join(cut)} ended without a word")
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
        await admin.ensure(
            settings.dead_letters.topic, partitions=1, compacted=False, create=create, retention=FOREVER
        )  # a letter that is gone is an event that is lost
        await admin.ensure(settings.control.topic, partitions=1, compacted=True, create=create)
        if settings.receipts:
            await admin.ensure(settings.receipts.topic, partitions=1, compacted=False, create=create)

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
