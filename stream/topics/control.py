"""Operators' commands: pause or resume a destination on all members. What follows from one is decided in `core.health`.

A compacted topic of one record for each destination; its last word holds.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from pydantic import ValidationError

from schemas.control import Command
from stream.core.records import Record
from stream.errors import UserError
from stream.kafka.producer import NotAcknowledged, Producer
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings

log = structlog.get_logger()


Commands = dict[str, Command]
"""Destination to its last command. One that is not there was never paused."""


async def write(producer: Producer, topic: str, destination: str, command: Command) -> None:
    """Give *command* to all members. Raises UserError where the broker does not confirm it."""
    try:
        await producer.send(topic, key=destination.encode(), value=command.model_dump_json().encode())
    except NotAcknowledged as error:
        raise UserError(f"the broker did not confirm the command: {error}", "try again") from error


async def follow(settings: KafkaSettings, topic: str) -> AsyncGenerator[Commands, None]:
    """All last commands: first as the topic has them now, then after each change. Close it with `aclosing`."""
    last: Commands = {}
    async with reading(settings, topic) as reader:
        async for record in reader.what_is_there():
            _hear(record, last)
        yield dict(last)
        async for record in reader.what_comes():
            if _hear(record, last):
                yield dict(last)


async def current(settings: KafkaSettings, topic: str) -> Commands:
    """All last commands as the topic has them now."""
    async with aclosing(follow(settings, topic)) as commands:
        return await anext(commands)


def _hear(record: Record, last: Commands) -> bool:
    """Whether the record changed something. One that is no command is passed over: it must not stop a pipeline."""
    destination = (record.key or b"").decode(errors="replace")
    if record.value is None:
        return last.pop(destination, None) is not None
    try:
        command = Command.model_validate_json(record.value)
    except ValidationError:
        log.warning("not_a_command", topic=record.topic, offset=record.offset)
        return False
    changed = last.get(destination) != command
    last[destination] = command
    return changed
