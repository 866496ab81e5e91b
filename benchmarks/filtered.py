"""Filter: a destination that takes one event in a hundred. What it costs to read the rest."""

from dataclasses import asdict
from statistics import median

from benchmarks.bench import Asked, Bench, say
from benchmarks.results import Section, spread
from benchmarks.scenarios import AIM_PEAK_MB, A
from benchmarks.subjects import CRMSTREAM

ONE_IN = 100
TIMES = 4  # as many events as elsewhere: they are read faster
AIM = 100_000  # events a second


def measure(bench: Bench, asked: Asked) -> Section:
    """Events read a second, from the first delivery to the last."""
    count = asked.events * TIMES
    runs = []
    for _ in range(asked.repeat):
        runs.append(bench.measured(CRMSTREAM, A, count, one_in=ONE_IN))
        say(f"filter: {runs[-1].events_per_second:,.0f} events/s at {runs[-1].cpu_us_per_event:.1f} µs")
    rate = median(run.events_per_second for run in runs)
    return Section(
        name="filter",
        title=f"A destination that takes one event in {ONE_IN}",
        rows=[
            {
                "events read/s": spread([run.events_per_second for run in runs]),
                "aim": f"{AIM:,}: {'met' if rate >= AIM else 'missed'}",
                "CPU µs/event read": spread([run.cpu_us_per_event for run in runs], 1),
                "peak MB": f"{max(run.peak_mb for run in runs):.0f} (aim {AIM_PEAK_MB})",
            }
        ],
        remarks=[
            f"{count:,} events of 600 to 1,000 bytes; the others are `track` calls that the preset does not take.",
            "The vendor and the calls in flight are those of A.",
        ],
        figures=[asdict(run) for run in runs],
    )
