"""A member of a group in this process, so that a test can look at its trackers and time what happens to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stream.app import App
from stream.destinations.sandbox import serve
from stream.kafka.admin import Admin
from stream.kafka.settings import KafkaSettings
from stream.kafka.source import Owner, Source
from stream.pipeline import Pipeline
from stream.settings import Settings
from tests.e2e.members import DESTINATION, Stage, configuration, until

SESSION = 6.0  # seconds


@asynccontextmanager
async def member(here: Stage, folder: Path, **blocks: dict[str, Any]) -> AsyncIterator[Pipeline]:
    """One that has its partitions and is at work; it stops cleanly at the end. *blocks* change the configuration."""
    blocks = {"state": {"folder": str(folder / "state")}, "server": {"port": None}, **blocks}
    async with serve(here.vendor) as url, asyncio.timeout(60):
        found = configuration(here.broker.bootstrap, here.topic, 0, here.reaching(url), blocks)
        app = App(Settings.model_validate(found))
        working = asyncio.create_task(app.run())
        try:
            await until(lambda: working.done() or _assigned(app), what="partitions")
            yield app.pipelines[DESTINATION]
        finally:
            app.stop()
            await working


def _assigned(app: App) -> bool:
    return DESTINATION in app.pipelines and bool(app.pipelines[DESTINATION].trackers)


@asynccontextmanager
async def source(here: Stage, owner: Owner) -> AsyncIterator[Source]:
    """The reading half of a member alone."""
    settings = KafkaSettings(bootstrap_servers=[here.broker.bootstrap], session_timeout=SESSION)
    async with Admin(settings) as admin:
        found = Source(settings, admin=admin, topics=[here.topic], group=here.group, start="earliest", window=100)
        await found.open(owner)
        try:
            yield found
        finally:
            await found.close()
