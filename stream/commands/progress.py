"""A progress bar for `run --drain`, on terminals only."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from stream.telemetry.state import DestinationState


class Delivers(Protocol):
    """One process's work, or that of several workers."""

    async def run(self, *, drain: bool) -> None: ...
    def snapshots(self) -> Mapping[str, DestinationState]: ...


async def deliver(app: Delivers, *, drain: bool) -> None:
    """Run the app; with *drain* and a terminal, show how much of the topics is still to be delivered."""
    async with asyncio.TaskGroup() as tasks:
        bar = tasks.create_task(_show(app)) if drain else None
        await app.run(drain=drain)
        if bar is not None:
            bar.cancel()


async def _show(app: Delivers) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("delivering", total=None)
        most = 0
        while True:
            lag = sum(state.lag for state in app.snapshots().values())
            most = max(most, lag)
            progress.update(task, total=most or None, completed=most - lag)
            await asyncio.sleep(0.5)
