"""Start: from the start of the process to its first delivery, what imports take of it, and `crmstream --help`."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.bench import Asked, Bench, say
from benchmarks.processes import PROGRAM_CORE, ROOT, Failed
from benchmarks.results import Section, spread
from benchmarks.scenarios import Scenario
from benchmarks.subjects import CRMSTREAM

TIMES = 7  # one more comes first and does not count: it reads files that are not in memory yet
EVENTS = 100
QUIET = Scenario("start", latency=0, jitter=0, in_flight=32, contacts=EVENTS, aim=0)
IMPORTED = re.compile(r"^import time: +(\d+) \|", re.MULTILINE)  # µs by itself


@dataclass(frozen=True, slots=True)
class Times:
    """One thing, measured so many times, in milliseconds."""

    what: str
    aim: float | None
    milliseconds: Sequence[float]

    def row(self) -> dict[str, str]:
        """As people read it."""
        met = self.aim is None or median(self.milliseconds) < self.aim
        return {
            "what": self.what,
            "ms": spread(self.milliseconds),
            "aim": f"{self.aim:,.0f}: {'met' if met else 'missed'}" if self.aim else "-",
        }


def measure(bench: Bench, asked: Asked) -> Section:
    """All of it."""
    times = 1 if asked.quick else TIMES
    topic = bench.topic(EVENTS, EVENTS)
    found = [
        Times("start to first delivery", 1500, [first_delivery(bench, topic) for _ in range(1 + times)][1:]),
        Times("`crmstream --help`", 300, [lasted("-m", "stream", "--help") for _ in range(1 + times)][1:]),
        Times("imports for `--help`", None, [imports("-m", "stream", "--help") for _ in range(times)]),
        Times("imports of a whole run", 400, [run_imports(bench, topic) for _ in range(times)]),
        Times("`python -c pass`", None, [lasted("-c", "pass") for _ in range(times)]),
    ]
    for each in found:
        say(f"start: {each.what}: {median(each.milliseconds):,.0f} ms")
    return Section(
        name="start",
        title="Start",
        rows=[each.row() for each in found],
        remarks=[
            f"Medians of {times}, on the program's core, with warm files.",
            "The first delivery is the arrival of a new group's first event at the vendor.",
            "Imports: the sum by `python -X importtime`, which makes them a little slower.",
        ],
        figures=found,
    )


def first_delivery(bench: Bench, topic: str) -> float:
    """From the start of a process to the first arrival."""
    with bench.vendor(QUIET) as vendor, bench.started(CRMSTREAM, bench.task(QUIET, topic, vendor)) as process:
        process.wait()
    return 1000 * (vendor.arrived.began - process.began)


def run_imports(bench: Bench, topic: str) -> float:
    """What a run that delivers and ends imports."""
    with bench.vendor(QUIET) as vendor:
        command = CRMSTREAM.command(bench.task(QUIET, topic, vendor))
        return imports(*command[1:])


def lasted(*arguments: str) -> float:
    """How long it took."""
    begin = time.perf_counter()
    ran(*arguments)
    return 1000 * (time.perf_counter() - begin)


def imports(*arguments: str) -> float:
    """What it imported, and how long that took."""
    return sum(int(found) for found in IMPORTED.findall(ran("-X", "importtime", *arguments))) / 1000


def ran(*arguments: str) -> str:
    """What Python says on its standard error."""
    command = ["taskset", "-c", str(PROGRAM_CORE), sys.executable, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if ended.returncode:
        raise Failed(f"{' '.join(arguments)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return ended.stderr
