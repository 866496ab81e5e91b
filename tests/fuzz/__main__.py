"""The long run, `./dev fuzz`: as many inputs of each target as wanted, counted, and how to see a failure again."""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any

import structlog
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.target import Target
from tests.fuzz.targets import MACHINES, TARGETS

LONGEST = 20.0  # seconds after which an input counts as one that never ends
SHOWN = 2_000  # characters of an input
STEPS = 50  # of a state machine, at most


class NeverEnds(Exception):
    """An input kept its target busy for too long."""


@dataclass(slots=True)
class Tally:
    """What came of one target."""

    name: str
    inputs: int = 0
    seconds: float = 0.0
    failures: dict[str, list[str]] = field(default_factory=dict)  # cases by where they broke off

    def __str__(self) -> str:
        failed = sum(map(len, self.failures.values()))
        rate = self.inputs / max(self.seconds, 1e-9)
        return f"{self.name:24} {self.inputs:>10,} inputs {rate:>9,.0f}/s {failed:>6} failed"


def main() -> int:
    """What the process exits with: 0 where every property held."""
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    signal.signal(signal.SIGALRM, _never_ends)
    if options.case:
        return _again(options.case)
    names = [
        name for name in (*TARGETS, *MACHINES) if not options.target or any(word in name for word in options.target)
    ]
    if not names:
        say(f"no target is called so: there are {', '.join((*TARGETS, *MACHINES))}")
        return 2
    say(f"seed {options.seed}")
    tallies = []
    for number, name in enumerate(names):
        end = time.monotonic() + options.left(len(names) - number)
        tallies.append(_tried(TARGETS[name], options, end) if name in TARGETS else _driven(name, options, end))
        say(str(tallies[-1]))
    failures = [(tally, place, cases) for tally in tallies for place, cases in tally.failures.items()]
    for tally, place, cases in failures:
        say(f"\n{tally.name}: {place}, {len(cases)} times; ./dev fuzz --case '{cases[0]}' shows the first")
    say(f"{sum(tally.inputs for tally in tallies):,} inputs, {len(failures)} faults")
    return 1 if failures else 0


@dataclass(slots=True)
class Options:
    """What was asked for."""

    target: list[str]
    examples: int
    minutes: float
    seed: str
    case: str
    began: float = field(default_factory=time.monotonic)

    def left(self, targets: int) -> float:
        """Seconds for the next of so many targets: what is left is shared out."""
        return (self.began + 60 * self.minutes - time.monotonic()) / targets


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("--target", action="append", default=[], metavar="WORD", help="those whose name contains this")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="inputs of each target (default: 20,000)")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), metavar="M", help="end by then; shared by targets"
    )
    parser.add_argument(
        "--seed", default=str(SystemRandom().randrange(10**6)), help="printed; the same gives the same inputs"
    )
    parser.add_argument("--case", default="", metavar="CASE", help="one input again, as a failure names it")
    given = parser.parse_args()
    unbounded = given.minutes == float("inf")
    examples = given.examples or (20_000 if unbounded else sys.maxsize)
    return Options(given.target, examples, given.minutes, given.seed, given.case)


def _tried(target: Target, options: Options, end: float) -> Tally:
    tally, began = Tally(target.name), time.monotonic()
    for number in range(options.examples):
        case = f"{options.seed}/{target.name}/{number}"
        try:
            with _ending():
                target.holds(target.draw(Random(case)))
        except Exception as error:
            tally.failures.setdefault(_place(error), []).append(case)
        tally.inputs += 1
        if number % 64 == 0 and time.monotonic() > end:
            break
    tally.seconds = time.monotonic() - began
    return tally


def _driven(name: str, options: Options, end: float) -> Tally:
    """A state machine: an input is one step."""
    tally, began = Tally(name), time.monotonic()

    machine: Any = MACHINES[name]

    class Counted(machine):  # type: ignore[misc]
        def check_invariants(self, *given: Any, **named: Any) -> None:
            tally.inputs += 1
            super().check_invariants(*given, **named)

    few = settings(
        max_examples=min(50, max(1, options.examples // STEPS)),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    turn = 0
    while tally.inputs < options.examples and time.monotonic() < end:
        try:
            run_state_machine_as_test(seed(f"{options.seed}/{turn}")(Counted), settings=few)
        except Exception as error:
            say("\n".join(getattr(error, "__notes__", [])) or str(error))
            tally.failures.setdefault(_place(error), []).append(f"{options.seed}/{name}/{turn}")
            break
        turn += 1
    tally.seconds = time.monotonic() - began
    return tally


def _again(case: str) -> int:
    """One input, shown, with where it breaks off."""
    target = TARGETS[case.split("/", 1)[1].rsplit("/", 1)[0]]
    drawn = target.draw(Random(case))
    say(repr(drawn)[:SHOWN])
    try:
        target.holds(drawn)
    except Exception:
        traceback.print_exc()
        return 1
    say("it holds")
    return 0


@contextmanager
def _ending() -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _never_ends(*_: Any) -> None:
    raise NeverEnds(f"busy for {LONGEST:.0f} s")


def _place(error: Exception) -> str:
    """What was raised, and in which line of ours."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    where = frames[-1]
    return f"{type(error).__name__} in {where.filename.rpartition('/')[2]}:{where.lineno}"


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
