"""The events of a run, and the plain producer that writes them. What each is, its record's headers say: see `told`."""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from tests.chaos.ledger import Partition
from tests.chaos.plan import PRIVACY, TEXTS, Plan

EVENT = "Order Completed"
AT = "2026-06-06T10:30:00.000Z"
CONSENT = {"consent": {"canonical": {"marketing": True}}}
AT_ONCE = 500  # records on their way
PATIENCE_MS = 90_000  # for a broker that comes back


@dataclass(frozen=True, slots=True)
class Event:
    """A record to write, and what is true of it."""

    contact: str
    n: int  # its number within the contact
    value: bytes
    takers: frozenset[str] = frozenset()
    undeliverable: frozenset[str] = frozenset()

    def headers(self) -> list[tuple[str, bytes]]:
        """What it is, for the ledger."""
        words = (",".join(sorted(names)) for names in (self.takers, self.undeliverable))
        return [(name, word.encode()) for name, word in zip("cntu", (self.contact, str(self.n), *words), strict=True)]


def told(record: Any) -> tuple[str, int, frozenset[str], frozenset[str]]:
    """Contact, number, takers, and those of them that reject it, of a record that was read."""
    contact, n, takers, undeliverable = (value.decode() for _, value in record.headers[:4])
    return contact, int(n), *(frozenset(filter(None, names.split(","))) for names in (takers, undeliverable))


def events(plan: Plan) -> Iterator[Event]:
    """The events of a plan, in the order in which they are written, without end."""
    random = Random(plan.seed)
    people = Numbers(plan.seed)
    rest = frozenset(plan.destinations) - {TEXTS, PRIVACY}
    texts = 1.0 if plan.workload == "texts" else 0.3 if plan.workload == "mixed" else 0.0
    odd = 0.002 if plan.workload == "bulk" else 0.02  # a refused bulk call is split until the bad row is alone
    while True:
        number = random.randrange(plan.contacts)
        if (kind := random.random()) < odd:
            yield _odd(random, people, plan, rest)
        elif kind < odd + (1 - odd) * texts:
            yield _ordered(people, number // 4)
        else:
            yield _identified(people, f"contact-{number}@example.com", rest)


class Numbers:
    """Counts the events of each contact."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._last: dict[str, int] = {}

    def next(self, contact: str) -> int:
        """The number of the contact's next event, from 1."""
        self._last[contact] = self._last.get(contact, 0) + 1
        return self._last[contact]


def _odd(random: Random, people: Numbers, plan: Plan, rest: frozenset[str]) -> Event:
    """What vendors reject, what is no event, and what is nobody's."""
    match random.randrange(3):
        case 0 if rest:
            return _identified(people, f"no-address-{random.randrange(20)}", rest, undeliverable=rest)
        case 1:
            number = people.next("junk")
            everyone = frozenset(plan.destinations) - {PRIVACY}
            return Event(f"junk-{number}", 1, b'{"type": ', everyone, everyone)
    number = people.next("page")
    return Event(f"page-{number}", 1, orjson.dumps({"type": "page", "userId": f"page-{number}", "timestamp": AT}))


def _identified(
    people: Numbers, email: str, takers: frozenset[str], undeliverable: frozenset[str] = frozenset()
) -> Event:
    n = people.next(email)
    traits = {"email": email, "job_title": str(n)}
    value = {"type": "identify", "userId": email, "timestamp": AT, "traits": traits, "context": CONSENT}
    return Event(email, n, orjson.dumps(value), takers, undeliverable)


def _ordered(people: Numbers, number: int) -> Event:
    phone = f"+336{number:08d}"
    n = people.next(phone)
    about = {"messageId": f"{people.seed}-{phone}-{n}", "userId": phone, "timestamp": AT}
    value = {"type": "track", "event": EVENT, **about, "traits": {"phone": phone}, "properties": {"n": str(n)}}
    return Event(phone, n, orjson.dumps(value), frozenset((TEXTS,)))


class Writer:
    """Writes a run's events in their order, each contact's into one partition, at the plan's pace."""

    def __init__(self, bootstrap: str, topic: str, plan: Plan, acknowledged: dict[Partition, int]) -> None:
        """*acknowledged* is counted up, by partition."""
        self._acknowledged = acknowledged
        self._bootstrap = bootstrap
        self._topic = topic
        self._plan = plan

    async def write(self, done: Callable[[], bool] = lambda: True) -> None:
        """As many as the plan says, at a steady pace more until *done*; returns when the broker has them."""
        waiting = events(self._plan)
        loop = asyncio.get_running_loop()
        chunk = AT_ONCE if self._plan.pace is None else max(1, int(self._plan.pace / 10))
        started, count = loop.time(), 0
        async with plain_producer(self._bootstrap) as producer:
            while count < self._plan.events or (self._plan.pace is not None and not done()):
                some = list(islice(waiting, chunk))
                written = [await self._send(producer, event) for event in some]
                for sent in await asyncio.gather(*written):
                    place = self._topic, sent.partition
                    self._acknowledged[place] = self._acknowledged.get(place, 0) + 1
                count += len(some)
                if self._plan.pace is not None:
                    await asyncio.sleep(max(0.0, started + count / self._plan.pace - loop.time()))

    async def _send(self, producer: AIOKafkaProducer, event: Event) -> Any:
        key = event.contact.encode()
        partition = zlib.crc32(key) % self._plan.partitions
        return await producer.send(self._topic, event.value, key=key, partition=partition, headers=event.headers())


def plain_producer(bootstrap: str) -> AIOKafkaProducer:
    """One that neither reorders nor repeats, and outlasts a broker's restart."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=256 * 1024,
        request_timeout_ms=PATIENCE_MS,
    )
