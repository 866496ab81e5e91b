"""`./dev bench`: measures what was asked for, writes what it found, and fails where a run did not count."""

import argparse
import importlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import bulk, files, filtered, kills, latency, poison, results, start, throughput, tls
from benchmarks.bench import Asked, Bench, say
from benchmarks.processes import OTHER_CORE, Broker, Failed, running_broker
from benchmarks.results import Section
from benchmarks.scenarios import A, B, C
from benchmarks.subjects import other

BENCHMARKS: Mapping[str, Callable[[Bench, Asked], Section]] = {
    "A": partial(throughput.measure, A),
    "B": partial(throughput.measure, B),
    "C": partial(throughput.measure, C),
    "D": kills.measure,
    "E": poison.measure,
    "tls": tls.measure,
    "filter": filtered.measure,
    "latency": latency.measure,
    "start": start.measure,
    "bulk": bulk.measure,
    "files": files.measure,
}
FURTHER = [name for name in ("growth", "scaling", "million") if find_spec(f"benchmarks.{name}")]
"""Commands of their own, with options of their own: modules with a `main` that gives the exit code."""

QUICK_EVENTS = 20_000


def main() -> int:
    """The exit code: 1 where a run failed, or the vendor may have been the bottleneck."""
    if sys.argv[1:2] and sys.argv[1] in FURTHER:
        further = importlib.import_module(f"benchmarks.{sys.argv.pop(1)}")
        code: int = further.main()
        return code
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the broker is stopped
    os.sched_setaffinity(0, {OTHER_CORE})
    try:
        return measure(given)
    except Failed as failure:
        say(str(failure))
        return 1


def arguments() -> argparse.Namespace:
    """What was asked for."""
    usual = Asked()
    also = f"; further commands: {', '.join(FURTHER)}" if FURTHER else ""
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Measures the whole path: see benchmarks/README.md"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; none: all{also}")
    parser.add_argument("--events", type=int, help=f"in a run of crmstream ({usual.events:,})")
    parser.add_argument("--repeat", type=int, help=f"runs of crmstream, of which the median counts ({usual.repeat})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_EVENTS:,} events once: what arrived is judged, speed is not"
    )
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a broker to use and litter instead of our own")
    parser.add_argument("--profile", action="store_true", help="one more run of each, under cProfile")
    parser.add_argument(
        "--program",
        action="append",
        default=[],
        nargs=2,
        metavar=("NAME", "COMMAND"),
        help="measure this too, in A to E; {bootstrap}, {topic}, {group}, {url}, {in_flight} are filled in; repeatable",
    )
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in BENCHMARKS]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join([*BENCHMARKS, *FURTHER])}")
    given.asked = Asked(
        events=given.events or (QUICK_EVENTS if given.quick else usual.events),
        repeat=given.repeat or (1 if given.quick else usual.repeat),
        quick=given.quick,
        profile=given.profile,
        others=[other(name, command) for name, command in given.program],
    )
    return given


def measure(given: argparse.Namespace) -> int:
    """Everything, with a broker of its own unless one was named."""
    machine = results.machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmstream-bench-")))
        say("starting a broker" if not given.bootstrap else f"using the broker at {given.bootstrap}")
        own = None if given.bootstrap else stack.enter_context(running_broker(folder / "broker"))
        sections, failures = measured(Bench(own or Broker(given.bootstrap), folder), given)
        file = results.write(
            sections,
            machine=machine,
            versions=results.versions(own_broker=own is not None),
            configuration=folder / "crmstream.yaml",
        )
    print(file.read_text(encoding="utf-8"))
    say(f"written to {file.parent.name}/{file.name}, and {file.stem}.json beside it")
    shortfalls = [shortfall for section in sections for shortfall in section.shortfalls]
    for text in (*shortfalls, *failures):
        say(text)
    return 1 if failures or (shortfalls and not given.quick) else 0


def measured(bench: Bench, given: argparse.Namespace) -> tuple[list[Section], list[str]]:
    """What each benchmark found, and why some found nothing: one that fails is of no concern to the others."""
    sections: list[Section] = []
    failures: list[str] = []
    for name in given.names or BENCHMARKS:
        try:
            sections.append(BENCHMARKS[name](bench, given.asked))
        except Failed as failure:
            failures.append(f"{name} has no figures: {failure}")
            say(failures[-1])
    return sections, failures


if __name__ == "__main__":
    sys.exit(main())
