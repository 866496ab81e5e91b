"""Processes of a benchmark: where they run, and what they used. Linux only: the kernel keeps the counts in /proc."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.arrivals import Arrived, Log

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
        return None if self.process is None else cpu_seconds(Path(f"/proc/{self.process}/stat"))


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
    """The stand-in, in its process. *arrived* and *log* are there when it has stopped."""

    def __init__(self, process: "subprocess.Popen[bytes]", scheme: str, log: Path | None) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked, self._said, self._file = process.stdin, process.stdout, log
        self.port = int(self._said.readline())
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._arrived: Arrived | None = None

    def count(self) -> int:
        """How many calls it has taken so far, those that it refuses not counted."""
        self._asked.write(b"\n")
        self._asked.flush()
        return int(self._said.readline())

    def stop(self) -> None:
        """End it and keep what it says at its end."""
        self._asked.close()
        if said := self._said.read():
            self._arrived = Arrived(**orjson.loads(said))

    @property
    def arrived(self) -> Arrived:
        """What reached it."""
        assert self._arrived is not None, "it still runs"
        return self._arrived

    @property
    def log(self) -> Log:
        """Each call that it took, where that was asked for."""
        assert self._file is not None, "nobody asked for it"
        return Log.loads(self._file.read_bytes())


@contextmanager
def running_vendor(
    latency: float,
    jitter: float,
    *,
    refuse: str | None = None,
    tls: Path | None = None,
    http2: bool = False,
    log: Path | None = None,
) -> Iterator[Vendor]:
    """A vendor that answers after *latency* ± *jitter* milliseconds, on the other core.

    *refuse*: a contact for whom it always answers 500. *tls*: a folder with the certificate to serve HTTPS with.
    *log*: a file for each arrival.
    """
    options = [*(("--refuse", refuse) if refuse else ()), *(("--tls", tls) if tls else ())]
    options += [*(("--http2",) if http2 else ()), *(("--log", log) if log else ())]
    command = _pinned(OTHER_CORE, *python("benchmarks.vendor", "--latency", latency, "--jitter", jitter, *options))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        vendor = Vendor(process, "https" if tls else "http", log)
        try:
            yield vendor
        finally:
            vendor.stop()


class Running:
    """A process alone on its core, and what it uses."""

    def __init__(self, command: Sequence[str], folder: Path, cwd: Path | None = None) -> None:
        self.name = " ".join(command[:4])
        self._output = folder / "output.txt"
        self.began = time.perf_counter()
        with self._output.open("wb") as file:
            self._process = subprocess.Popen(
                _pinned(PROGRAM_CORE, *command),
                cwd=cwd or folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self._stat = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/stat")
        self._main_thread, self._peak = 0.0, 0
        self._used: Used | None = None

    @property
    def used(self) -> Used:
        """What it used from its start to its end."""
        assert self._used is not None, "it still runs"
        return self._used

    @property
    def over(self) -> bool:
        """Whether it has ended. Ask often: what it uses is looked at here."""
        if self._used is None:
            self._look(os.WNOHANG)
        return self._used is not None

    def wait(self, timeout: float = 300) -> Used:
        """What it used, when it has ended. Raises Failed where it ends badly or not at all."""
        deadline = time.perf_counter() + timeout
        while not self.over:
            if time.perf_counter() > deadline:
                raise Failed(f"{self.name} did not end within {timeout:g} s")
            time.sleep(POLL)
        if code := self._process.returncode:
            last = self._output.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
            raise Failed(f"{self.name} ended with {code}:\n{last}")
        return self.used

    def stop(self, timeout: float = 60) -> Used:
        """Ask it to end, and wait; a signal or the shell's word for it is no bad end then."""
        if not self.over:
            self._process.terminate()
        try:
            return self.wait(timeout)
        except Failed:
            if self._process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM):
                return self.used
            raise

    def kill(self) -> float:
        """End it as a crash does; when that was, by the clock that all processes share."""
        at = time.perf_counter()
        if not self.over:
            self._process.kill()
            at = time.perf_counter()
            self._look(0)
        return at

    def _look(self, options: int) -> None:
        pid = self._process.pid
        ended, status, used = os.wait4(pid, options)
        if ended:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            seconds, cpu = time.perf_counter() - self.began, used.ru_utime + used.ru_stime
            self._used = Used(seconds, cpu, self._main_thread, self._peak)
        else:
            self._peak = max(self._peak, _peak_bytes(pid))
            self._main_thread = cpu_seconds(self._stat)


@contextmanager
def running(command: Sequence[str], folder: Path, cwd: Path | None = None) -> Iterator[Running]:
    """A process that does not outlive the block. Its output is in *folder*, where it runs unless *cwd* is given."""
    process = Running(command, folder, cwd)
    try:
        yield process
    finally:
        if not process.over:
            process.kill()


def run(module: str, *arguments: object, folder: Path, timeout: float = 300, profile: Path | None = None) -> Used:
    """What `python -m module arguments` used, alone on its core. Raises Failed where it ends badly or not at all.

    *profile*: where to write what cProfile saw.
    """
    with running(python(module, *arguments, profile=profile), folder) as process:
        return process.wait(timeout)


def python(module: str, *arguments: object, profile: Path | None = None) -> list[str]:
    """The command that runs a module; *profile*: under cProfile, which writes there what it sees."""
    watched = ("-m", "cProfile", "-o", profile) if profile else ()
    return [sys.executable, *map(str, (*watched, "-m", module, *arguments))]


def _pinned(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core), *command]


def cpu_seconds(stat: Path) -> float:
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
