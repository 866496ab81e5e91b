"""`python -m benchmarks.scaling`: one worker on one core against `run --workers 2` on two.

Broker and vendor need a part of the machine too, and there is no third core for them: so all of them, program, broker
and vendor, share one core first and two cores then. Twice the machine, shared alike; what differs is the second worker.
The CPU of an event says the same without them: it is what two workers would do with two cores to themselves. A paused
destination is resumed when all members have their partitions, so that nobody's start is in the figures.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import orjson
import yaml
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks import places
from benchmarks.load import create, produce
from benchmarks.processes import CORES, ROOT, Broker, Failed, running_broker

EVENTS, CONTACTS, REPEAT = 120_000, 10_000, 3
AIM = 1.7
CONCURRENCY = 64
BUFFER = 1_000  # so many are mapped before the start, when nothing is measured yet
FOLDER = Path(__file__).parent / "results"
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: from the moment all members had their partitions until all was delivered."""

    workers: int
    cores: int
    events_per_second: float  # by the vendor's clock
    cpu_us_per_event: float  # of the program with all its workers and their parent
    program: float  # share of the cores it ran on
    broker: float
    vendor: float


class Ground:
    """A broker with a loaded topic, and runs of the program on it."""

    def __init__(self, broker: Broker, folder: Path, events: int) -> None:
        self.broker, self.folder, self.events = broker, folder, events
        self.topic = f"scaling-{time.time_ns()}"
        self._runs = 0
        create(broker.bootstrap, self.topic)
        produce(broker.bootstrap, self.topic, events, CONTACTS)

    def run(self, workers: int, cores: Sequence[int]) -> Run:
        """So many workers, and all they need, on these cores. Raises Failed where something is missing."""
        if self.broker.process is not None:
            pin(self.broker.process, cores)
        with running_vendor(cores) as vendor:
            file, group = self._configuration(vendor.url)
            command = ["run", "-c", file, "--drain", *(("--workers", workers) if workers > 1 else ())]
            crmstream("pause", "attio", "-c", file)
            with started(cores, self.folder, *command) as process:
                self._until_stable(group, workers)
                cpu, broker = -tree_seconds(process.pid), -(self.broker.cpu_seconds() or 0.0)
                crmstream("resume", "attio", "-c", file)
                cpu += ended(process, self.folder)
                broker += self.broker.cpu_seconds() or 0.0
        arrived = vendor.arrived
        if arrived["count"] != self.events or arrived["distinct"] != self.events or arrived["out_of_order"]:
            raise Failed(f"{arrived} of {self.events} events")
        whole = arrived["seconds"] * len(cores)
        return Run(
            workers=workers,
            cores=len(cores),
            events_per_second=self.events / arrived["seconds"],
            cpu_us_per_event=1e6 * cpu / self.events,
            program=cpu / whole,
            broker=broker / whole,
            vendor=arrived["cpu_seconds"] / whole,
        )

    def _configuration(self, url: str) -> tuple[Path, str]:
        """A file with all that is not default, and the group it makes."""
        self._runs += 1
        name = f"{self.topic}-{self._runs}"
        attio = {"type": "attio", "api_key": "benchmark", "base_url": url}
        written = {
            "kafka": {"bootstrap_servers": self.broker.bootstrap},
            "source": {"topics": [self.topic], "group": name, "buffer": BUFFER},
            "control": {"topic": f"{name}.control"},
            "state": {"folder": str(self.folder / f"state-{self._runs}")},
            "server": {"port": None},
            "destinations": {"attio": attio | {"rate_limit": None, "concurrency": CONCURRENCY}},
        }
        file = self.folder / "crmstream.yaml"
        file.write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
        return file, f"{name}.attio"

    def _until_stable(self, group: str, members: int) -> None:
        """Until so many members have their partitions, and a moment more to read something."""
        admin, deadline = AdminClient({"bootstrap.servers": self.broker.bootstrap}), time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                found = admin.describe_consumer_groups([group])[group].result(10)
            except KafkaException:  # there is no such group yet
                continue
            assigned = sum(bool(each.assignment.topic_partitions) for each in found.members)
            if found.state == ConsumerGroupState.STABLE and assigned == members:
                time.sleep(3)
                return
        raise Failed(f"{members} members did not come together in {group}")


