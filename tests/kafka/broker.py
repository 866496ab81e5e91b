"""A real Kafka broker in a container, with what tests ask of it through plain clients.

Nothing here goes through our own code: a balance compares what two independent readers say.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from docker.models.containers import Container
from testcontainers.community.kafka import KafkaContainer
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

IMAGE = "confluentinc/cp-kafka:8.3.2"
SETTINGS = {
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_BROKER_SESSION_TIMEOUT_MS": "3000",  # back 3 s after a crash instead of 9 s
    "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_HEAP_OPTS": "-Xmx384m -Xms128m",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A record to produce. Without a partition the key chooses it."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None


class Node:
    """One broker's container, on a port that stays the same when it is restarted."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container

    @property
    def engine(self) -> Container:
        """The container as the Docker engine knows it."""
        return self._container.get_wrapped_container()

    def pause(self) -> None:
        """Hang it: connections stay open, nothing answers."""
        self.engine.pause()

    def unpause(self) -> None:
        """Let it answer again."""
        self.engine.unpause()

    def kill(self) -> None:
        """Crash it: no farewell to anyone, the log stays."""
        self.engine.kill()

    def start(self) -> None:
        """Bring it back after `kill`; it answers some seconds later: see `wait`."""
        self.engine.start()

    def restart(self) -> None:
        """Ask it to end, and bring it back."""
        self.engine.restart(timeout=15)


class Clients:
    """What tests ask of one broker or several, by plain clients. *bootstrap*: where they are."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.bootstrap}>"

    async def wait(self, timeout: float = 60) -> None:
        """Return when it answers."""
        async with asyncio.timeout(timeout):
            while not await self._answers():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.2)

    async def create(self, topic: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
        """Create *topic* and return when each partition has a leader that answers."""
        new = NewTopic(topic, partitions, -1, replica_assignments={}, topic_configs=dict(configs or {}))
        async with self._admin() as admin, asyncio.timeout(30):
            response = await admin.create_topics([new])
            [(_, code, *text)] = response.topic_errors
            assert code == 0, f"the broker refused to create {topic}: {text}"
            while not await _led(admin, topic, partitions):  # noqa: ASYNC110 - the broker sets no event
                await asyncio.sleep(0.05)

    async def produce(self, topic: str, records: Iterable[Sent | bytes]) -> int:
        """Write *records* in their order; returns how many the broker acknowledged."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", linger_ms=5) as producer:
            written = []
            for record in records:
                sent = record if isinstance(record, Sent) else Sent(record)
                written.append(
                    await producer.send(
                        topic,
                        sent.value,
                        key=sent.key,
                        partition=sent.partition,
                        timestamp_ms=sent.timestamp_ms,
                        headers=list(sent.headers),
                    )
                )
            await asyncio.gather(*written)
        return len(written)

    async def read_all(self, topic: str, timeout: float = 30) -> list[ConsumerRecord[bytes, bytes]]:
        """Every committed record of *topic*, each partition in its order."""
        async with asyncio.timeout(timeout), self._consumer() as consumer:
            partitions = await _partitions(consumer, topic)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[ConsumerRecord[bytes, bytes]] = []
            for partition in partitions:
                consumer.pause(*(other for other in partitions if other != partition))
                consumer.resume(partition)
                while await consumer.position(partition) < ends[partition]:
                    for batch in (await consumer.getmany(partition, timeout_ms=200)).values():
                        found += [record for record in batch if record.offset < ends[partition]]
            return found

    async def ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition."""
        async with self._consumer() as consumer:
            ends = await consumer.end_offsets(await _partitions(consumer, topic))
        return {partition.partition: end for partition, end in ends.items()}

    async def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        """Position and metadata of each partition for which *group* has committed one."""
        async with self._consumer() as consumer:
            partitions = await _partitions(consumer, topic)
        async with self._admin() as admin:
            found = await _group_offsets(admin, group, partitions)
        assert len(found) == len(partitions), "the coordinator did not answer for every partition"
        return {p.partition: (at.offset, at.metadata) for p, at in found.items() if at.offset >= 0}

    async def topics(self) -> set[str]:
        """The names of all topics."""
        async with self._admin() as admin:
            return set(await admin.list_topics())

    async def config(self, topic: str, name: str) -> str:
        """What the broker says of one setting of *topic*."""
        async with self._admin() as admin:
            [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        [(_, _, _, _, entries)] = response.resources
        return next(str(value) for key, value, *_ in entries if key == name)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Remove what is below *offset*, as retention does in time."""
        async with self._admin() as admin:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(offset)})

    async def _answers(self) -> bool:
        try:
            async with self._admin(request_timeout_ms=2000) as admin:
                await admin.list_topics()
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    @asynccontextmanager
    async def _admin(self, **arguments: Any) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, **arguments)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed", enable_auto_commit=False
        )


class Broker(Node, Clients):
    """One broker and all that is asked of it."""

    def __init__(self, container: KafkaContainer) -> None:
        Node.__init__(self, container)
        Clients.__init__(self, container.get_bootstrap_server())

    @property
    def nodes(self) -> Sequence[Node]:
        """What can be killed, paused and started one by one: itself."""
        return (self,)

    @property
    def host(self) -> str:
        """The name or address under which containers are reached from here."""
        return self.bootstrap.rpartition(":")[0]


@contextmanager
def running_broker(protocol: str = "PLAINTEXT", **settings: str) -> Iterator[Broker]:
    """A broker of its own; *settings* are further `KAFKA_…` variables of the image, *protocol* is its listener's."""
    disable_ryuk_where_unobtainable()
    container = KafkaContainer(IMAGE, security_protocol=protocol).with_kraft().with_bind_ports(9093, free_port())
    container.with_envs(**SETTINGS, **settings)
    try:
        container.start(timeout=100)
        yield Broker(container)
    finally:
        container.stop()


def docker_answers() -> bool:
    """Whether a Docker engine answers within some seconds."""
    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


def disable_ryuk_where_unobtainable() -> None:
    """Ryuk removes what killed test runs leave behind; its image cannot be had on every machine."""
    client = docker.from_env()
    try:
        client.images.get(testcontainers_config.ryuk_image)
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(testcontainers_config.ryuk_image)
        except docker.errors.APIError:
            testcontainers_config.ryuk_disabled = True
    finally:
        client.close()


def free_port() -> int:
    """A random port would change when the broker is restarted."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    await consumer._client._wait_on_metadata(topic)
    return [TopicPartition(topic, partition) for partition in sorted(consumer.partitions_for_topic(topic) or ())]


async def _group_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: list[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    async with asyncio.timeout(30):
        while True:
            try:
                found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
                    group, partitions=partitions
                )
            except KafkaError as error:  # a young or restarted broker is still finding its coordinator
                if not error.retriable:
                    raise
                await asyncio.sleep(0.1)
            else:
                return found


async def _led(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> bool:
    described: list[dict[str, Any]] = await admin.describe_topics([topic])
    found = [partition for each in described for partition in each["partitions"]]
    return len(found) == partitions and all(partition["leader"] >= 0 for partition in found)
