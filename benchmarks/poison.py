"""E: one contact of a thousand is always refused with a 500. What the others keep of the rate of B, beside it."""

from dataclasses import asdict
from statistics import median

from benchmarks.bench import Asked, Bench, say
from benchmarks.results import Section, spread
from benchmarks.scenarios import AIM_PEAK_MB, OTHERS, B, E
from benchmarks.subjects import CRMSTREAM, ENDLESS


def measure(bench: Bench, asked: Asked) -> Section:
    """B and E in turns. The program is stopped when all others have arrived: the refused ones it would try for long."""
    undisturbed, disturbed = [], []
    for _ in range(asked.repeat):
        undisturbed.append(bench.measured(CRMSTREAM, B, asked.events))
        disturbed.append(bench.measured(ENDLESS, E, asked.events))
        say(f"{E}: {disturbed[-1].events_per_second:,.0f} events/s, B {undisturbed[-1].events_per_second:,.0f}")
    beside = [bench.measured(other, E, asked.events) for other in asked.others]
    usual = median(run.events_per_second for run in undisturbed)
    rows = [
        {
            "program": runs[0].subject,
            "the others, events/s": spread([run.events_per_second for run in runs]),
            "B, events/s": spread([run.events_per_second for run in undisturbed]) if runs is disturbed else "-",
            "share": f"**{median(run.events_per_second for run in runs) / usual:.0%}**" if runs is disturbed else "-",
            "CPU µs/event": spread([run.cpu_us_per_event for run in runs]),
            "calls refused": f"{median(run.arrived.refused for run in runs):.0f}",
            "peak MB": f"{max(run.peak_mb for run in runs):.0f}",
        }
        for runs in (disturbed, *([each] for each in beside))
    ]
    return Section(
        name=E.name,
        title=str(E),
        rows=rows,
        remarks=[
            f"Aims: {OTHERS:.0%} of B, {AIM_PEAK_MB} MB.",
            "The rate is that of the other contacts' events, all of which arrived, once and in order.",
        ],
        figures={"B": [asdict(run) for run in undisturbed], "E": [asdict(run) for run in (*disturbed, *beside)]},
    )
