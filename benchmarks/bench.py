"""One run of a subject on a task, whatever the scenario: topics with events, a vendor, and what both say in the end."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trustme

from benchmarks.arrivals import Arrived, faults
from benchmarks.load import create, produce
from benchmarks.processes import POLL, Broker, Failed, Running, Used, Vendor, run, running, running_vendor
from benchmarks.scenarios import Scenario
from benchmarks.subjects import Subject, Task

CEILING_IN_FLIGHT = 4  # times the program's calls in flight: where answers take time, its own number bounds the rate
IDLE = 10.0  # seconds that one which does not end by itself gets to find that there is nothing to do
SILENT = 60.0  # seconds without an arrival after which no more are expected


@dataclass(frozen=True, slots=True)
class Figures:
    """One run, measured. The rate is the vendor's: from its first arrival to its last answer."""

    subject: str
    events: int
    events_per_second: float
    cpu_us_per_event: float  # all threads, user and system; start-up not counted
    python_us_per_event: float  # of that, the main thread: the one that runs Python; the rest is the HTTP library's own
    cpu_us_per_event_with_start: float
    peak_mb: float
    vendor_busy: float  # share of a core that the vendor used while it was called
    broker_busy: float | None  # the same of our own broker; a little too much, for its part in start and end is in it
    used: Used
    arrived: Arrived


@dataclass(frozen=True, slots=True)
class Asked:
    """How much is to be measured, and of what besides the program."""

    events: int = 120_000  # in a run
    repeat: int = 3  # runs, of which the median counts
    quick: bool = False  # what arrived is judged, speed is not
    profile: bool = False  # one more run of each, under cProfile
    others: Sequence[Subject] = ()  # programs given by their command lines


