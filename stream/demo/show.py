"""One run of the demo: an embedded broker, a stand-in for each vendor, generated events, the real pipelines."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from stream.app import App
from stream.demo.balance import balance, shown
from stream.demo.samples import ANSWERS, DESTINATIONS, REQUESTS, Sample, samples
from stream.destinations import REGISTRY
from stream.destinations.sandbox import Sandbox, serve
from stream.errors import Exit
from stream.kafka.embedded import embedded_broker
from stream.kafka.producer import Producer
from stream.settings import Settings, load
from stream.topics import names

GROUP, EVENTS = "demo", "crm.events"
LETTERS, CONTROL = "crm.dead-letters", "crm.control"
PRIVACY = {"requests": "crm.privacy-requests", "results": "crm.privacy-results", "key": "demo-privacy-key"}

CHOICES: dict[str, dict[str, Any]] = {
    "attio": {"coalesce": True, "consent": {"*": "marketing"}},
    "splio_contacts": {"bulk": True},
    "splio_sms": {"concurrency": 16},
}
"""What the demo asks of a destination beyond what its stand-in needs."""


class Demo:
    """One run of the demo."""

    def __init__(self, events: int, *, keep_open: bool) -> None:
        self._events = events
        self._keep_open = keep_open
        self._app: App | None = None
        self._stopped = asyncio.Event()
        self._console = Console(stderr=True)
        self.exit_code = Exit.FAILURE

    def stop(self) -> None:
        """End early, or end the keeping open."""
        self._stopped.set()
        if self._app is not None:
            self._app.stop()

    async def run(self) -> None:
        """From nothing to the balance."""
        say = self._console.print
        sandboxes = {name: REGISTRY[name].sandbox() for name in DESTINATIONS}
        async with AsyncExitStack() as stack:
            say(f"Starting a Kafka broker inside this process, and stand-ins for {', '.join(sandboxes)} …")
            broker = stack.enter_context(embedded_broker(topics(list(sandboxes))))
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="crmstream-demo-")))
            urls = {name: await stack.enter_async_context(serve(each)) for name, each in sandboxes.items()}
            settings = configured(folder, broker, sandboxes, urls)
            made = samples(self._events)
            await load_topics(settings, made)
            say(f"Loaded {len(made):,} events and {len(REQUESTS)} privacy requests.")
            say("Delivering, without the vendors' usual limits …")
            self._app = App(settings)
            started = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                bar = tasks.create_task(self._progress(self._app, len(made)))
                await self._app.run(drain=True)
                bar.cancel()
            if self._stopped.is_set():
                say("Stopped before the end; no balance.")
                return
            lines = await balance(settings, self._app, sandboxes, made)
            say(shown(lines))
            even = all(line.even for line in lines)
            word = "The balance is even" if even else "THE BALANCE IS UNEVEN"
            say(f"{word}: {len(made):,} events, {len(lines)} destinations, {time.perf_counter() - started:.1f} s.")
            self.exit_code = Exit.OK if even else Exit.UNEVEN
            if self._keep_open:
                say("\n".join(f"{name:15} holds now: {url}" for name, url in urls.items()) + "\nCtrl-C ends the demo.")
                await self._stopped.wait()

    async def _progress(self, app: App, events: int) -> None:
        columns = (TextColumn("{task.description:15}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
        shown = self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=not shown) as progress:
            tasks = {
                name: progress.add_task(name, total=len(REQUESTS) if name == ANSWERS else events)
                for name in DESTINATIONS
            }
            while True:
                for name, pipeline in app.pipelines.items():
                    settled = sum(sum(tracker.totals.values()) for tracker in pipeline.trackers)
                    progress.update(tasks[name], completed=settled)
                await asyncio.sleep(0.1)


def topics(destinations: list[str]) -> list[str]:
    """All that the demo needs: its broker creates none by request."""
    groups = [f"{GROUP}.{name}" for name in destinations]
    journals = [names.journal(group, EVENTS) for group in groups]
    states = [names.state(group, EVENTS) for group in groups]
    privacy = [PRIVACY["requests"], PRIVACY["results"], names.erasures(PRIVACY["requests"])]
    return [EVENTS, LETTERS, CONTROL, *privacy, *journals, *states]


def configured(folder: Path, broker: str, sandboxes: dict[str, Sandbox], urls: dict[str, str]) -> Settings:
    """The settings of a configuration file as a user would write it. What is remembered is kept in *folder*."""
    destinations = {
        name: {"type": name, "rate_limit": None, **sandbox.settings(urls[name]), **CHOICES.get(name, {})}
        | ({"max_age": None} if name == "splio_sms" else {})
        for name, sandbox in sandboxes.items()
    }
    file = folder / "demo.yaml"
    content = {
        "kafka": {"bootstrap_servers": broker},
        "source": {"topics": [EVENTS], "group": GROUP},
        "dead_letters": {"topic": LETTERS},
        "control": {"topic": CONTROL},
        "privacy": PRIVACY,
        "state": {"folder": str(folder / "state")},
        "server": {"port": 0},
        "destinations": destinations,
    }
    file.write_bytes(orjson.dumps(content))
    return load(file)


async def load_topics(settings: Settings, made: list[Sample]) -> None:
    """Put the events and the requests where they are read."""
    async with Producer(settings.kafka) as producer:
        async for _ in producer.load(EVENTS, ((sample.key, sample.value) for sample in made)):
            pass
        async for _ in producer.load(PRIVACY["requests"], ((request.key, request.value) for request in REQUESTS)):
            pass
