"""Fills a ledger from outside: the broker asked by plain clients, the vendors by what they noted themselves.

Clocks: a vendor's times are this process's, Kafka's are the broker's. A dead letter's time is its producer's unless the
topic is made with `message.timestamp.type=LogAppendTime`: make it so where members' clocks are stepped.
"""

import asyncio
import hashlib
import hmac
import time
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream.destinations.attio.sandbox import AttioSandbox
from stream.destinations.sandbox import Entry, Sandbox
from stream.destinations.sandbox_http import Answer, Arrival
from stream.destinations.splio_sms.sandbox import SplioSmsSandbox
from tests.chaos.ledger import Asked, Committed, Erasure, Ledger, Letter, Progress, Taken, Written
from tests.e2e import members
from tests.kafka.broker import Clients, _group_offsets

Describe: TypeAlias = Callable[[Any], tuple[str, int, frozenset[str], frozenset[str]]]
"""A record's contact, its number within the contact, who must take it, and who of them rejects it for certain."""

EVERY_SECONDS = 0.2  # between two samples of the commits
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Watched(Sandbox):
    """A stand-in that notes at which member's door each call of its log came in."""

    def __init__(self) -> None:
        self.doors: list[str] = []  # host:port, beside the log
        super().__init__()

    def handle(self, arrival: Arrival) -> Answer:
        """As the vendor."""
        before = len(self.log)
        answer = super().handle(arrival)
        if len(self.log) > before:
            self.doors.append(arrival.headers["host"])
        return answer

    @abstractmethod
    def items(self, entry: Entry) -> Iterable[tuple[str, int]]:
        """Contact and number of each event that a write took."""

    def limit(self, entry: Entry) -> str:
        """The name of the limit that a call counts against."""
        return ""

    def in_flight(self, door: str) -> int:
        """Calls that came in there lately, were taken and are not answered."""
        recent = zip(self.log[-500:], self.doors[-500:], strict=True)
        return sum(entry.sequence is not None and entry.answered is None and door == at for entry, at in recent)


class WatchedAttio(Watched, AttioSandbox):
    """A workspace. The events' `job_title` is their number within the contact."""

    def items(self, entry: Entry) -> Iterator[tuple[str, int]]:
        """The one person."""
        values = orjson.loads(entry.body)["data"]["values"]
        yield values["email_addresses"][0]["email_address"], int(values["job_title"][0]["value"])


class WatchedSms(Watched, SplioSmsSandbox):
    """A universe. A text's field `c0` is the event's number within the contact, who is known by the phone."""

    def items(self, entry: Entry) -> Iterator[tuple[str, int]]:
        """Each recipient."""
        for each in orjson.loads(parse_qs(entry.body.decode())["rcpts"][0]):
            yield each["cellphone"], int(each["c0"])


def taken(vendor: Watched, destination: str) -> Iterator[Taken]:
    """What a vendor took, in its order."""
    for entry, door in zip(vendor.log, vendor.doors, strict=True):
        if entry.sequence is not None:
            answered = entry.answered if entry.status is not None else None
            for contact, n in vendor.items(entry):
                yield Taken(destination, contact, n, entry.at, door, entry.number, answered)


def asked(vendor: Watched, destination: str) -> Iterator[Asked]:
    """All that reached a vendor, in its order."""
    for entry, door in zip(vendor.log, vendor.doors, strict=True):
        contacts = vendor.contacts(Arrival(entry.method, entry.target, FORM, entry.body, entry.at))
        status = entry.status if entry.answered is not None else None
        yield Asked(destination, vendor.limit(entry), entry.at, door, status, frozenset(contacts))


async def written(broker: Clients, topic: str, describe: Describe) -> list[Written]:
    """The records of a source topic."""
    found = []
    for record in await broker.read_all(topic, timeout=120):
        contact, n, takers, undeliverable = describe(record)
        place = record.topic, record.partition, record.offset
        found.append(Written(*place, record.timestamp / 1000, contact, n, takers, undeliverable))
    return found


