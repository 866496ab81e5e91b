"""How `run` starts and ends: what keeps it from starting is told in a line, with an exit code; signals are obeyed."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.destinations.attio.sandbox import AttioFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import Member, attio_at, configuration, contacts, events, free_port, until
from tests.e2e.vendor import assert_all_in_order
from tests.kafka.broker import Broker

NOBODY = "http://127.0.0.1:9"
Alone = Callable[..., Member]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    """Starts a member with neither broker nor vendor."""
    members = []

    def start(**blocks: dict[str, Any]) -> Member:
        config = tmp_path / "crmstream.yaml"
        config.write_bytes(
            orjson.dumps(configuration(f"127.0.0.1:{free_port()}", "events", free_port(), attio_at(NOBODY), blocks))
        )
        members.append(Member(config, tmp_path / "member.out", (), destination="attio", door="", port=0))
        return members[-1]

    yield start
    for member in members:
        member.end()


async def test_an_unknown_key_is_told_with_its_place_and_the_nearest_one(alone: Alone) -> None:
    """Exit 2, before anything is connected to."""
    member = alone(source={"windw": 50})

    assert 2 == await member.exit_code()
    assert "source.windw" in member.output
    assert "window" in member.output.replace("windw", "")
    assert "Traceback" not in member.output


async def test_a_missing_variable_is_told_by_its_name(alone: Alone) -> None:
    """Exit 2."""
    member = alone(destination={"api_key": "${NO_SUCH_VARIABLE_EVER}"})

    assert 2 == await member.exit_code()
    assert "NO_SUCH_VARIABLE_EVER" in member.output


async def test_a_broker_that_is_not_there_is_told_by_its_address(alone: Alone) -> None:
    """Exit 1, with what to look at."""
    nowhere = f"127.0.0.1:{free_port()}"

    member = alone(kafka={"bootstrap_servers": nowhere})

    assert 1 == await member.exit_code()
    assert nowhere in member.output
    assert "refused" in member.output
    assert "Traceback" not in member.output


async def test_a_missing_topic_is_told_by_its_name(broker: Broker, stage: NewStage) -> None:
    """Exit 1; the topics that are there are not named as missing."""
    here = await stage(broker)

    member = await here.run(source={"topics": [here.topic, "no.such.topic"]})

    assert 1 == await member.exit_code()
    assert "no topic no.such.topic at" in member.output


async def test_topics_of_our_own_that_may_not_be_created_are_told(broker: Broker, stage: NewStage) -> None:
    """`kafka.create_topics: false`: exit 1 with what to create. By default they are made, `control` compacted."""
    here = await stage(broker)

    member = await here.run(kafka={"create_topics": "false"})

    assert 1 == await member.exit_code()
    assert f"no topic {here.dead}" in member.output
    assert "1 partition" in member.output
    await here.drain()
    assert "compact" == await broker.config(here.control, "cleanup.policy")
    await here.drain(kafka={"create_topics": "false"})


async def test_a_port_in_use_is_told_by_its_number(broker: Broker, stage: NewStage) -> None:
    """Exit 1, and nothing is delivered."""
    here = await stage(broker)
    await here.send(events(contacts(3), each=1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        member = await here.run(server={"port": port})

    assert 1 == await member.exit_code()
    assert str(port) in member.output
    assert "Traceback" not in member.output
    assert [] == here.vendor.log


async def test_sigterm_during_the_start_ends_it_cleanly(broker: Broker, stage: NewStage) -> None:
    """While the connection test awaits its answer: exit 0, and nothing was delivered or half begun."""
    here = await stage(broker)
    total = await here.send(events(contacts(3), each=1))
    here.vendor.faults = AttioFaults(latency=1)
    member = await here.start()

    await until(lambda: bool(here.vendor.log), member, what="the connection test")
    member.terminate()
    assert 0 == await member.exit_code()

    assert [] == here.vendor.ledger
    here.vendor.faults = AttioFaults()
    await here.drain()
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(contacts(3), 1))
    assert total == len(here.vendor.ledger)


async def test_a_second_sigterm_leaves_at_once(broker: Broker, stage: NewStage) -> None:
    """The first one waits for what is in flight, the second does not: exit 143 while the vendor still thinks."""
    here = await stage(broker)
    await here.send(events(contacts(3), each=1))
    member = await here.start()
    await here.delivered(3, member)
    here.vendor.faults = AttioFaults(latency=8)
    await here.send(events(contacts(3), each=1, after=1))
    await here.delivered(6, member)

    member.terminate()
    await member.in_state("draining")
    member.terminate()

    assert 128 + 15 == await member.exit_code()
    assert 3 == here.vendor.in_flight
