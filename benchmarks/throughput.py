"""A, B and C: events a second and what they cost, the loops one writes by hand beside the program in the same run."""

import pstats
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median

from benchmarks.bench import Asked, Bench, Figures, say
from benchmarks.results import FOLDER, Section, spread
from benchmarks.scenarios import AIM_PEAK_MB, Scenario
from benchmarks.subjects import CRMSTREAM, PLAIN, Subject

CEILING = 1.5  # times the program's figure is what the vendor must be able to take
PLAIN_EVENTS, SLOW_EVENTS = 40_000, 5_000
QUICK_EVENTS = 1_000  # of each loop
PROFILED = 25  # functions shown


def measure(scenario: Scenario, bench: Bench, asked: Asked) -> Section:
    """The vendor alone, the other programs once each, then the program so many times."""
    ceiling = bench.ceiling(scenario, asked.events)
    say(f"{scenario}: the vendor alone takes {ceiling:,.0f} requests/s")
    beside = [
        (subject.ordered, run(bench, subject, scenario, events(subject, asked))) for subject in (*PLAIN, *asked.others)
    ]
    runs = [run(bench, CRMSTREAM, scenario, asked.events) for _ in range(asked.repeat)]
    if asked.profile:
        profile(bench, scenario, asked.events)
    return Section(
        name=scenario.name,
        title=str(scenario),
        rows=[row(scenario, runs, ordered=True), *(row(scenario, [one], ordered=ordered) for ordered, one in beside)],
        remarks=[*remarks(scenario, runs), vendor(ceiling, runs)],
        figures={
            "scenario": asdict(scenario),
            "vendor_alone": ceiling,
            "runs": [asdict(each) for each in (*runs, *(one for _, one in beside))],
        },
        shortfalls=shortfalls(scenario, ceiling, runs),
    )


def events(subject: Subject, asked: Asked) -> int:
    """How many *subject* gets: less what takes long and is no news."""
    if subject in asked.others:
        return asked.events
    return min(asked.events, QUICK_EVENTS if asked.quick else SLOW_EVENTS if subject.slow else PLAIN_EVENTS)


def run(bench: Bench, subject: Subject, scenario: Scenario, count: int) -> Figures:
    """One run, said aloud."""
    figures = bench.measured(subject, scenario, count)
    rate, cpu, peak = figures.events_per_second, figures.cpu_us_per_event, figures.peak_mb
    say(f"{scenario}: {subject.name} did {rate:,.0f} events/s at {cpu:,.0f} µs, peak {peak:.0f} MB")
    return figures


def row(scenario: Scenario, runs: Sequence[Figures], *, ordered: bool) -> dict[str, str]:
    """The figures of one subject as people read them."""
    rates, cpus = [each.events_per_second for each in runs], [each.cpu_us_per_event for each in runs]
    late = sum(each.arrived.out_of_order for each in runs)
    return {
        "program": runs[0].subject,
        "events/s": spread(rates),
        "of the ideal": f"{median(rates) / scenario.ideal:.0%}" if scenario.ideal else "-",
        "CPU µs/event": spread(cpus),
        "of it main thread": f"{median(each.python_us_per_event for each in runs):,.0f}",
        "peak MB": f"{max(each.peak_mb for each in runs):.0f}",
        "out of order": "none" if ordered else f"{late:,} of {sum(each.events for each in runs):,}",
    }


def remarks(scenario: Scenario, runs: Sequence[Figures]) -> list[str]:
    """What was aimed at, and what was met."""
    rate, cpu = median(run.events_per_second for run in runs), median(run.cpu_us_per_event for run in runs)
    peak = max(run.peak_mb for run in runs)
    aims = [(f"{scenario.aim:,.0f} events/s", rate >= scenario.aim), (f"{AIM_PEAK_MB} MB", peak <= AIM_PEAK_MB)]
    if scenario.aim_cpu:
        aims.append((f"{scenario.aim_cpu:.0f} µs", cpu <= scenario.aim_cpu))
    return ["Aims: " + ", ".join(f"{aim} {'met' if met else 'missed'}" for aim, met in aims) + "."]


def vendor(ceiling: float, runs: Sequence[Figures]) -> str:
    """How far the vendor was from being the limit."""
    rate = median(run.events_per_second for run in runs)
    busy = median(run.vendor_busy for run in runs)
    text = f"The vendor alone takes {ceiling:,.0f} requests/s, {ceiling / rate:.1f} times the program's figure."
    if all(run.broker_busy is None for run in runs):
        return f"{text} It used {busy:.0%} of its core; the broker is not ours."
    broker = median(run.broker_busy or 0.0 for run in runs)
    return f"{text} Vendor and broker used {busy:.0%} and {broker:.0%} of the core that they share."


def shortfalls(scenario: Scenario, ceiling: float, runs: Sequence[Figures]) -> list[str]:
    """Whether the vendor was too slow to tell how fast the program is."""
    headroom = ceiling / median(run.events_per_second for run in runs)
    if headroom >= CEILING:
        return []
    return [f"{scenario}: not valid: the vendor alone takes {headroom:.2f} times it, not {CEILING}"]


def profile(bench: Bench, scenario: Scenario, count: int) -> None:
    """Run once under cProfile, keep what it saw and print the dearest functions."""
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"profile-{scenario.name}.pstats"
    bench.profiled(CRMSTREAM, scenario, count, file)
    print(f"{scenario}: own time under cProfile, which makes calls dear and sees only the main thread")
    pstats.Stats(str(file)).strip_dirs().sort_stats("tottime").print_stats(PROFILED)
