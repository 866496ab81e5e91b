"""Runs one after the other, in lanes side by side: each a process of its own with brokers of its own."""

import asyncio
import gc
import logging
import multiprocessing
import pickle
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Empty
from typing import Any

from tests.chaos.ledger import Ledger
from tests.chaos.plan import Plan, Workload, draw
from tests.chaos.play import Played, play
from tests.chaos.report import Verdict, verdict
from tests.kafka.broker import Broker, running_broker
from tests.kafka.cluster import Cluster, running_cluster

LOOK_SECONDS = 5.0  # between two looks whether the lanes are there
RUN_SECONDS = 600.0  # within which a run is over


@dataclass(frozen=True, slots=True)
class Wanted:
    """What runs are to be like."""

    brokers: int = 1
    workload: Workload | None = None
    kinds: tuple[str, ...] = ()
    keep: Path = Path("chaos-runs")  # where the ledgers and outputs of runs go that broke a promise

    def plan(self, seed: int) -> Plan:
        """The plan of a seed."""
        return draw(seed, brokers=self.brokers, kinds=self.kinds, workload=self.workload)

    def again(self, seed: int) -> str:
        """The command that does a run again."""
        words = [f"--workload {self.workload}"] if self.workload else []
        words += [f"--faults {','.join(self.kinds)}"] if self.kinds else []
        words += [f"--brokers {self.brokers}"] if self.brokers > 1 else []
        return " ".join(["./dev chaos --runs 1", f"--seed {seed}", *words])


def run(seed: int, wanted: Wanted, broker: Broker | Cluster) -> Verdict:
    """One run, judged. What broke a promise is kept."""
    plan = wanted.plan(seed)
    with tempfile.TemporaryDirectory(prefix=f"chaos-{seed}-") as folder:
        played = asyncio.run(_played(plan, broker, Path(folder)))
        judged = verdict(played, wanted.brokers)
        if judged.violations:
            keep(wanted.keep / str(seed), Path(folder), played)
    return judged


async def _played(plan: Plan, broker: Broker | Cluster, folder: Path) -> Played:
    try:
        await broker.wait(120)
        async with asyncio.timeout(RUN_SECONDS):
            return await play(plan, broker, folder)
    except Exception as error:  # the other runs go on
        told = "".join(traceback.format_exception(error))
        return Played(plan, Ledger(plan.seed), 0.0, (), [f"the run itself failed: {told[-3000:]}"])


def keep(target: Path, folder: Path, played: Played) -> None:
    """Put the ledger, and what the members were told and said, into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    (target / "ledger.pickle").write_bytes(pickle.dumps(played.ledger))
    for file in folder.glob("member-*"):
        (target / file.name).write_bytes(file.read_bytes())


@contextmanager
def lanes(count: int, wanted: Wanted, seeds: Iterator[int]) -> Iterator[Iterator[Verdict]]:
    """The verdicts on these seeds' runs as they come; a seed is taken when a lane is free."""
    context = multiprocessing.get_context("spawn")
    todo: Any = context.SimpleQueue()
    done: Any = context.Queue()
    processes = [context.Process(target=_lane, args=(wanted, todo, done)) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield _verdicts(processes, seeds, todo, done)
    finally:
        for _ in processes:
            todo.put(None)
        for process in processes:
            process.join()


def _verdicts(processes: Sequence[Any], seeds: Iterator[int], todo: Any, done: Any) -> Iterator[Verdict]:
    waiting = 0
    for seed in islice(seeds, len(processes)):
        todo.put(seed)
        waiting += 1
    while waiting:
        try:
            judged = done.get(timeout=LOOK_SECONDS)
        except Empty:
            assert all(process.is_alive() for process in processes), "a lane ended before its run did"
            continue
        yield judged
        waiting -= 1
        for following in islice(seeds, 1):
            todo.put(following)
            waiting += 1


def _lane(wanted: Wanted, todo: Any, done: Any) -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that brokers come and go is what this is about
    gc.disable()  # a look through all that a ledger holds takes long enough to be taken for a fault
    with running_broker() if wanted.brokers == 1 else running_cluster() as broker:
        while (seed := todo.get()) is not None:
            done.put(run(seed, wanted, broker))
            gc.collect()
