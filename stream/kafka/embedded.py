"""A broker inside this process, for the demo and for smoke tests. Nothing outlives it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

PARTITIONS = 4  # of each topic; the mock cluster knows no other number
START_SECONDS = 10.0


@contextmanager
def embedded_broker(topics: Iterable[str]) -> Iterator[str]:
    """Its `host:port`, on loopback, with these topics.

    It is the mock cluster that comes with confluent-kafka: groups, commits and their metadata work. It creates a topic
    when it is first asked about it and never by request, keeps about 5 MB of each partition, and compacts nothing.
    """
    cluster = Producer({"bootstrap.servers": "replaced", "test.mock.num.brokers": 1, "log_level": 3})
    try:
        [broker] = cluster.list_topics(timeout=START_SECONDS).brokers.values()
        for topic in topics:
            cluster.list_topics(topic, timeout=START_SECONDS)
        yield f"{broker.host}:{broker.port}"
    finally:
        del cluster  # it lives as long as this client
