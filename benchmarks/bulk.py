"""`python -m benchmarks.bulk`: contacts a second by Splio's bulk call, from a real broker to the program's stand-in.

All contacts are new. The stand-in runs in a process of its own, answers at once, and judges what it holds in the end.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import httpx
import yaml

from benchmarks.processes import OTHER_CORE, Broker, Failed, Used, run, running_broker
from benchmarks.scenarios import Bench

EVENTS, REPEAT = 120_000, 3
AIM = 20_000  # contacts a second


@dataclass(frozen=True, slots=True)
class Run:
    """One run. The rate is by the stand-in's clock, from its first arrival to its last answer."""

    contacts_per_second: float
    calls: int
    used: Used


class Universe:
    """The stand-in, by its controls."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self.key = key

    def held(self) -> int:
        """How many contacts it holds, each with its own number."""
        people = self._get("people")
        return len({each["custom_fields"][0]["value"] for each in people})

    def calls(self) -> list[dict[str, Any]]:
        """The bulk calls it has answered."""
        return [each for each in self._get("log") if each["target"] == "/data/contacts/bulk"]

    def _get(self, what: str) -> Any:
        return httpx.get(f"{self.address}/_sandbox/{what}", timeout=60, trust_env=False).json()


@contextmanager
def running_universe() -> Iterator[Universe]:
    """A stand-in on the other core, as `crmstream sandbox splio_contacts` serves it."""
    command = [
        "taskset",
        "-c",
        str(OTHER_CORE),
        sys.executable,
        "-m",
        "stream",
        "sandbox",
        "splio_contacts",
        "--port",
        "0",
    ]
    with Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            written = yaml.safe_load(said)["splio_contacts"]
            yield Universe(written["base_url"], written["api_key"])
        finally:
            process.terminate()


def measured(bench: Bench, count: int, *, remember: bool, profile: Path | None = None) -> Run:
    """One run of the program. Raises Failed where not every contact arrived."""
    topic = bench.topic(count, count)
    with running_universe() as universe:
        destination = {
            "type": "splio_contacts",
            "api_key": universe.key,
            "base_url": universe.address,
            "bulk": True,
            "rate_limit": None,
            "custom_fields": {"city": "job_title"},  # the event's number, by which it is known
        }
        configuration = {
            "kafka": {"bootstrap_servers": bench.broker.bootstrap},
            "source": {"topics": [topic], "group": f"bulk-{time.time_ns()}", "remember_traits": remember},
            "server": {"port": None},
            "destinations": {"splio": destination},
        }
        file = bench.folder / "crmstream.yaml"
        file.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
        used = run("stream", "run", "-c", file, "--drain", folder=bench.folder, profile=profile)
        calls = universe.calls()
        if (held := universe.held()) != count:
            raise Failed(f"{held} of {count} contacts arrived")
    seconds = max(call["answered"] for call in calls) - min(call["at"] for call in calls)
    return Run(count / seconds, len(calls), used)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--repeat", type=int, default=REPEAT)
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a broker to use and litter instead of our own")
    parser.add_argument("--remember", action="store_true", help="with `remember_traits`, which is on by default")
    parser.add_argument("--profile", type=Path, help="one more run under cProfile, kept in this file")
    given = parser.parse_args()
    os.sched_setaffinity(0, {OTHER_CORE})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmstream-bulk-")))
        own = None if given.bootstrap else stack.enter_context(running_broker(folder / "broker"))
        bench = Bench(own or Broker(given.bootstrap), folder)
        runs = []
        for _ in range(given.repeat):
            runs.append(measured(bench, given.events, remember=given.remember))
            used = runs[-1].used
            print(
                f"{runs[-1].contacts_per_second:,.0f} contacts/s in {runs[-1].calls} calls,"
                f" {1e6 * used.cpu_seconds / given.events:.0f} µs CPU a contact with start-up,"
                f" peak {used.peak_bytes / 1e6:.0f} MB",
                flush=True,
            )
        if given.profile:
            measured(bench, given.events, remember=given.remember, profile=given.profile)
    median = statistics.median(each.contacts_per_second for each in runs)
    print(f"median {median:,.0f} contacts/s; aim {AIM:,}: {'reached' if median >= AIM else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