class Bench:
    """A broker with loaded topics, and a folder for what the processes leave behind."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.broker = broker
        self.folder = folder
        self._name = f"bench-{int(time.time())}"
        self._loaded: dict[tuple[int, int, int], str] = {}
        self._start_ups: dict[str, Used] = {}
        self._groups = 0

    def measured(self, subject: Subject, scenario: Scenario, count: int, *, one_in: int = 1) -> Figures:
        """One run of *subject*. Raises Failed where not each event arrived once, and in order if it promises that.

        *one_in*: only one event in so many is for the vendor, and counts as arriving; the rate is that of all.
        """
        start_up = self.start_up(subject)
        topic = self.topic(count, scenario.contacts, one_in)
        expected = count // one_in - (count // scenario.contacts if scenario.refuse else 0)
        with self.vendor(scenario) as vendor:
            before = self.broker.cpu_seconds()
            with self.started(subject, self.task(scenario, topic, vendor)) as process:
                used = finished(process, subject, vendor, expected)
            after = self.broker.cpu_seconds()
        arrived = vendor.arrived
        if wrong := ", ".join(faults(arrived, expected, scenario.in_flight, ordered=subject.ordered)):
            raise Failed(f"{scenario}: {subject.name}: {wrong}")
        return Figures(
            subject=subject.name,
            events=count,
            events_per_second=arrived.rate * one_in,
            cpu_us_per_event=1e6 * (used.cpu_seconds - start_up.cpu_seconds) / count,
            python_us_per_event=1e6 * (used.main_thread_seconds - start_up.main_thread_seconds) / count,
            cpu_us_per_event_with_start=1e6 * used.cpu_seconds / count,
            peak_mb=used.peak_bytes / 1e6,
            vendor_busy=arrived.cpu_seconds / arrived.seconds,
            broker_busy=None if before is None or after is None else (after - before) / arrived.seconds,
            used=used,
            arrived=arrived,
        )

    def start_up(self, subject: Subject) -> Used:
        """What *subject* uses to find an empty topic and end: imports, connecting, joining, leaving. Measured once."""
        if subject.name not in self._start_ups:
            quiet = Scenario("start", latency=0, jitter=0, in_flight=1, contacts=1, aim=0)
            with (
                self.vendor(quiet) as vendor,
                self.started(subject, self.task(quiet, self.topic(0, 1), vendor)) as process,
            ):
                if not subject.ends:
                    time.sleep(IDLE)
                self._start_ups[subject.name] = process.wait() if subject.ends else process.stop()
        return self._start_ups[subject.name]

    @contextmanager
    def started(self, subject: Subject, task: Task) -> Iterator[Running]:
        """*subject* at work."""
        with running(subject.command(task), self.folder, subject.cwd) as process:
            yield process

    def task(self, scenario: Scenario, topic: str, vendor: Vendor, group: str | None = None) -> Task:
        """Deliver *topic* to *vendor*, in a group of its own unless one is named."""
        return Task(
            bootstrap=self.broker.bootstrap,
            topic=topic,
            group=group or self.group(),
            url=vendor.url,
            in_flight=scenario.in_flight,
            folder=self.folder,
            ca_file=self.certificates / "ca.pem" if scenario.tls else None,
            http2=scenario.tls == "HTTP/2",
        )

    @contextmanager
    def vendor(self, scenario: Scenario, log: Path | None = None) -> Iterator[Vendor]:
        """The scenario's vendor. *log*: a file for each arrival."""
        tls = self.certificates if scenario.tls else None
        http2 = scenario.tls == "HTTP/2"
        with running_vendor(
            scenario.latency, scenario.jitter, refuse=scenario.refuse, tls=tls, http2=http2, log=log
        ) as vendor:
            yield vendor

    def profiled(self, subject: Subject, scenario: Scenario, count: int, to: Path) -> None:
        """One more run, watched by cProfile: it makes calls dear, so its speed says nothing."""
        topic = self.topic(count, scenario.contacts)
        with self.vendor(scenario) as vendor:
            task = replace(self.task(scenario, topic, vendor), profile=to)
            with self.started(subject, task) as process:
                process.wait()

    def ceiling(self, scenario: Scenario, count: int) -> float:
        """Requests a second that the vendor takes, at its latency, from a client that does nothing else."""
        in_flight = scenario.in_flight * (CEILING_IN_FLIGHT if scenario.latency else 1)
        with self.vendor(scenario) as vendor:
            tls = ("--tls", self.certificates) if scenario.tls else ()
            http2 = ("--http2",) if scenario.tls == "HTTP/2" else ()
            run("benchmarks.bare", vendor.port, count, in_flight, *tls, *http2, folder=self.folder)
        if vendor.arrived.count != count:
            raise Failed(f"{scenario}: the bare loader sent {count}, and {vendor.arrived.count} arrived")
        return vendor.arrived.rate

    def topic(self, count: int, contacts: int, one_in: int = 1) -> str:
        """A topic with such events, produced when first asked for."""
        wanted = count, contacts, one_in
        if wanted not in self._loaded:
            name = f"{self._name}.{count}-events-{contacts}-contacts-{one_in}"
            create(self.broker.bootstrap, name)
            produce(self.broker.bootstrap, name, count, contacts, one_in)
            self._loaded[wanted] = name
        return self._loaded[wanted]

    def group(self) -> str:
        """A name that no group had yet."""
        self._groups += 1
        return f"{self._name}-{self._groups}"

    @property
    def certificates(self) -> Path:
        """A folder with `server.pem` for 127.0.0.1 and the `ca.pem` to trust for it."""
        folder = self.folder / "tls"
        if not folder.exists():
            folder.mkdir()
            authority = trustme.CA()
            authority.cert_pem.write_to_path(folder / "ca.pem")
            issued = authority.issue_cert("127.0.0.1")
            issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        return folder


def finished(process: Running, subject: Subject, vendor: Vendor, expected: int) -> Used:
    """What it used until all had arrived; one that does not end by itself is stopped then.

    Or when nothing arrives any more: what is missing then is for the caller to judge.
    """
    if subject.ends:
        return process.wait()
    count, since = 0, time.perf_counter()
    while not process.over and count < expected and time.perf_counter() - since < SILENT:
        if (now := vendor.count()) != count:
            count, since = now, time.perf_counter()
        time.sleep(POLL)
    return process.wait() if process.over else process.stop()


def say(text: str) -> None:
    """A line on how far it is."""
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)
