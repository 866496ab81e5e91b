"""Fixtures for every test: brokers and topics. Kafka tests are left out, aloud, where no Docker engine answers."""

import fcntl
import gc
import os
from collections.abc import Awaitable, Generator, Iterator
from itertools import count
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Protocol

import pytest
import structlog

if TYPE_CHECKING:
    from tests.kafka.broker import Broker
    from tests.kafka.cluster import Cluster

LOCKS = tuple(Path(gettempdir(), f"crmstream-tests-{os.getuid()}.{name}") for name in ("door", "room"))
BROKERS = {"broker", "own_broker", "own_cluster"}
LEFT_OUT = pytest.StashKey[bool]()
_numbers = count(1)


class NewTopic(Protocol):
    """Makes a fresh topic on the shared broker and gives its name."""

    def __call__(self, partitions: int = 1, **configs: str) -> Awaitable[str]: ...


@pytest.fixture(autouse=True)
def _unconfigured_logs() -> Iterator[None]:
    """What a command makes of the logs ends with its test: a quiet one would keep others from seeing what is said."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def broker() -> Iterator["Broker"]:
    """The broker that all Kafka tests share: topics and groups of its own keep a test apart from the others."""
    from tests.kafka.broker import running_broker

    with running_broker() as shared:
        yield shared
    gc.collect()  # what clients left: found within pytest's own compiling, it would break that in CPython 3.11


@pytest.fixture
def own_broker() -> Iterator["Broker"]:
    """A broker for one test, which may hang, kill and restart it."""
    from tests.kafka.broker import running_broker

    with running_broker() as own:
        yield own


@pytest.fixture
def own_cluster() -> Iterator["Cluster"]:
    """Three brokers for one test, of which it may take one at a time."""
    from tests.kafka.cluster import running_cluster

    with running_cluster() as own:
        yield own


@pytest.fixture
def topic(broker: "Broker", request: pytest.FixtureRequest) -> NewTopic:
    """`await topic(partitions=3)` gives the name of a fresh topic on the shared broker."""
    stem = request.node.name.split("[")[0].removeprefix("test_")[:60]

    async def create(partitions: int = 1, **configs: str) -> str:
        name = f"{stem}.{next(_numbers)}"
        await broker.create(name, partitions, {key.replace("_", "."): text for key, text in configs.items()})
        return name

    return create


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests marked `alone` have the machine for themselves: the other worker waits, before the test's time runs.

    The room is held shared, or by one alone; whoever waits for it stands in the door, so that no stream of others
    keeps one waiting for ever.
    """
    alone = item.get_closest_marker("alone") is not None
    with LOCKS[0].open("w") as door, LOCKS[1].open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Mark what needs a broker as `kafka`; where none can be had, leave it out of what was selected."""
    for item in items:
        if BROKERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")
    yield
    kafka = [item for item in items if item.get_closest_marker("kafka")]
    if not kafka or _docker_answers():
        return
    if os.environ.get("CI") == "true":
        raise pytest.UsageError("no Docker engine answers, and CI leaves no Kafka test out")
    items[:] = [item for item in items if not item.get_closest_marker("kafka")]
    config.hook.pytest_deselected(items=kafka)
    config.stash[LEFT_OUT] = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One plain line, so that nobody takes a green run for a complete one."""
    if config.stash.get(LEFT_OUT, False):
        terminalreporter.write_line("Kafka tests left out: no Docker engine answers")


def _docker_answers() -> bool:
    from tests.kafka.broker import docker_answers

    return docker_answers()
