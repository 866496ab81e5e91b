"""`python -m benchmarks.files`: a run of many changed contacts, from a real broker to a real SFTP server.

Ten times as many contacts must not need ten times the memory. All contacts are new; the stand-in runs in a process of
its own, imports the files, and judges what it holds in the end.
"""

import argparse
import os
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

CONTACTS = 200_000
FEWER = 10  # times fewer, for comparison
ROWS = 100_000  # what a figure is about


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the program, from its start to its end."""

    contacts: int
    files: int
    used: Used

    def __str__(self) -> str:
        each, cpu = (seconds / self.contacts * ROWS for seconds in (self.used.seconds, self.used.cpu_seconds))
        return (
            f"{self.contacts:,} changed contacts in {self.files} files:"
            f" {each:.1f} s for {ROWS:,} rows, start-up and reading included, {cpu:.1f} s of them CPU;"
            f" peak {self.used.peak_bytes / 1e6:.0f} MB"
        )


@contextmanager
def running_universe() -> Iterator[dict[str, Any]]:
    """The settings that reach a stand-in on the other core, as `crmstream sandbox splio_files` prints them."""
    pinned = ["taskset", "-c", str(OTHER_CORE), sys.executable, "-m", "stream"]
    with Popen([*pinned, "sandbox", "splio_files", "--port", "0"], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            written: dict[str, Any] = yaml.load(process.stdout.readline(), yaml.BaseLoader)["splio_files"]  # noqa: S506
            yield written
        finally:
            process.terminate()


def measured(bench: Bench, count: int, profile: Path | None = None) -> Run:
    """One run of the program. Raises Failed where not every contact arrived once."""
    topic = bench.topic(count, count)
    with running_universe() as universe:
        configuration = {
            "kafka": {"bootstrap_servers": bench.broker.bootstrap},
            "source": {"topics": [topic], "group": f"files-{time.time_ns()}", "remember_traits": False},
            "state": {"folder": str(bench.folder / f"state-{time.time_ns()}")},
            "server": {"port": None},
            "destinations": {"splio": universe},
        }
        file = bench.folder / "crmstream.yaml"
        file.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
        used = run("stream", "run", "-c", file, "--drain", folder=bench.folder, profile=profile)
        log = httpx.get(f"{universe['base_url']}/_sandbox/log", timeout=120, trust_env=False).json()
    imported = [entry for entry in log if entry["method"] == "IMPORT"]
    if len(imported) != count or len({entry["body"]["email"] for entry in imported}) != count:
        raise Failed(f"{len(imported)} rows of {count} contacts arrived")
    return Run(count, len({entry["target"] for entry in imported}), used)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.files", description=__doc__)
    parser.add_argument("--contacts", type=int, default=CONTACTS)
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a broker to use and litter instead of our own")
    parser.add_argument("--profile", type=Path, help="one more run under cProfile, kept in this file")
    given = parser.parse_args()
    os.sched_setaffinity(0, {OTHER_CORE})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmstream-files-")))
        own = None if given.bootstrap else stack.enter_context(running_broker(folder / "broker"))
        bench = Bench(own or Broker(given.bootstrap), folder)
        for count in (given.contacts // FEWER, given.contacts):
            print(measured(bench, count), flush=True)
        if given.profile:
            measured(bench, given.contacts, given.profile.absolute())
    return 0


if __name__ == "__main__":
    sys.exit(main())
