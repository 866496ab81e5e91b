"""Several processes of one configuration, each a member of every group: started, watched, started again, ended.

What one of them is to its parent is in `process`; what it does is `stream.app`'s.
"""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack, suppress
from random import Random

import structlog

from stream.core.retry import Backoff
from stream.errors import UserError
from stream.opening import chosen
from stream.settings import Settings
from stream.telemetry.state import DestinationState
from stream.telemetry.together import Counts, Together, added, together
from stream.workers.process import Ended, Order, Worker

FRUITLESS = 5  # deaths of a worker, one after the other, without anything settled: it will do no better
LONG = 60.0  # seconds: who has lived for so long did not die of how it started

log = structlog.get_logger()


class Workers:
    """So many processes in the place of one `App`, and one server for them all."""

    def __init__(
        self, settings: Settings, count: int, *, only: Collection[str] = (), accept_loss: bool = False
    ) -> None:
        self._settings = settings
        self._count = count
        self._destinations = list(chosen(settings, only))
        self._accept_loss = accept_loss
        self._backoff = Backoff(0.5, 30.0, Random())  # noqa: S311 - jitter
        self._workers: dict[int, Worker] = {}
        self._departed: Counts = {}  # what those counted that are gone: a counter must not fall
        self._stopping = asyncio.Event()
        self._failure: UserError | None = None
        self.address: str | None = None  # of the server

    async def run(self, *, drain: bool = False) -> None:
        """Deliver until `stop`; with *drain* until each worker has nothing left to do. Raises UserError."""
        async with AsyncExitStack() as stack:
            if self._settings.server.port is not None:
                from stream.telemetry.server import serve

                registry = Together(self._counts).registry
                serving = serve(self._settings.server, self.snapshots, registry=registry)
                self.address = await stack.enter_async_context(serving)
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._count):
                    tasks.create_task(self._keep(self._order(number, drain=drain)), name=f"worker {number}")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run` cleanly: each worker finishes what is in flight, commits, and leaves its groups."""
        self._stopping.set()
        for worker in self._workers.values():
            worker.stop()

    def leave(self) -> None:
        """End the workers at once."""
        for worker in self._workers.values():
            worker.kill()

    def snapshots(self) -> dict[str, DestinationState]:
        """How each destination is doing, on all workers together."""
        now = asyncio.get_running_loop().time()
        workers = list(self._workers.values())
        return {name: together([each.state(name, now) for each in workers]) for name in self._destinations if workers}

    def _counts(self) -> Counts:
        return added([self._departed, *(worker.counts for worker in self._workers.values())])

    def _order(self, number: int, *, drain: bool) -> Order:
        """The settings are passed on as they were read: a file that is changed meanwhile makes no odd one out."""
        kafka, server = self._settings.kafka, self._settings.server
        if kafka.group_instance_id is not None:
            kafka = kafka.model_copy(update={"group_instance_id": f"{kafka.group_instance_id}-{number}"})
        changed = {"kafka": kafka, "server": server.model_copy(update={"port": None})}
        settings = self._settings.model_copy(update=changed)
        return Order(number, settings, tuple(self._destinations), drain, self._accept_loss)

    async def _keep(self, order: Order) -> None:
        """See to it that there is this worker until all are to end, or it has done its share."""
        fruitless, first = 0, True
        while not self._stopping.is_set():
            worker = await Worker.start(order)
            self._workers[order.number] = worker
            if self._stopping.is_set():
                worker.stop()
            ended = await worker.end()
            self._departed = added([self._departed, worker.counts])
            worker.counts = {}
            if ended.error is not None and first:  # later on it may pass, as a broker that is just not there
                self._fail(ended.error)
            elif self._stopping.is_set() and ended.exit_code:
                self._fail(UserError(f"worker {order.number} {ended} before it had ended cleanly"))
            if self._stopping.is_set() or (order.drain and not ended.exit_code):
                del self._workers[order.number]
                return
            first = False
            fruitless = 0 if worker.settled or worker.age > LONG else fruitless + 1
            if fruitless == FRUITLESS:
                self._fail(hopeless(order.number, ended))
                return
            await self._pause(worker, ended, self._backoff.delay(max(1, fruitless)))

    async def _pause(self, worker: Worker, ended: Ended, seconds: float) -> None:
        """Before it is started again."""
        log.warning("worker_ended", worker=worker.number, how=str(ended), again_in=f"{seconds:.1f}s")
        worker.condition = f"{ended} and is started again"
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _fail(self, error: UserError) -> None:
        """End all because of this; what the others say after it says nothing more."""
        self._failure = self._failure or error
        self.stop()


def hopeless(number: int, ended: Ended) -> UserError:
    """The error of a worker that dies as often as it is started."""
    text = f"worker {number} ended {FRUITLESS} times without having settled anything; the last time it {ended}"
    return UserError(text, "see the log above; `crmstream --debug run` without workers shows where an error comes from")