class Vendor:
    """The stand-in, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        self.arrived: dict[str, float] = {}


@contextmanager
def running_vendor(cores: Sequence[int]) -> Iterator[Vendor]:
    """A vendor that answers at once. *arrived* is there afterwards."""
    command = pinned(cores, sys.executable, "-m", "benchmarks.vendor")
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        vendor = Vendor(process)
        try:
            yield vendor
        finally:
            process.stdin.close()
            said = process.stdout.read()
        vendor.arrived = orjson.loads(said)


@contextmanager
def started(cores: Sequence[int], folder: Path, *arguments: object) -> Iterator["subprocess.Popen[bytes]"]:
    """The program, which does not outlive the block."""
    with (folder / "output.txt").open("wb") as output:
        command = pinned(cores, sys.executable, "-m", "stream", *arguments)
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()  # its workers end with it
            process.wait()


def ended(process: "subprocess.Popen[bytes]", folder: Path, timeout: float = 300) -> float:
    """The CPU seconds of the process and of all its children, when it has ended. Raises Failed where it ends badly."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        over, status, used = os.wait4(process.pid, os.WNOHANG)
        if over:
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise Failed((folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-2000:])
            return used.ru_utime + used.ru_stime
        time.sleep(0.1)
    raise Failed(f"the program did not end within {timeout:g} s")


def crmstream(*arguments: object) -> None:
    """Another command of the program, to its end."""
    command = [sys.executable, "-m", "stream", *map(str, arguments)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, arguments[:2]))}: {done.stderr[-2000:]}")


def environment() -> dict[str, str]:
    """Where the program is found."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def pinned(cores: Sequence[int], *command: object) -> list[str]:
    """The command, on these cores."""
    return ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]


def pin(process: int, cores: Sequence[int]) -> None:
    """Have a process that runs already, with all its threads, run there."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def tree_seconds(process: int) -> float:
    """User and system time so far of a process and its children: fields 14 and 15 of proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    return (int(fields[11]) + int(fields[12])) / TICK + sum(tree_seconds(int(child)) for child in children)


def main() -> int:
    """Measure, print, write; 1 where a run failed or the aim was missed."""
    parser = argparse.ArgumentParser(prog="./dev bench scaling", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--repeat", type=int, default=REPEAT)
    parser.add_argument("--write", action="store_true", help="the figures into benchmarks/README.md, too")
    given = parser.parse_args()
    if len(CORES) < 2:
        print("scaling: needs two cores", file=sys.stderr)
        return 1
    one, two = [], []
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmstream-scaling-")))
            ground = Ground(stack.enter_context(running_broker(folder / "broker")), folder, given.events)
            for _ in range(given.repeat):
                one.append(said(ground.run(1, CORES[:1])))
                two.append(said(ground.run(2, CORES[:2])))
    except Failed as failure:
        print(f"scaling: {failure}", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "scaling.json").write_bytes(orjson.dumps([*map(asdict, one + two)], option=orjson.OPT_INDENT_2))
    figures = "\n".join([*table(one, two), "", *conclusions(one, two)])
    print(figures)
    if given.write:
        places.write("scaling", figures)
    return int(gain(one, two) < AIM)


def said(run: Run) -> Run:
    """The same, said aloud."""
    figures = f"{run.events_per_second:,.0f} events/s at {run.cpu_us_per_event:.0f} µs"
    print(f"{run.workers} on {run.cores}: {figures}", file=sys.stderr, flush=True)
    return run


def gain(one: Sequence[Run], two: Sequence[Run]) -> float:
    """How many times as fast."""
    return median(run.events_per_second for run in two) / median(run.events_per_second for run in one)


def table(one: Sequence[Run], two: Sequence[Run]) -> Iterator[str]:
    """The figures as people read them: medians, with the lowest and the highest."""
    yield "| workers, on cores | events/s | CPU µs an event | of the cores: program | broker | vendor | left |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for runs in (one, two):
        rates, cpus = [run.events_per_second for run in runs], [run.cpu_us_per_event for run in runs]
        shares = [median(getattr(run, name) for run in runs) for name in ("program", "broker", "vendor")]
        figures = " | ".join(f"{each:.0%}" for each in (*shares, 1 - sum(shares)))
        yield (
            f"| {runs[0].workers}, on {runs[0].cores}"
            f" | **{median(rates):,.0f}** ({min(rates):,.0f} to {max(rates):,.0f})"
            f" | {median(cpus):.0f} ({min(cpus):.0f} to {max(cpus):.0f}) | {figures} |"
        )


def conclusions(one: Sequence[Run], two: Sequence[Run]) -> Iterator[str]:
    """What they say."""
    found = gain(one, two)
    met = "met" if found >= AIM else "missed"
    yield f"Twice the machine, two workers: **{found:.2f} times** as fast; aim {AIM}: {met}."
    dearer = median(run.cpu_us_per_event for run in two) / median(run.cpu_us_per_event for run in one)
    yield (
        f"An event costs {dearer:.2f} times the CPU with two workers: with two cores to themselves, and none for broker"
        f" and vendor, they would be {2 / dearer:.2f} times as fast as one with one."
    )


if __name__ == "__main__":
    sys.exit(main())
