"""Processes of a benchmark: where they run, and what they used. Linux only: the kernel keeps the counts in /proc."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.vendor import Arrived

ROOT = Path(__file__).parents[1]
BROKER = ROOT / "tests" / "infrastructure" / "kafka-broker"

CORES = sorted(os.sched_getaffinity(0))
PROGRAM_CORE, OTHER_CORE = CORES[0], CORES[-1]
"""The program has a core to itself; broker, vendor and whoever measures share the other."""

TICK = os.sysconf("SC_CLK_TCK")
POLL = 0.05  # seconds between two looks at a process


class Failed(Exception):
    """A run that gives no figure, and why."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one process used from its start to its end, all its threads together."""

    seconds: float
    cpu_seconds: float  # user and system
    main_thread_seconds: float  # of that, the thread that runs Python
    peak_bytes: int  # of resident memory


class Broker:
    """A broker to load from. *process* is its id where it is ours."""

    def __init__(self, bootstrap: str, process: int | None = None) -> None:
        self.bootstrap = bootstrap
        self.process = process

    def cpu_seconds(self) -> float | None:
        """What it used so far; None where it is not ours."""
        return None if self.process is None else _cpu_seconds(Path(f"/proc/{self.process}/stat"))


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A real broker without Docker, on the other core."""
    command = ["taskset", "-c", str(OTHER_CORE), str(BROKER)]
    started = subprocess.run([*command, "start", "--dir", folder, "--port", "0"], stdout=subprocess.PIPE, text=True)
    if started.returncode:
        raise Failed("no broker: see above, or name one with --bootstrap")
    try:
        pid = int((folder / "node-1" / "pid").read_text(encoding="utf-8"))
        yield Broker(started.stdout.strip(), pid)
    finally:
        subprocess.run([*command, "stop", "--dir", folder], check=True)


class Vendor:
    """The stand-in, in its process. *arrived* is there when it has stopped."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._arrived: Arrived | None = None

    @property
    def arrived(self) -> Arrived:
        """What reached it."""
        assert self._arrived is not None, "it still runs"
        return self._arrived

    def stopped(self, said: bytes) -> None:
        """Keep what it said at its end."""
        self._arrived = Arrived(**orjson.loads(said))


@contextmanager
def running_vendor(latency: float, jitter: float) -> Iterator[Vendor]:
    """A vendor that answers after *latency* ± *jitter* milliseconds, on the other core."""
    command = _pinned(OTHER_CORE, "benchmarks.vendor", "--latency", latency, "--jitter", jitter)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        vendor = Vendor(int(process.stdout.readline()))
        try:
            yield vendor
        finally:
            process.stdin.close()
            said = process.stdout.read()
        vendor.stopped(said)


def run(module: str, *arguments: object, folder: Path, timeout: float = 300, profile: Path | None = None) -> Used:
    """What `python -m module arguments` used, alone on its core. Raises Failed where it ends badly or not at all.

    Its output is in *folder*, which is also where it runs. *profile*: where to write what cProfile saw.
    """
    command = _pinned(PROGRAM_CORE, *(("cProfile", "-o", profile, "-m") if profile else ()), module, *arguments)
    output = folder / "output.txt"
    begin = time.monotonic()
    with output.open("wb") as file, _child(command, folder, file.fileno()) as process:
        peak, main_thread = 0, 0.0
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            peak = max(peak, _peak_bytes(process.pid))
            main_thread = _cpu_seconds(Path(f"/proc/{process.pid}/task/{process.pid}/stat"))
            if time.monotonic() - begin > timeout:
                process.kill()
                raise Failed(f"{module} did not end within {timeout:g} s")
            time.sleep(POLL)
    if process.returncode:
        last = output.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise Failed(f"{module} ended with {process.returncode}:\n{last}")
    return Used(time.monotonic() - begin, used.ru_utime + used.ru_stime, main_thread, peak)


@contextmanager
def _child(command: Sequence[str], folder: Path, output: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does not outlive the block."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def _pinned(core: int, *arguments: object) -> list[str]:
    return ["taskset", "-c", str(core), sys.executable, "-m", *map(str, arguments)]


def _cpu_seconds(stat: Path) -> float:
    """User and system time of a process or a thread: fields 14 and 15 of proc(5), counted past the name in brackets."""
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _peak_bytes(pid: int) -> int:
    """The most memory the process has had resident; 0 when it is over.

    Not wait4's ru_maxrss: that begins with what the parent had when it forked.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
    return int(peak) * 1024
