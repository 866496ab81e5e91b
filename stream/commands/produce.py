"""`crmstream produce`: loads events from a file into the source topic, keyed so that each contact stays in order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.commands import CONFIG, ConfigFile, warn
from stream.commands.lines import STDIN, EventsFile, Line, lines
from stream.errors import Exit, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from stream.settings import Settings

CONTACT = ("userId", "anonymousId")
"""Where the key is unless `--key` says so: the first of these that an event has."""


def produce(
    events: EventsFile,
    config: ConfigFile = CONFIG,
    key: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where the key is, such as traits.email; without: userId, else anonymousId."),
    ] = None,
) -> None:
    """Load a file of events into the source topic (the first, where there are several)."""
    import asyncio

    from stream.settings import load
    from stream.telemetry import logs

    settings = load(config)
    logs.configure(quiet=True)
    asyncio.run(_produce(settings, events, (key,) if key else CONTACT))


async def _produce(settings: "Settings", path: "Path", keys: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from stream.kafka.admin import Admin
    from stream.kafka.producer import NotAcknowledged, Producer, TooLarge

    # A file is read twice: a line that is wrong is found before anything is written.
    total = None if path == STDIN else sum(1 for _ in _records(path, keys))
    topic = settings.source.topics[0]
    async with Admin(settings.kafka) as admin:
        await admin.partitions([topic])  # producing to one that is not there may create it
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    records, written = Counted(_records(path, keys)), 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("producing", total=total)
        async with Producer(settings.kafka) as producer:
            try:
                async for written in producer.load(topic, records):
                    progress.update(task, completed=written)
            except (NotAcknowledged, TooLarge) as error:
                raise UserError(f"stopped after {written:,} events: {error}") from error
    typer.echo(f"{written:,} events produced to {topic}")
    if records.keyless:
        warn(f"{records.keyless:,} have no {' or '.join(keys)}, so no key: their order is not kept")
