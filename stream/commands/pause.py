"""`crmstream pause` and `resume`: an operator's word to all members. What follows is in `stream.core.health`."""

from typing import Annotated, Literal

import typer

from stream.commands import CONFIG, ConfigFile, known

Name = Annotated[str, typer.Argument(metavar="NAME", help="The destination, by its name in the file.")]


def pause(name: Name, config: ConfigFile = CONFIG) -> None:
    """Hold a destination on all members: events are read and kept, none is sent, until it is resumed."""
    _command(name, config, "pause")


def resume(name: Name, config: ConfigFile = CONFIG) -> None:
    """Free a destination on all members: one that was paused, or that paused itself for too many burials."""
    _command(name, config, "resume")


def _command(name: str, config: ConfigFile, action: Literal["pause", "resume"]) -> None:
    import asyncio
    from datetime import UTC, datetime

    from schemas.control import Command
    from stream.kafka.admin import Admin
    from stream.kafka.producer import Producer
    from stream.settings import load
    from stream.telemetry import logs
    from stream.topics import control

    async def give() -> None:
        async with Admin(settings.kafka) as admin:
            await admin.ensure(topic, partitions=1, compacted=True, create=settings.kafka.create_topics)
        async with Producer(settings.kafka) as producer:
            await control.write(producer, topic, name, Command(action=action, at=datetime.now(UTC)))

    settings = load(config)
    known(name, settings.destinations, "destination")
    topic = settings.control.topic
    logs.configure(quiet=True)
    asyncio.run(give())
    typer.echo(f"{name}: {action} given to all members")
