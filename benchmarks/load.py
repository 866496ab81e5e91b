"""The events of a benchmark: made here, and produced to twelve partitions. Nothing of the program is used."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.arrivals import out_of_order

PARTITIONS = 12
PACE = 0.001  # seconds between two looks at what is due
SEED = 7

FIRST_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Esra", "Fatima", "Grace", "Hiroshi", "Inés", "Jack")
LAST_NAMES = ("Andersson", "Brown", "Costa", "Dubois", "Evans", "Fischer", "García", "Hughes", "Ito", "Jones", "Kaya")
VIEWED = {"type": "track", "event": "Page Viewed"}
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def events(count: int, contacts: int, one_in: int = 1) -> Iterator[tuple[int, bytes]]:
    """*count* events of 600 to 1,000 bytes, each with its contact.

    One in *one_in* is an identify, numbered from 0 in their order; the others are of a kind that the vendor does not
    get. Contacts take turns in rounds, in a new random order each round, so all have equally many: were it left to
    chance, the end of a run would measure how much the busiest contact has left.
    """
    chance = random.Random(SEED)
    order = list(range(contacts))
    for number in range(count):
        if number % contacts == 0:
            chance.shuffle(order)
        contact = order[number % contacts]
        taken, rest = divmod(number, one_in)
        yield contact, event(taken, contact, chance, {} if rest == 0 else VIEWED)


def event(number: int, contact: int, chance: random.Random, changes: dict[str, str]) -> bytes:
    """An envelope of the datafly dialect. The job title is the number, by which the vendor knows the event."""
    first, last = FIRST_NAMES[contact % len(FIRST_NAMES)], LAST_NAMES[contact % len(LAST_NAMES)]
    return orjson.dumps(
        {
            "type": "identify",
            "userId": f"user-{contact:05}",
            "anonymousId": str(UUID(int=contact + (1 << 100))),
            "messageId": str(UUID(int=chance.getrandbits(128), version=4)),
            "timestamp": (JANUARY + timedelta(milliseconds=37 * number)).isoformat(timespec="milliseconds"),
            "traits": {
                "email": f"Contact.{contact:05}@example.com ",
                "first_name": first,
                "last_name": last,
                "phone": f"+1{5558670000 + contact}",
                "job_title": str(number),
                "plan": "team" if contact % 3 else "free",
            },
            "context": {
                "locale": "en-US",
                "ip": "192.0.2.17",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
                "page": {
                    "url": f"https://www.example.com/account/{'settings/' * chance.randrange(20)}",
                    "title": "Your account",
                    "referrer": "https://www.example.com/",
                },
                "campaign": {"source": "newsletter", "medium": "email", "name": "spring"},
                "consent": {"canonical": {"marketing": True, "analytics": contact % 2 == 0}},
            },
        }
        | changes
    )


def produce(bootstrap: str, topic: str, count: int, contacts: int, one_in: int = 1) -> None:
    """Fill *topic*, and read it back.

    A contact's events are in one partition; partitions are about equally full. Raises where the log has other events,
    or in another order.
    """
    refused: list[KafkaError] = []

    def acknowledged(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            refused.append(error)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # else a retry, as a new topic may need one, changes the order in the log
            "linger.ms": 20,
            "log_level": 3,  # errors
            "queue.buffering.max.messages": 0,  # no limit
        }
    )
    for contact, value in events(count, contacts, one_in):
        key = f"user-{contact:05}"
        producer.produce(topic, value, key, partition=contact % PARTITIONS, on_delivery=acknowledged)
        producer.poll(0)
    if producer.flush(60) or refused:
        raise RuntimeError(f"the broker did not take every event: {refused[:1]}")
    numbers = written(bootstrap, topic)
    if len(numbers) != count or out_of_order(numbers):
        raise RuntimeError(f"{topic} holds {len(numbers)} of {count} events, {out_of_order(numbers)} out of order")


def written(bootstrap: str, topic: str) -> list[tuple[str, int]]:
    """The contact and the number of each event in the log, each partition in its order: what the vendor must see."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False}
    consumer = Consumer(settings | {"enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[tuple[str, int]] = []
    ended: set[int | None] = set()
    while len(ended) < PARTITIONS:
        for message in consumer.consume(1000, timeout=0.1):
            if error := message.error():
                assert error.name() == "_PARTITION_EOF", error
                ended.add(message.partition())
            else:
                traits = orjson.loads(message.value() or b"")["traits"]
                found.append((traits["email"], int(traits["job_title"])))
    consumer.close()
    return found


def create(bootstrap: str, topic: str) -> None:
    """A topic with a leader for each partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = admin.list_topics(topic, timeout=10).topics[topic].partitions
        if len(found) == PARTITIONS and all(each.leader >= 0 for each in found.values()):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{topic} has no leaders")


def paced(
    bootstrap: str, topic: str, count: int, contacts: int, rate: float, *, ready: Callable[[], None]
) -> list[float]:
    """Produce one event, wait for *ready*, then so many at *rate* a second.

    When each was handed over, by the machine's monotonic clock.
    """
    at_once = {"linger.ms": 0, "socket.nagle.disable": True}
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 3} | at_once)
    handed: list[float] = []

    def hand_over(some: Iterable[tuple[int, bytes]]) -> None:
        for contact, value in some:
            handed.append(time.perf_counter())
            producer.produce(topic, value, f"user-{contact:05}", partition=contact % PARTITIONS)

    made = [*events(1 + count, contacts)]
    hand_over(made[:1])
    producer.flush(60)
    ready()
    begin = time.perf_counter()
    while len(handed) < len(made):
        due = 2 + int((time.perf_counter() - begin) * rate)
        hand_over(made[len(handed) : due])
        producer.poll(0)
        time.sleep(PACE)
    if producer.flush(60):
        raise RuntimeError("the broker did not take every event")
    return handed