async def letters(broker: Clients, topic: str) -> list[Letter]:
    """The dead letters, repeated ones too."""
    if topic not in await broker.topics():
        return []
    return [_letter(record) for record in await broker.read_all(topic, timeout=120)]


def _letter(record: Any) -> Letter:
    headers = {name: value.decode() for name, value in record.headers}
    place = (
        headers["__connect.errors.topic"],
        int(headers["__connect.errors.partition"]),
        int(headers["__connect.errors.offset"]),
    )
    status = headers.get("crmstream.status")
    return Letter(
        headers["crmstream.destination"],
        *place,
        headers["crmstream.reason"],
        None if status is None else int(status),
        record.timestamp / 1000,
        record.value,
    )


async def erasures(broker: Clients, topic: str, key: str, asked_at: Mapping[str, float]) -> list[Erasure]:
    """What became of the persons whose deletion was requested at these times; *key* is the one of `privacy`."""
    records = await broker.read_all(topic) if topic in await broker.topics() else []
    found = []
    for email, at in asked_at.items():
        theirs = [each for each in records if each.key == person(key, email) and each.value is not None]
        lifted = [text for record in theirs if (text := orjson.loads(record.value)["lifted_at"])]
        found.append(
            Erasure(
                email,
                at,
                lifted_at=datetime.fromisoformat(lifted[-1]).timestamp() if lifted else None,
                known_at=theirs[0].timestamp / 1000 if theirs else None,
            )
        )
    return found


def person(key: str, email: str) -> bytes:
    """The key of a person's record in the topic of erasures."""
    return hmac.new(key.encode(), email.encode(), hashlib.sha256).hexdigest().encode()


@asynccontextmanager
async def sampling(
    broker: Clients, groups: Mapping[str, str], partitions: Iterable[tuple[str, int]], into: list[Committed]
) -> AsyncIterator[None]:
    """Notes while it lasts, and once at its end, what the groups (by destination) have committed."""
    places = [TopicPartition(*place) for place in partitions]
    task = asyncio.create_task(_sample(broker, groups, places, into))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    async with broker._admin() as admin:
        into += [each for name, group in groups.items() for each in await _commits(admin, name, group, places)]


async def _sample(
    broker: Clients, groups: Mapping[str, str], places: list[TopicPartition], into: list[Committed]
) -> None:
    """For ever; a broker that does not answer is asked again."""
    while True:
        try:
            async with broker._admin(request_timeout_ms=2000) as admin:
                while True:
                    for name, group in groups.items():
                        async with asyncio.timeout(3):
                            into += await _commits(admin, name, group, places)
                    await asyncio.sleep(EVERY_SECONDS)
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(EVERY_SECONDS)


async def _commits(admin: Any, destination: str, group: str, places: list[TopicPartition]) -> list[Committed]:
    """One sample of each partition that has a position."""
    asked_at = time.time()
    found = await _group_offsets(admin, group, places)
    told_at = time.time()
    samples = []
    for place, at in found.items():
        if at.offset >= 0:
            read = members.Committed.read(at.offset, at.metadata)
            where = place.topic, place.partition, read.position
            samples.append(Committed(destination, *where, read.bits, read.totals, asked_at, told_at))
    return samples


def progress(ledger: Ledger) -> Iterator[Progress]:
    """How far each destination was at each sample of its commits, and what was in the log by then and not settled."""
    topics = {(each.destination, each.topic) for each in ledger.commits}
    written_at = {
        destination: sorted(each.at for each in ledger.written if (destination, each.topic) in topics)
        for destination in ledger.terms
    }
    settled: dict[str, dict[tuple[str, int], int]] = {}
    for each in ledger.commits:
        mine = settled.setdefault(each.destination, {})
        mine[each.topic, each.partition] = each.position + each.above.bit_count()
        there = bisect_right(written_at[each.destination], each.asked_at)
        yield Progress(each.destination, each.told_at, sum(mine.values()), max(0, there - sum(mine.values())))
