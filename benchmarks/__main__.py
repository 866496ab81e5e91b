"""`python -m benchmarks`: measures the whole path, writes what it found, and fails where it did not arrive in order."""

import argparse
import os
import pstats
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import results
from benchmarks.processes import OTHER_CORE, Broker, Failed, Used, running_broker
from benchmarks.results import AIM_CPU_US, AIM_PEAK_MB, Result
from benchmarks.scenarios import CEILING, SCENARIOS, Bench, Scenario

EVENTS, PLAIN_EVENTS, REPEAT = 120_000, 5_000, 3
QUICK_EVENTS, QUICK_PLAIN_EVENTS = 20_000, 1_000

PROFILED = 25  # functions shown


def main() -> int:
    """The exit code: 1 where a run failed, or the vendor may have been the bottleneck."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the broker is stopped
    os.sched_setaffinity(0, {OTHER_CORE})
    try:
        return measure(given)
    except Failed as failure:
        print(f"benchmarks: {failure}", file=sys.stderr)
        return 1


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Measures the whole path: see benchmarks/README.md"
    )
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=names, help="only this one; repeatable")
    parser.add_argument("--events", type=int, help=f"in a run of crmstream ({EVENTS:,})")
    parser.add_argument("--repeat", type=int, help=f"runs of crmstream, of which the median counts ({REPEAT})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_EVENTS:,} events once: what arrived is judged, speed is not"
    )
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a broker to use and litter instead of our own")
    parser.add_argument("--profile", action="store_true", help="one more run of each scenario, under cProfile")
    given = parser.parse_args()
    given.events = given.events or (QUICK_EVENTS if given.quick else EVENTS)
    given.repeat = given.repeat or (1 if given.quick else REPEAT)
    given.plain_events = min(given.events, QUICK_PLAIN_EVENTS if given.quick else PLAIN_EVENTS)
    given.scenarios = [each for each in SCENARIOS if not given.scenario or each.name in given.scenario]
    return given


def measure(given: argparse.Namespace) -> int:
    """Everything, with a broker of its own unless one was named."""
    machine = results.machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmstream-bench-")))
        say("starting a broker" if not given.bootstrap else f"using the broker at {given.bootstrap}")
        own = None if given.bootstrap else stack.enter_context(running_broker(folder / "broker"))
        bench = Bench(own or Broker(given.bootstrap), folder)
        start_up = bench.start_up(bench.program, given.scenarios[0])
        found = [measured(bench, scenario, given, start_up) for scenario in given.scenarios]
        effective = results.effective(folder / "crmstream.yaml")
        if given.profile:
            for scenario in given.scenarios:
                profile(bench, scenario, given.events)
    limits = list(shortfalls(found))
    file = results.write(
        found,
        start_up=start_up,
        machine=machine,
        versions=results.versions(own_broker=own is not None),
        configuration=bench.configuration,
        effective=effective,
        remarks=[*remarks(found, start_up), *limits],
    )
    print(file.read_text(encoding="utf-8"))
    say(f"written to {file.parent.name}/{file.name}, and {file.stem}.json beside it")
    for limit in limits:
        say(limit)
    return 1 if limits and not given.quick else 0


def measured(bench: Bench, scenario: Scenario, given: argparse.Namespace, start_up: Used) -> Result:
    """One scenario: the vendor alone, the plain loop, then the program so many times."""
    ceiling = bench.ceiling(scenario, given.events)
    say(f"{scenario}: the vendor alone takes {ceiling:,.0f} requests/s")
    plain_start_up = bench.start_up(bench.plain, scenario)
    plain = bench.measured(bench.plain, scenario, given.plain_events, plain_start_up)
    say(f"{scenario}: the plain loop does {plain.events_per_second:,.0f} events/s at {plain.cpu_us_per_event:,.0f} µs")
    runs = []
    for number in range(given.repeat):
        runs.append(bench.measured(bench.program, scenario, given.events, start_up))
        rate, cpu, peak = runs[-1].events_per_second, runs[-1].cpu_us_per_event, runs[-1].peak_mb
        say(f"{scenario}: run {number + 1} did {rate:,.0f} events/s at {cpu:.0f} µs, peak {peak:.0f} MB")
    return Result(scenario, given.events, runs, ceiling, plain, given.plain_events)


def shortfalls(found: Sequence[Result]) -> Iterator[str]:
    """Where the vendor was too slow to tell how fast the program is."""
    for each in found:
        if each.headroom < CEILING:
            yield f"{each.scenario}: not valid: the vendor alone takes {each.headroom:.2f} times it, not {CEILING}"


def remarks(found: Sequence[Result], start_up: Used) -> Iterator[str]:
    """What one has to know to read the table."""
    first = found[0]
    yield (
        f"{first.events:,} events a run in 12 partitions, median of {len(first.runs)}; the plain loop: one run of"
        f" {first.plain_events:,}. Every run was complete, distinct and in order at the vendor."
    )
    yield "Events a second by the vendor's clock, from its first arrival to its last answer."
    yield (
        "CPU: user and system time of the whole process with all its threads, less that of a run on an empty topic"
        f" ({start_up.cpu_seconds:.2f} s). Aim at 0 ms: {AIM_CPU_US} µs. Peak: resident memory; aim: {AIM_PEAK_MB} MB."
    )
    yield "All settings are default, but for `rate_limit: null`, `concurrency`, `base_url` and `server: {port: null}`."


def profile(bench: Bench, scenario: Scenario, count: int) -> None:
    """Run once under cProfile, keep what it saw and print the dearest functions."""
    results.FOLDER.mkdir(exist_ok=True)
    file = results.FOLDER / f"profile-{scenario.name}.pstats"
    bench.profiled(scenario, count, file)
    print(f"{scenario}: own time under cProfile, which makes calls dear and sees only the main thread")
    pstats.Stats(str(file)).strip_dirs().sort_stats("tottime").print_stats(PROFILED)


def say(text: str) -> None:
    """A line on how far it is."""
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
