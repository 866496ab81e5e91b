"""The connection test, line by line: broker, topics, how the records are keyed, then each destination's own checks."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import orjson

from stream.app import open_destination
from stream.core.records import Record
from stream.destinations.base import Check, DestinationSettings
from stream.errors import Exit, UserError
from stream.http.settings import HttpSettings
from stream.kafka.admin import Admin, BrokerUnavailable
from stream.kafka.reader import reading
from stream.settings import Settings

KAFKA = "kafka"  # stands where other lines name the destination
SAMPLE = 500  # of the newest records of each partition
SECONDS = 30.0  # that a destination's test, or a sample, may take


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the test. *destination* is `kafka` for what all have in common."""

    destination: str
    check: Check


async def connections(settings: Settings) -> AsyncIterator[Line]:
    """Every line; what is refused keeps nothing else from being tested, but for what depends on it."""
    async for check in _kafka(settings):
        yield Line(KAFKA, check)
    for name, destination in settings.destinations.items():
        if not destination.enabled:
            yield Line(name, Check("connection", None, "not enabled"))
            continue
        async for check in _destination(destination, settings.http):
            yield Line(name, check)


async def _kafka(settings: Settings) -> AsyncIterator[Check]:
    servers = ", ".join(settings.kafka.bootstrap_servers)
    try:
        async with Admin(settings.kafka) as admin:
            yield Check("broker", True, servers)
            for topic in settings.source.topics:
                async for check in _source(admin, settings, topic):
                    yield check
            for topic in (settings.dead_letters.topic, settings.control.topic):
                yield await _own(admin, topic, create=settings.kafka.create_topics)
    except BrokerUnavailable as error:
        yield Check("broker", False, error.text, error.hint)


async def _source(admin: Admin, settings: Settings, topic: str) -> AsyncIterator[Check]:
    try:
        count = (await admin.partitions([topic]))[topic]
    except BrokerUnavailable:
        raise
    except UserError as error:
        yield Check(f"topic {topic}", False, error.text, error.hint)
        return
    yield Check(f"topic {topic}", True, f"{count} partitions" if count > 1 else "1 partition")
    if count > 1:
        yield await _keys(settings, topic)


async def _own(admin: Admin, topic: str, *, create: bool) -> Check:
    """A topic of our own, which may still be missing where we create it."""
    try:
        await admin.partitions([topic])
    except BrokerUnavailable:
        raise
    except UserError as error:
        if create:
            return Check(f"topic {topic}", None, "not there yet: `run` creates it")
        return Check(f"topic {topic}", False, error.text, "create it, or set `kafka.create_topics: true`")
    return Check(f"topic {topic}", True, "found")
