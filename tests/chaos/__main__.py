"""`./dev chaos`: runs under faults that seeds draw, until there are enough; ends with 1 where one broke a promise."""

import argparse
import asyncio
import gc
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import orjson

from tests.chaos.endurance import endure
from tests.chaos.lanes import Wanted, keep, lanes
from tests.chaos.plan import SECONDS, WORKLOADS
from tests.chaos.recovery import recoveries
from tests.chaos.report import Verdict, totals, verdict
from tests.kafka.broker import running_broker


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.partition(":")[2].strip())
    parser.add_argument("--runs", type=int, help="so many (1 unless --minutes is given)")
    parser.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 1_000_000, help="of the first run; each next one is 1 more"
    )
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="in each lane's cluster")
    parser.add_argument("--parallel", type=int, default=1, metavar="LANES", help="runs side by side")
    parser.add_argument("--workload", choices=list(WORKLOADS), help="instead of the one that the seed draws")
    parser.add_argument(
        "--faults", default="", metavar="KIND,…", help=f"instead of the seed's, in this order: {', '.join(SECONDS)}"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path("chaos-runs"),
        metavar="FOLDER",
        help="what is left of runs that broke a promise",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="adds a JSON line for each run")
    parser.add_argument("--sum", type=Path, nargs="+", metavar="FILE", help="only adds up what --output wrote")
    parser.add_argument("--endurance", type=seconds_of, metavar="DURATION", help="steady load, a fault a minute: 1h")
    parser.add_argument("--recovery", action="store_true", help="measures how long it takes until events flow again")
    found = parser.parse_args()
    found.keep = found.keep.absolute()
    found.kinds = tuple(filter(None, found.faults.split(",")))
    if unknown := set(found.kinds) - SECONDS.keys():
        parser.error(f"--faults: there is no {', '.join(sorted(unknown))}")
    if found.runs is None and found.minutes is None:
        found.runs = 1
    return found


def seeds(wanted: argparse.Namespace) -> Iterator[int]:
    """One after the other, until there were enough or time is up."""
    end = time.monotonic() + (wanted.minutes * 60 if wanted.minutes else float("inf"))
    for seed in islice(count(wanted.seed), wanted.runs):
        if time.monotonic() > end:
            return
        yield seed


def say(line: str) -> None:
    """At once, for whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def seconds_of(text: str) -> float:
    """A duration as it is written in a configuration: 90s, 20m, 1h."""
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def measure_recovery() -> int:
    """Print the table."""
    with running_broker() as broker, tempfile.TemporaryDirectory() as folder:
        asyncio.run(recoveries(broker, Path(folder), say))
    return 0


def endurance(wanted: argparse.Namespace) -> int:
    """One long run, and what a member held at its begin and at its end."""
    gc.disable()  # see `lanes`
    with running_broker() as broker, tempfile.TemporaryDirectory() as folder:
        played, held = asyncio.run(endure(wanted.seed, wanted.endurance, broker, Path(folder)))
        judged = verdict(played, 1)
        if judged.violations:
            keep(wanted.keep / str(wanted.seed), Path(folder), played)
    tell(judged, wanted.output)
    say(totals([judged]))
    say(str(held))
    return int(bool(judged.violations))


def tell(judged: Verdict, output: Path | None) -> None:
    """Say what came of a run, and add it to the file."""
    say(str(judged))
    for text in judged.violations:
        say(f"    {text}")
    if output:
        with output.open("ab") as file:
            file.write(orjson.dumps(judged.kept(), option=orjson.OPT_APPEND_NEWLINE))


def main() -> int:
    """Play, tell, and add up."""
    wanted = options()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that brokers come and go is what this is about
    if wanted.sum:
        lines = [line for file in wanted.sum for line in file.read_bytes().splitlines()]
        say(totals(Verdict(**orjson.loads(line)) for line in lines))
        return 0
    if wanted.recovery:
        return measure_recovery()
    say(f"seed {wanted.seed}")
    if wanted.endurance:
        return endurance(wanted)
    like = Wanted(wanted.brokers, wanted.workload, wanted.kinds, wanted.keep)
    verdicts: list[Verdict] = []
    with lanes(wanted.parallel, like, seeds(wanted)) as found:
        for judged in found:
            verdicts.append(judged)
            tell(judged, wanted.output)
            if judged.violations:
                say(f"    again: {like.again(judged.seed)}    kept: {wanted.keep / str(judged.seed)}")
    say(totals(verdicts))
    return int(any(judged.violations for judged in verdicts))


if __name__ == "__main__":
    sys.exit(main())
