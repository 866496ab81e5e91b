"""Three real Kafka brokers in containers, each a controller too: one may be gone, and nothing that was written is."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from aiokafka.errors import KafkaError
from testcontainers.core.config import ConnectionMode
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.kafka.broker import IMAGE, SETTINGS, Clients, Node, disable_ryuk_where_unobtainable, free_port

SIZE = 3
OUTSIDE, INSIDE, VOTING = 9093, 9092, 9094  # ports: for clients, among brokers, among controllers
REPLICATED = {
    "KAFKA_DEFAULT_REPLICATION_FACTOR": "3",
    "KAFKA_MIN_INSYNC_REPLICAS": "2",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "3",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "3",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "3",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "2",
    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "3",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_CONTROLLED_SHUTDOWN_ENABLE": "true",
}


class Cluster(Clients):
    """All of them. A topic without other wishes has three replicas, of which two must have what is acknowledged."""

    def __init__(self, bootstrap: str, nodes: Sequence[Node]) -> None:
        super().__init__(bootstrap)
        self.nodes = nodes

    async def wait(self, timeout: float = 90) -> None:
        """Return when every replica of every partition is in sync: then the next broker may go."""
        async with asyncio.timeout(timeout):
            while not await self._in_sync():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.2)

    async def _in_sync(self) -> bool:
        try:
            async with asyncio.timeout(5), self._admin(request_timeout_ms=2000) as admin:
                described = await admin.describe_topics()
                alive = len((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError, TimeoutError):
            return False
        partitions = [partition for topic in described for partition in topic["partitions"]]
        return alive == SIZE and all(
            partition["leader"] >= 0 and len(partition["isr"]) == len(partition["replicas"]) for partition in partitions
        )


@contextmanager
def running_cluster(**settings: str) -> Iterator[Cluster]:
    """A cluster of its own; *settings* are further `KAFKA_…` variables of the image."""
    disable_ryuk_where_unobtainable()
    with ExitStack() as exits:
        network = exits.enter_context(Network())
        host = _host(network)
        containers = [_container(network, host, number, settings) for number in range(1, SIZE + 1)]
        started = LogMessageWaitStrategy(re.compile(r".*Kafka Server started.*")).with_startup_timeout(100)
        for container, _ in containers:
            exits.callback(container.stop)
            container.start()
        for container, _ in containers:
            started.wait_until_ready(container)
        servers = ",".join(f"{host}:{port}" for _, port in containers)
        yield Cluster(servers, [Node(container) for container, _ in containers])


def _host(network: Network) -> str:
    """Where containers of the network are reached from here; it must be known before they are started."""
    client = DockerClient()
    if client.get_connection_mode() is ConnectionMode.docker_host:
        return client.host()
    [found] = client.client.networks.get(network.id).attrs["IPAM"]["Config"]
    return str(found["Gateway"])


def _container(network: Network, host: str, number: int, settings: dict[str, str]) -> tuple[DockerContainer, int]:
    port, name = free_port(), f"broker-{number}"
    container = DockerContainer(IMAGE).with_network(network).with_network_aliases(name).with_bind_ports(OUTSIDE, port)
    own = {
        "CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qk",
        "KAFKA_NODE_ID": str(number),
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": ",".join(f"{n}@broker-{n}:{VOTING}" for n in range(1, SIZE + 1)),
        "KAFKA_CONTROLLER_LISTENER_NAMES": "VOTING",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_LISTENERS": f"OUTSIDE://0.0.0.0:{OUTSIDE},INSIDE://0.0.0.0:{INSIDE},VOTING://0.0.0.0:{VOTING}",
        "KAFKA_ADVERTISED_LISTENERS": f"OUTSIDE://{host}:{port},INSIDE://{name}:{INSIDE}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,VOTING:PLAINTEXT",
    }
    return container.with_envs(**SETTINGS | REPLICATED | own | settings), port
