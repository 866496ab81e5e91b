"""Three minutes of `./dev chaos`: fixed plans in which every kind of fault happens, and hits something."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.checkers import judge
from tests.chaos.plan import SECONDS, Plan, Workload, draw
from tests.chaos.play import Played, play
from tests.kafka.broker import Broker
from tests.kafka.cluster import Cluster

pytestmark = [pytest.mark.timeout(300), pytest.mark.alone]

WRITING_SECONDS = 20.0  # so that each fault finds something under way
ALONE: dict[Workload, tuple[int, tuple[str, ...]]] = {
    "attio": (2_000, ("slow", "kill", "certificate", "clock", "freeze", "half_open")),
    "bulk": (10_000, ("join", "throttling", "term", "down", "kill", "cut_after", "leave")),
    "texts": (300, ("kill", "cut", "stall", "refusing", "revoked")),
}
TOGETHER = ("disk", "broker_kill", "letters_refused", "broker_pause", "kill", "broker_restart")


def plan(seed: int, workload: Workload, events: int, kinds: tuple[str, ...], brokers: int = 1) -> Plan:
    """A small plan with these faults, at a steady pace."""
    drawn = draw(seed, brokers=brokers, kinds=kinds, workload=workload)
    steps = tuple(replace(step, share=0.1 + 0.7 * n / len(kinds)) for n, step in enumerate(drawn.steps))
    steady = replace(drawn, events=events, pace=events / WRITING_SECONDS, steps=steps, members=2, partitions=4)
    return replace(steady, contacts=max(20, min(drawn.contacts, events // 3 if workload != "bulk" else events)))


def assert_kept(played: Played, kinds: tuple[str, ...]) -> None:
    """Every fault happened and hit, and no promise was broken."""
    assert sorted(kinds) == sorted(kind for kind, hit in played.hits if hit), played.hits
    assert [] == [*judge(played.ledger), *played.wrong], f"seed {played.plan.seed}, {played.plan.workload}"


def test_every_kind_of_fault_is_in_these_tests() -> None:
    """A new one must find its place."""
    assert SECONDS.keys() == {*TOGETHER, *(kind for _, kinds in ALONE.values() for kind in kinds)}


async def test_members_and_vendors_fail_and_nothing_is_lost(broker: Broker, tmp_path: Path) -> None:
    """Three groups side by side, each with a vendor of its own and the faults that no other group feels."""
    plans = [plan(seed, name, *ALONE[name]) for seed, name in enumerate(ALONE, start=1)]
    folders = [tmp_path / each.workload for each in plans]
    for folder in folders:
        folder.mkdir()

    runs = await asyncio.gather(*(play(each, broker, folder) for each, folder in zip(plans, folders, strict=True)))

    for played in runs:
        assert_kept(played, ALONE[played.plan.workload][1])


async def test_the_broker_and_disks_fail_and_nothing_is_lost(own_broker: Broker, tmp_path: Path) -> None:
    """All destinations in one file: events, texts and erasures."""
    assert_kept(await play(plan(4, "mixed", 1_000, TOGETHER), own_broker, tmp_path), TOGETHER)


async def test_each_of_three_brokers_fails_and_nothing_is_lost(own_cluster: Cluster, tmp_path: Path) -> None:
    """One at a time: what two of three have is there."""
    kinds = ("broker_kill", "kill", "broker_kill", "broker_kill")
    await own_cluster.wait()
    assert_kept(await play(plan(5, "attio", 3_000, kinds, brokers=3), own_cluster, tmp_path), kinds)
