"""Reads the source for what is to be replayed: what came after a letter's event, and values that letters lack."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stream.commands import warn
from stream.commands.dlq.plan import Place, Scan, Subject, subject_of
from stream.core.offsets import OffsetTracker
from stream.destinations import REGISTRY
from stream.kafka.admin import Admin
from stream.kafka.producer import Producer
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings
from stream.mapping import Maps
from stream.messages import Messages
from stream.opening import open_destination
from stream.settings import Settings, mapping_of
from stream.topics import names
from stream.topics.state import State
from stream.topics.traits import Traits

MANY = 100_000  # records: who waits for so many is told why


@asynccontextmanager
async def subjects(
    settings: Settings, name: str, places: Sequence[Place], *, judged: bool
) -> AsyncIterator[Subject | None]:
    """Tells what events of destination *name* are about, by its own mapping and what is remembered of users.

    None where nothing is to be judged.
    """
    own = settings.destinations[name]
    if not judged or REGISTRY[own.type].calls.reads != "events":
        yield None
        return
    mapping = mapping_of(name, own)
    async with AsyncExitStack() as stack:
        destination = await stack.enter_async_context(open_destination(own, settings.http))
        traits = await stack.enter_async_context(_remembered(settings, name, mapping, places))
        messages = Messages(
            name,
            mapping=mapping,
            destination=destination,
            dialect=settings.source.dialect,
            wall=time.time,
            traits=traits,
        )
        yield subject_of(destination, messages)


async def read(settings: KafkaSettings, scans: Mapping[Place, Scan]) -> int:
    """Let each scan hear its partition, from its first letter to the end as it is now.

    Gives of how many letters the source no longer holds what came next.
    """
    by_partition = {place[1:]: scan for place, scan in scans.items() if scan.start is not None}
    if not by_partition:
        return 0
    async with Admin(settings) as admin:
        begins, ends = await admin.begin_offsets(by_partition), await admin.end_offsets(by_partition)
    much = sum(ends[place] - max(scan.start or 0, begins[place]) for place, scan in by_partition.items())
    if much > MANY:
        warn(f"reading {much:,} records of the source: what came after the letters decides which are replayed")
    unseen = sum(scan.unseen(begins[place]) for place, scan in by_partition.items())
    for topic in {topic for topic, _ in by_partition}:
        starts = {
            number: max(scan.start or 0, begins[name, number])
            for (name, number), scan in by_partition.items()
            if name == topic
        }
        async with reading(settings, topic, starts=starts) as reader:
            async for record in reader.what_is_there():
                by_partition[topic, record.partition].hear(record)
    return unseen


@asynccontextmanager
async def _remembered(
    settings: Settings, name: str, mapping: Maps, places: Sequence[Place]
) -> AsyncIterator[Traits | None]:
    """What the destination's members remember of users, read from their changelogs; it is only looked at."""
    group = settings.source.group_of(name)
    if not (settings.source.remember_traits and mapping.traits):
        yield None
        return
    async with Admin(settings.kafka) as admin:
        changelogs = [names.state(group, topic) for topic in {topic for _, topic, _ in places}]
        there = await admin.partitions([each for each in changelogs if await admin.has(each)])
        known = [place for place in places if place[2] < there.get(names.state(group, place[1]), 0)]
        if not known:
            yield None
            return
        trackers = [OffsetTracker(topic, partition, 0) for _, topic, partition in known]
        with TemporaryDirectory(prefix="crmstream-") as folder:
            unused = Producer(settings.kafka)
            state = State(settings.kafka, admin=admin, producer=unused, folder=Path(folder), group=group)
            await state.assigned(trackers)
            traits = Traits(state, mapping.traits, destination=name)
            await traits.assigned(trackers)
            yield traits
            await state.revoked()
