"""The scenarios, and one run of each: program, plain loop, vendor alone. How often is `__main__`'s affair."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.load import create, produce
from benchmarks.processes import Broker, Failed, Used, run, running_vendor
from benchmarks.vendor import Arrived

CEILING = 1.5  # times the program's figure is what the vendor must be able to take
CEILING_IN_FLIGHT = 4  # times the program's calls in flight: where answers take time, its own number bounds the rate


@dataclass(frozen=True, slots=True)
class Scenario:
    """A vendor, how many calls are in flight at most, and for how many contacts the events are."""

    name: str
    latency: float  # milliseconds
    jitter: float
    in_flight: int
    contacts: int
    aim: float  # events a second
    plain_in_flight: int  # for the plain loop, the best found: httpx looks through its connections for each request

    def __str__(self) -> str:
        jitter = f" ± {self.jitter:g}" if self.jitter else ""
        hot = f", {self.contacts} hot contacts" if self.contacts < self.in_flight else ""
        return f"{self.name}: {self.latency:g}{jitter} ms, {self.in_flight} in flight{hot}"

    @property
    def ideal(self) -> float | None:
        """Events a second if nothing but the vendor took time; None where it takes none."""
        return min(self.in_flight, self.contacts) * 1000 / self.latency if self.latency else None


Subject = Callable[[Scenario, str, str], Used]
"""What is measured: runs on a topic until all is delivered to a URL, and says what it used."""

SCENARIOS = (
    Scenario("A", latency=0, jitter=0, in_flight=64, contacts=10_000, aim=12_000, plain_in_flight=4),
    Scenario("B", latency=20, jitter=5, in_flight=256, contacts=10_000, aim=0.75 * 12_800, plain_in_flight=16),
    Scenario("C", latency=20, jitter=0, in_flight=256, contacts=200, aim=0.75 * 10_000, plain_in_flight=16),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run, measured. The rate is the vendor's: from its first arrival to its last answer."""

    events_per_second: float
    cpu_us_per_event: float  # all threads, user and system; start-up not counted
    python_us_per_event: float  # of that, the thread that runs Python; the rest is the HTTP library's own
    cpu_us_per_event_with_start: float
    peak_mb: float
    vendor_busy: float  # share of a core that the vendor used while it was called
    broker_busy: float | None  # the same of our own broker; a little too much, for its part in start and end is in it
    used: Used
    arrived: Arrived


class Bench:
    """A broker with loaded topics, and a folder for what the processes leave behind."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.broker = broker
        self.folder = folder
        self.configuration: dict[str, Any] = {}  # of the program's last run: all that is not default
        self._name = f"bench-{int(time.time())}"
        self._loaded: dict[tuple[int, int], str] = {}
        self._runs = 0

    def program(self, scenario: Scenario, topic: str, url: str, profile: Path | None = None) -> Used:
        """Run crmstream as users do, in a group of its own. *profile*: where to write what cProfile sees."""
        self._runs += 1
        attio = {"type": "attio", "api_key": "benchmark", "base_url": url}
        self.configuration = {
            "kafka": {"bootstrap_servers": self.broker.bootstrap},
            "source": {"topics": [topic], "group": f"{self._name}-{self._runs}"},
            "server": {"port": None},
            "destinations": {"attio": attio | {"rate_limit": None, "concurrency": scenario.in_flight}},
        }
        file = self.folder / "crmstream.yaml"
        file.write_text(yaml.safe_dump(self.configuration, sort_keys=False), encoding="utf-8")
        return run("stream", "run", "-c", file, "--drain", folder=self.folder, profile=profile)

    def plain(self, scenario: Scenario, topic: str, url: str) -> Used:
        """Run the plain loop, in a group of its own."""
        self._runs += 1
        group = f"{self._name}-{self._runs}"
        arguments = (self.broker.bootstrap, topic, group, url, scenario.plain_in_flight)
        return run("benchmarks.plain", *arguments, folder=self.folder)

    def start_up(self, subject: Subject, scenario: Scenario) -> Used:
        """What *subject* uses to find an empty topic and end: imports, connecting, joining, leaving."""
        with running_vendor(0, 0) as vendor:
            return subject(scenario, self.topic(0, 0), vendor.url)

    def measured(self, subject: Subject, scenario: Scenario, count: int, start_up: Used) -> Figures:
        """One run of *subject*. Raises Failed where *count* events did not arrive, each once and in order."""
        topic = self.topic(count, scenario.contacts)
        with running_vendor(scenario.latency, scenario.jitter) as vendor:
            before = self.broker.cpu_seconds()
            used = subject(scenario, topic, vendor.url)
            after = self.broker.cpu_seconds()
        arrived = vendor.arrived
        if wrong := ", ".join(faults(arrived, count, scenario.in_flight)):
            raise Failed(f"{scenario}: {wrong}")
        return Figures(
            events_per_second=arrived.rate,
            cpu_us_per_event=1e6 * (used.cpu_seconds - start_up.cpu_seconds) / count,
            python_us_per_event=1e6 * (used.main_thread_seconds - start_up.main_thread_seconds) / count,
            cpu_us_per_event_with_start=1e6 * used.cpu_seconds / count,
            peak_mb=used.peak_bytes / 1e6,
            vendor_busy=arrived.cpu_seconds / arrived.seconds,
            broker_busy=None if before is None or after is None else (after - before) / arrived.seconds,
            used=used,
            arrived=arrived,
        )

    def profiled(self, scenario: Scenario, count: int, to: Path) -> None:
        """One more run of the program, watched by cProfile: it makes calls dear, so its speed says nothing."""
        with running_vendor(scenario.latency, scenario.jitter) as vendor:
            self.program(scenario, self.topic(count, scenario.contacts), vendor.url, profile=to)

    def ceiling(self, scenario: Scenario, count: int) -> float:
        """Requests a second that the vendor takes, at its latency, from a client that does nothing else."""
        in_flight = scenario.in_flight * (CEILING_IN_FLIGHT if scenario.latency else 1)
        with running_vendor(scenario.latency, scenario.jitter) as vendor:
            run("benchmarks.bare", vendor.port, count, in_flight, folder=self.folder)
        if vendor.arrived.count != count:
            raise Failed(f"{scenario}: the bare loader sent {count}, and {vendor.arrived.count} arrived")
        return vendor.arrived.rate

    def topic(self, count: int, contacts: int) -> str:
        """A topic with such events, produced when first asked for."""
        if (count, contacts) not in self._loaded:
            name = f"{self._name}.{count}-events-{contacts}-contacts"
            create(self.broker.bootstrap, name)
            produce(self.broker.bootstrap, name, count, contacts)
            self._loaded[count, contacts] = name
        return self._loaded[count, contacts]


def faults(arrived: Arrived, count: int, in_flight: int) -> Iterator[str]:
    """What is wrong with what arrived: nothing where it is complete, distinct and in order."""
    if arrived.distinct != count or arrived.highest != count - 1:  # the numbers are 0 to count - 1
        yield f"{arrived.distinct} of {count} events arrived"
    if arrived.count != arrived.distinct:
        yield f"{arrived.count - arrived.distinct} arrived again"
    if arrived.out_of_order:
        yield f"{arrived.out_of_order} arrived after a later one of their contact"
    if arrived.overlapping:
        yield f"{arrived.overlapping} arrived before the one before them of their contact was answered"
    if arrived.in_flight > in_flight:
        yield f"{arrived.in_flight} were in flight at once"
