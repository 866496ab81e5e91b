"""Latency: from a record's timestamp to its arrival at the vendor, at a third of the highest rate.

The timestamp is taken when the producer hands the record to its library, by the clock that the vendor uses too.
"""

import time
from dataclasses import asdict, dataclass
from functools import partial
from statistics import quantiles
from typing import Any

from benchmarks.bench import Asked, Bench, say
from benchmarks.load import create, paced
from benchmarks.processes import POLL, Failed, Vendor
from benchmarks.results import Section
from benchmarks.scenarios import A, B, Scenario
from benchmarks.subjects import CRMSTREAM, ENDLESS

SHARE = 3  # the rate is the highest one divided by it
WARMING = 5.0  # seconds of the same load that are not counted: whoever takes part in it is started just then
SECONDS = 10.0
QUICK_SECONDS = 2.0
AIM_P50, AIM_P99 = 10.0, 50.0  # milliseconds
PATIENCE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Latency:
    """One run, all times in milliseconds."""

    scenario: Scenario
    highest_rate: float  # events a second, measured just before
    rate: float  # that was produced
    events: int
    p50: float
    p90: float
    p99: float
    longest: float


def measure(bench: Bench, asked: Asked) -> Section:
    """With a vendor that answers at once, and with one that takes its time."""
    found = []
    for scenario in (A, B):
        highest = bench.measured(CRMSTREAM, scenario, asked.events).events_per_second
        found.append(measured(bench, scenario, highest, QUICK_SECONDS if asked.quick else SECONDS))
        say(f"latency of {scenario}: p50 {found[-1].p50:.1f} ms, p99 {found[-1].p99:.1f} ms at {found[-1].rate:,.0f}/s")
    return Section(
        name="latency",
        title="From a record's timestamp to its arrival at the vendor, at a third of the highest rate",
        rows=[row(each) for each in found],
        remarks=[
            f"Aims: p50 {AIM_P50:.0f} ms, p99 {AIM_P99:.0f} ms. An arrival has nothing of the vendor's own time in it.",
            f"The first {WARMING:.0f} s of the load are not counted: connections, and the broker with new topics.",
            "The producer waits for nothing (`linger.ms` 0), and shares its core with broker and vendor.",
        ],
        figures=[asdict(each) for each in found],
    )


def row(latency: Latency) -> dict[str, Any]:
    """One run as people read it."""
    met = latency.p50 < AIM_P50 and latency.p99 < AIM_P99
    return {
        "scenario": str(latency.scenario),
        "highest rate": f"{latency.highest_rate:,.0f}/s",
        "produced": f"{latency.events:,} at {latency.rate:,.0f}/s",
        "p50 ms": f"**{latency.p50:.1f}**",
        "p90 ms": f"{latency.p90:.1f}",
        "p99 ms": f"**{latency.p99:.1f}**",
        "longest ms": f"{latency.longest:.0f}",
        "aims": "met" if met else "missed",
    }


def measured(bench: Bench, scenario: Scenario, highest: float, seconds: float) -> Latency:
    """One run. Raises Failed where not all arrived."""
    rate = highest / SHARE
    warming, count = 1 + int(rate * WARMING), int(rate * seconds)
    file = bench.folder / "arrivals.json"
    topic = f"{bench.group()}.paced"
    create(bench.broker.bootstrap, topic)
    with (
        bench.vendor(scenario, log=file) as vendor,
        bench.started(ENDLESS, bench.task(scenario, topic, vendor)) as process,
    ):
        ready = partial(arrive, vendor, 1)  # it has joined, and is connected
        produced = paced(bench.broker.bootstrap, topic, warming + count - 1, scenario.contacts, rate, ready=ready)
        arrive(vendor, warming + count)
        process.stop()
    arrived = dict(zip(vendor.log.numbers, vendor.log.arrived, strict=True))
    took = [1000 * (arrived[number] - at) for number, at in enumerate(produced)][warming:]
    cuts = quantiles(took, n=100)
    return Latency(
        scenario=scenario,
        highest_rate=highest,
        rate=count / (produced[-1] - produced[warming - 1]),
        events=count,
        p50=cuts[49],
        p90=cuts[89],
        p99=cuts[98],
        longest=max(took),
    )


def arrive(vendor: Vendor, count: int) -> None:
    """Wait until so many have arrived."""
    deadline = time.perf_counter() + PATIENCE
    while (now := vendor.count()) < count:
        if time.perf_counter() > deadline:
            raise Failed(f"latency: {now} of {count} events arrived")
        time.sleep(POLL)
