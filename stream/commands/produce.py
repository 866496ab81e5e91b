"""`crmstream produce`: loads events from a file into the source topic, keyed so that each contact stays in order."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.commands import CONFIG, ConfigFile, warn
from stream.commands.lines import STDIN, EventsFile, Line, lines
from stream.errors import Exit, UserError

if TYPE_CHECKING:
    from stream.settings import Settings

CONTACT = ("userId", "anonymousId")
"""Where the key is unless `--key` says so: the first of these that an event has."""

Key = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Where the key is, such as traits.email; without: userId, else anonymousId."),
]


def produce(events: EventsFile, config: ConfigFile = CONFIG, key: Key = None) -> None:
    """Load a file of events into the source topic: the first one, where there are several."""
    import asyncio

    from stream.settings import load
    from stream.telemetry import logs

    settings = load(config)
    logs.configure(quiet=True)
    asyncio.run(_produce(settings, Events(events, (key,) if key else CONTACT)))


class Events:
    """The events of a file with their keys. To iterate raises UserError at a line that holds no JSON object."""

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self.path = path
        self.keys = keys
        self.keyless = 0  # of the last iteration

    def __iter__(self) -> Iterator[tuple[bytes | None, bytes]]:
        self.keyless = 0
        for line in lines(self.path):
            event = self._object(line)
            key = next(filter(None, (_key(event, path) for path in self.keys)), None)
            self.keyless += key is None
            yield key, line.content

    def _object(self, line: Line) -> dict[str, Any]:
        import orjson

        try:
            found = orjson.loads(line.content)
        except orjson.JSONDecodeError as error:
            raise self._wrong(line, f"is not JSON, at column {error.colno}") from None
        if not isinstance(found, dict):
            raise self._wrong(line, "is not a JSON object")
        return found

    def _wrong(self, line: Line, what: str) -> UserError:
        return UserError(f"line {line.number} of {self.path} {what}", "an event is one JSON object", Exit.BAD_FILE)


def _key(event: Any, path: str) -> bytes | None:
    """The text or whole number at a dotted path."""
    for name in path.split("."):
        event = event.get(name) if isinstance(event, dict) else None
    usable = isinstance(event, str) or (isinstance(event, int) and not isinstance(event, bool))
    return str(event).encode() if usable else None


async def _produce(settings: "Settings", events: Events) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from stream.kafka.admin import Admin
    from stream.kafka.producer import NotAcknowledged, Producer, TooLarge

    # A file is read twice: a line that is wrong is found before anything is written.
    total = None if events.path == STDIN else sum(1 for _ in events)
    topic, written = settings.source.topics[0], 0
    async with Admin(settings.kafka) as admin:
        await admin.partitions([topic])  # producing to one that is not there may create it
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("producing", total=total)
        async with Producer(settings.kafka) as producer:
            try:
                async for written in producer.load(topic, events):
                    progress.update(task, completed=written)
            except (NotAcknowledged, TooLarge) as error:
                raise UserError(f"{error}; {written:,} events before that are in the topic") from error
            except UserError as error:
                text = f"{error.text}; {written:,} events before that are in the topic"
                raise UserError(text, error.hint, error.exit_code) from None
    typer.echo(f"{written:,} events produced to {topic}")
    if events.keyless:
        warn(f"{events.keyless:,} of them without key, for want of {' or '.join(events.keys)}: their order is not kept")
