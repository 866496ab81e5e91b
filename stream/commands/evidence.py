"""What Kafka knows of each partition's past: receipts, commits, dead letters, and what the log still holds.

What follows from it is `stream.core.balance`'s.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from schemas.receipts import key
from stream.core.balance import Evidence, Point
from stream.kafka.admin import Admin
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
        unseen += _left_out(points, settings, destinations)
        committed = await _committed(settings, admin, places)
        buried, letters_gone = await _letters(settings, admin)
        ends = await admin.end_offsets(begins)
    evidence = {
        place: Evidence(
            begin=begins[place[1:]],
            end=ends[place[1:]],
            from_begin=settings.source.start == "earliest" or _is_new(place, committed),
            receipts=points.get(key(settings.source.group_of(place.destination), *place[1:]), ()),
            committed=committed.get(place),
            letters=buried.get(place, ()),
        )
        for place in places
    }
    return Gathered(evidence, letters_gone, unseen)


def _is_new(place: Place, committed: Collection[Place]) -> bool:
    """Whether the partition appeared after its group had positions: such ones are read from their beginning."""
    return place not in committed and any(other.destination == place.destination for other in committed)


def _left_out(points: Iterable[bytes], settings: Settings, shown: Iterable[str]) -> list[str]:
    """The groups of this file's that have receipts, but not an enabled destination: what is with them nobody sees."""
    groups = {place.rsplit(b"/", 2)[0].decode(errors="replace") for place in points}
    first = settings.source.group_of("")
    ours = {group for group in groups if group.startswith(first) and "." not in group.removeprefix(first)}
    return [
        f"group {group} has receipts, and is of no enabled destination in the file: what it left undone is not shown"
        for group in sorted(ours - {settings.source.group_of(name) for name in shown})
    ]


async def _receipts(settings: Settings, admin: Admin) -> tuple[dict[bytes, list[Point]], list[str]]:
    """The receipts by their key, as they were written, and what is missing without them."""
    found: defaultdict[bytes, list[Point]] = defaultdict(list)
    if settings.receipts is None:
        return found, [NO_RECEIPTS]
    if not await admin.has(settings.receipts.topic):
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
        commits = await admin.group_offsets(settings.source.group_of(name), own)
        found.update({Place(name, *partition): commit for partition, commit in commits.items()})
    return found


async def _letters(settings: Settings, admin: Admin) -> tuple[dict[Place, list[int]], int]:
    """The offsets that dead letters are about, and how many records are gone from the letters' topic."""
    found: defaultdict[Place, list[int]] = defaultdict(list)
    topic = settings.dead_letters.topic
    if not await admin.has(topic):
        return found, 0
    count = (await admin.partitions([topic]))[topic]
    gone = sum((await admin.begin_offsets((topic, number) for number in range(count))).values())
    async with aclosing(letters(settings.kafka, topic)) as buried:
        async for letter in buried:
            about = letter.about
            found[Place(about.destination, about.topic, about.partition)].append(about.offset)
    return found, gone
