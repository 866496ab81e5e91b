"""The demo: an embedded broker, the vendor's sandbox, generated events, the real pipeline, an independent balance."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from stream.app import App
from stream.destinations import REGISTRY
from stream.destinations.sandbox import Sandbox, serve
from stream.errors import Exit
from stream.kafka.embedded import embedded_broker
from stream.kafka.producer import Producer
from stream.samples import Sample, samples
from stream.settings import Settings, load
from stream.topics.dead_letters import letters

TOPIC, LETTERS, CONTROL = "crm.events", "crm.dead-letters", "crm.control"
KEY = "attio-sandbox-key"

CONFIG = """
kafka: {{bootstrap_servers: "{broker}"}}
source: {{topics: [{topic}]}}
dead_letters: {{topic: {letters}}}
control: {{topic: {control}}}
server: {{port: 0}}
destinations:
  attio:
    type: attio
    api_key: {key}
    base_url: {vendor}
    rate_limit: null
    coalesce: true
    consent: {{"*": marketing}}
"""


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
        sandbox = REGISTRY["attio"].sandbox()
        async with AsyncExitStack() as stack:
            say("Starting a Kafka broker inside this process, and a stand-in for Attio …")
            broker = stack.enter_context(embedded_broker([TOPIC, LETTERS, CONTROL]))
            vendor = await stack.enter_async_context(serve(sandbox))
            settings = self._settings(broker, vendor)
            made = samples(self._events)
            await self._load(settings, made)
            say(f"Loaded {len(made):,} events: new people, updates, malformed ones, some without email or consent.")
            say("Delivering, without the vendor's usual limit of 25 writes a second …")
            self._app = App(settings)
            started = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                bar = tasks.create_task(self._progress(self._app, len(made)))
                await self._app.run(drain=True)
                bar.cancel()
            if self._stopped.is_set():
                say("Stopped before the end; no balance.")
                return
            await self._balance(settings, self._app, sandbox, made, time.perf_counter() - started)
            if self._keep_open:
                say(f"The people Attio would hold now: {vendor}\nCtrl-C ends the demo.")
                await self._stopped.wait()

    @staticmethod
    def _settings(broker: str, vendor: str) -> Settings:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "demo.yaml"
            file.write_text(
                CONFIG.format(broker=broker, topic=TOPIC, letters=LETTERS, control=CONTROL, key=KEY, vendor=vendor)
            )
            return load(file)

    @staticmethod
    async def _load(settings: Settings, made: list[Sample]) -> None:
        async with Producer(settings.kafka) as producer:
            async for _ in producer.load(TOPIC, ((sample.key, sample.value) for sample in made)):
                pass

    async def _progress(self, app: App, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
        shown = self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=not shown) as progress:
            task = progress.add_task("settled", total=total)
            while True:
                progress.update(task, completed=totals(app).total())
                await asyncio.sleep(0.1)

    async def _balance(
        self, settings: Settings, app: App, sandbox: Sandbox, made: list[Sample], seconds: float
    ) -> None:
        """Compares what the pipeline counted with what the loader, the vendor and the dead letters say themselves."""
        counted = app.pipelines["attio"].final_totals
        buried = 0
        async with aclosing(letters(settings.kafka, LETTERS)) as found:
            async for _ in found:
                buried += 1
        expected = Counter(sample.expected for sample in made)
        table = Table("", "counted", "seen from outside", "by", box=None)
        table.add_row("read", f"{sum(counted.values()):,}", f"{len(made):,}", "the loader")
        table.add_row("delivered", f"{counted['delivered']:,}", f"{len(sandbox.accepted):,}", "the vendor's own log")
        table.add_row("coalesced", f"{counted['coalesced']:,}", "", "updates that travelled in one of those calls")
        table.add_row("filtered", f"{counted['filtered']:,}", f"{expected['filtered']:,}", "what was generated")
        for reason, number in app.pipelines["attio"].delivery.filtered.most_common():
            table.add_row(f"  {reason}", f"{number:,}", "", "")
        table.add_row("dead-lettered", f"{counted['dead_lettered']:,}", f"{buried:,}", "the dead-letter topic")
        self._console.print(table)
        even = (
            sum(counted.values()) == len(made)
            and counted["delivered"] == len(sandbox.accepted)
            and counted["delivered"] + counted["coalesced"] == expected["delivered"]
            and counted["filtered"] == expected["filtered"]
            and counted["dead_lettered"] == buried == expected["dead_lettered"]
        )
        word = "The balance is even" if even else "THE BALANCE IS UNEVEN"
        people = len(sandbox.people())
        self._console.print(f"{word}: {len(made):,} events became {people:,} people in {seconds:.1f} s.")
        self.exit_code = Exit.OK if even else Exit.UNEVEN


def totals(app: App) -> Counter[str]:
    """What all trackers of the demo have counted so far."""
    counted: Counter[str] = Counter()
    for pipeline in app.pipelines.values():
        for tracker in pipeline.trackers:
            counted.update(tracker.totals)
    return counted
