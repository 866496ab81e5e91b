"""`run --workers`: one command, several members. They share the work, die and come back, and end as one."""

import asyncio
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

from stream.destinations.attio.sandbox import AttioFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, Member, Stage, contacts, events, keyed, until
from tests.e2e.test_remembered_traits import ONLY_TRACKS, signed_up, writes_of
from tests.e2e.vendor import WELL, assert_all_in_order
from tests.kafka.broker import Broker


async def test_workers_share_the_partitions_and_have_one_page(broker: Broker, stage: NewStage) -> None:
    """All partitions and all counts are on the parent's page; after a kill it says who is missing, and then is well."""
    here = await stage(broker, partitions=6)
    here.vendor.faults = AttioFaults(latency=0.02)
    people = contacts(100)
    total = await here.send(events(people, each=10))
    parent = await here.start("--workers", "3")
    await parent.owns(6)
    assert 3 == len(workers(parent))
    await here.delivered(total, parent)
    await until(lambda: ready(parent), parent, what="readiness")
    await until(lambda: _counted(parent, total), parent, what="all in /metrics")
    await committed(here, parent)

    kill(workers(parent)[1])
    await until(lambda: _says(parent, "ended with SIGKILL and is started again"), parent, what="word of the dead one")
    total += await here.send(events(people, each=10, after=10))
    await here.delivered(total, parent)
    await until(lambda: ready(parent), parent, what="readiness")
    assert 3 == len(workers(parent))
    await until(lambda: _counted(parent, total), parent, what="what the dead one counted as well")
    assert 1 == parent.output.count("worker_ended")

    parent.terminate()
    assert 0 == await parent.exit_code()
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 20))
    assert 0 == here.vendor.repeats
    await here.assert_settled()


async def test_workers_drain_and_end(broker: Broker, stage: NewStage) -> None:
    """`--drain`: 0 once each has nothing left, also where there are more of them than partitions."""
    here = await stage(broker, partitions=2)
    people = contacts(100)
    await here.send(events(people, each=10))

    parent = await here.run("--drain", "--workers", "3")

    assert 0 == await parent.exit_code()
    assert {"0", "1", "2"} == set(re.findall(r'"worker": (\d)', parent.output))
    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 10))
    await here.assert_settled()


async def test_workers_end_by_themselves_when_their_parent_is_killed(broker: Broker, stage: NewStage) -> None:
    """`kill -9` of the parent alone: they finish what is in flight, commit and leave; nothing is repeated."""
    here = await stage(broker, partitions=4)
    here.vendor.faults = AttioFaults(latency=0.1)
    people = contacts(200)
    await here.send(events(people, each=20))
    parent = await here.start("--workers", "2")
    await here.delivered(500, parent)
    left = workers(parent)

    assert here.vendor.in_flight > 0
    parent.kill()
    assert 2 == len(left)
    await until(lambda: not any(map(lives, left)), what="the end of the workers")
    assert len(here.vendor.distinct) < 4000
    here.vendor.faults = WELL
    await here.drain()

    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 20))
    assert 0 == here.vendor.repeats


async def test_a_second_signal_ends_the_workers_at_once(broker: Broker, stage: NewStage) -> None:
    """While the vendor still thinks: exit 143, and nobody is left."""
    here = await stage(broker, partitions=2)
    parent = await here.start("--workers", "2")
    await until(lambda: ready(parent), parent, what="readiness")
    here.vendor.faults = AttioFaults(latency=8)
    await here.send(events(contacts(20), each=1))
    await until(lambda: here.vendor.in_flight > 0, parent, what="calls in flight")
    left = workers(parent)

    parent.terminate()
    await parent.in_state("draining")
    parent.terminate()

    assert 143 == await parent.exit_code(timeout=5)
    await until(lambda: not any(map(lives, left)), timeout=5, what="the end of the workers")


async def test_an_error_that_all_workers_meet_is_told_once(broker: Broker, stage: NewStage) -> None:
    """A missing topic is no crash: nobody is started again, the exit code is the error's."""
    here = await stage(broker)

    parent = await here.run("--workers", "3", source={"topics": ["no.such.topic"]})

    assert 1 == await parent.exit_code()
    assert 1 == parent.output.count("no topic no.such.topic at")
    assert "worker_ended" not in parent.output
    assert "Traceback" not in parent.output


async def test_a_worker_that_dies_as_often_as_it_is_started_ends_all(broker: Broker, stage: NewStage) -> None:
    """After the fifth time, with ever longer pauses before: exit 1, and how it died."""
    here = await stage(broker, partitions=2)
    parent = await here.start("--workers", "2")
    await parent.owns(2)
    survivor, _ = workers(parent)

    async def ended() -> bool:
        for worker in set(workers(parent)) - {survivor}:
            kill(worker)
        await asyncio.sleep(0.05)
        return not parent.running

    await until(ended, what="the end")

    assert 1 == await parent.exit_code()
    assert re.search(r"crmstream: worker \d ended 5 times without .*SIGKILL", parent.output)
    assert 4 == parent.output.count("worker_ended")
    assert not lives(survivor)


async def test_workers_of_one_machine_share_what_is_remembered(broker: Broker, stage: NewStage) -> None:
    """One `state.folder`: partitions move to the other process and back, and each bare track still finds its traits."""
    here = await stage(broker, partitions=4)
    here.vendor.faults = AttioFaults(latency=0.02)
    people = contacts(400)
    await here.send(keyed(email) for email in people)
    parent = await here.start("--workers", "2", destination=ONLY_TRACKS)
    await committed(here, parent)

    await here.send(signed_up(email) for email in people)
    await until(lambda: len(here.vendor.accepted) > 50, parent, what="some deliveries")
    kill(workers(parent)[0])
    assert len(here.vendor.accepted) < 400
    await until(lambda: set(people) == writes_of(here).keys(), parent, what="all deliveries")

    parent.terminate()
    assert 0 == await parent.exit_code()
    await here.assert_settled()


# What a parent and its workers are to the machine


def workers(parent: Member) -> list[int]:
    """The process ids of those that live, by their number."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    titles = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children}
    return sorted((pid for pid, title in titles.items() if b"stream.commands.worker" in title), key=lambda p: titles[p])


def kill(worker: int) -> None:
    """`kill -9`."""
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)


def lives(worker: int) -> bool:
    """Whether the process is there."""
    try:
        return Path(f"/proc/{worker}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


async def ready(parent: Member) -> bool:
    """Whether `/health/ready` says so."""
    return 200 == (await parent.readiness())[0]


async def _says(parent: Member, reason: str) -> bool:
    """Whether it is not ready for this reason."""
    status, words = await parent.readiness()
    return 503 == status and reason in str(words.get("reason"))


async def _counted(parent: Member, total: int) -> bool:
    """Whether `/metrics` counts so many deliveries."""
    answer = await parent.get("/metrics")
    assert answer is not None
    line = f'crmstream_events_total{{destination="{DESTINATION}",outcome="delivered"}} '
    return f"{line}{total:.1f}" in answer.text.splitlines()


async def committed(here: Stage, parent: Member) -> None:
    """Wait until all that the topic holds is behind the positions."""
    for partition, end in (await here.broker.ends(here.topic)).items():
        await here.position(partition, end, parent)
