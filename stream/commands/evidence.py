"""What Kafka knows of each partition's past: receipts, commits, dead letters, and what the log still holds.

What follows from it is `stream.core.balance`'s.
"""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from schemas.receipts import key
from stream.core.balance import Evidence, Point
from stream.errors import UserError
from stream.kafka.admin import Admin, BrokerUnavailable
from stream.settings import Settings, topics_read
from stream.topics.dead_letters import letters
from stream.topics.receipts import receipts

NO_RECEIPTS = (
    "without a `receipts` block a balance begins where the group's counters did, and cannot show when something "
    "happened, nor that a position went back to their beginning"
)


class Place(NamedTuple):
    """One destination's share of one partition."""

    destination: str
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """The evidence of each place, and how many records the dead-letter topic has lost at its beginning."""

    evidence: dict[Place, Evidence]
    letters_gone: int
    unseen: list[str]  # what cannot be shown, and why


async def gather(settings: Settings) -> Gathered:
    """Ask for the evidence of every enabled destination, also while it is running. Raises UserError.

    In an order in which what is asked later is never behind: no receipt may be ahead of the commit beside it, no
    commit may count a letter that was not there yet.
    """
    destinations = {name: topics_read(settings, each) for name, each in settings.destinations.items() if each.enabled}
    async with Admin(settings.kafka) as admin:
        counts = await admin.partitions({topic for topics in destinations.values() for topic in topics})
        places = [
            Place(name, topic, partition)
            for name, topics in destinations.items()
            for topic in topics
            for partition in range(counts[topic])
        ]
        begins = await admin.begin_offsets(
            (topic, number) for topic, count in counts.items() for number in range(count)
        )
        points, unseen = await _receipts(settings, admin)
        committed = await _committed(settings, admin, places)
        buried, letters_gone = await _letters(settings, admin)
        ends = await admin.end_offsets(begins)
    evidence = {
        place: Evidence(
            begin=begins[place[1:]],
            end=ends[place[1:]],
            from_begin=settings.source.start == "earliest",
            receipts=points.get(key(_group(settings, place.destination), *place[1:]), ()),
            committed=committed.get(place),
            letters=buried.get(place, ()),
        )
        for place in places
    }
    return Gathered(evidence, letters_gone, unseen)


async def _receipts(settings: Settings, admin: Admin) -> tuple[dict[bytes, list[Point]], list[str]]:
    """The receipts by their key, as they were written, and what is missing without them."""
    found: defaultdict[bytes, list[Point]] = defaultdict(list)
    if settings.receipts is None:
        return found, [NO_RECEIPTS]
    if not await _exists(admin, settings.receipts.topic):
        return found, [f"there is no topic {settings.receipts.topic} yet: no receipts were written"]
    async with aclosing(receipts(settings.kafka, settings.receipts.topic)) as written:
        async for place, point in written:
            found[place].append(point)
    return found, []


async def _committed(settings: Settings, admin: Admin, places: Iterable[Place]) -> dict[Place, tuple[int, str]]:
    found = {}
    partitions: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for place in places:
        partitions[place.destination].append(place[1:])
    for name, own in partitions.items():
        commits = await admin.group_offsets(_group(settings, name), own)
        found.update({Place(name, *partition): commit for partition, commit in commits.items()})
    return found


async def _letters(settings: Settings, admin: Admin) -> tuple[dict[Place, list[int]], int]:
    """The offsets that dead letters are about, and how many records are gone from the letters' topic."""
    found: defaultdict[Place, list[int]] = defaultdict(list)
    topic = settings.dead_letters.topic
    if not await _exists(admin, topic):
        return found, 0
    count = (await admin.partitions([topic]))[topic]
    gone = sum((await admin.begin_offsets((topic, number) for number in range(count))).values())
    async with aclosing(letters(settings.kafka, topic)) as buried:
        async for letter in buried:
            about = letter.about
            found[Place(about.destination, about.topic, about.partition)].append(about.offset)
    return found, gone


async def _exists(admin: Admin, topic: str) -> bool:
    try:
        await admin.partitions([topic])
    except BrokerUnavailable:
        raise
    except UserError:
        return False
    return True


def _group(settings: Settings, destination: str) -> str:
    return f"{settings.source.group}.{destination}"
