"""A run of many changed contacts, from a real broker to a real SFTP server.

Ten times as many contacts must not need ten times the memory. All contacts are new; the stand-in imports the files, and
judges what it holds in the end.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.bench import Asked, Bench, say
from benchmarks.processes import Failed, Used, running
from benchmarks.results import FOLDER, Section
from benchmarks.sandbox import running_sandbox
from benchmarks.subjects import running_with

CONTACTS, QUICK_CONTACTS = 200_000, 10_000
FEWER = 10  # times fewer, for comparison
ROWS = 100_000  # what a figure is about


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the program, from its start to its end."""

    contacts: int
    files: int
    used: Used

    def row(self) -> dict[str, str]:
        """As people read it."""
        each, cpu = (seconds / self.contacts * ROWS for seconds in (self.used.seconds, self.used.cpu_seconds))
        return {
            "changed contacts": f"{self.contacts:,}",
            "files": str(self.files),
            f"seconds for {ROWS:,} rows": f"{each:.1f}",
            "of them CPU": f"{cpu:.1f}",
            "peak MB": f"{self.used.peak_bytes / 1e6:.0f}",
        }


def measure(bench: Bench, asked: Asked) -> Section:
    """Few, then many."""
    contacts = QUICK_CONTACTS if asked.quick else CONTACTS
    runs = [measured(bench, count) for count in (contacts // FEWER, contacts)]
    if asked.profile:
        FOLDER.mkdir(exist_ok=True)
        measured(bench, contacts, FOLDER / "profile-files.pstats")
    return Section(
        name="files",
        title="Contact files by SFTP",
        rows=[run.row() for run in runs],
        remarks=["From the program's start to its end: start-up and reading are in it."],
        figures=[asdict(run) for run in runs],
    )


def measured(bench: Bench, count: int, profile: Path | None = None) -> Run:
    """One run of the program. Raises Failed where not every contact arrived once."""
    topic, group = bench.topic(count, count), bench.group()
    with running_sandbox("splio_files") as sandbox:
        configuration = {
            "kafka": {"bootstrap_servers": bench.broker.bootstrap},
            "source": {"topics": [topic], "group": group, "remember_traits": False},
            "state": {"folder": str(bench.folder / group)},
            "server": {"port": None},
            "destinations": {"splio": sandbox.settings},
        }
        with running(running_with(configuration, bench.folder, profile=profile), bench.folder) as process:
            used = process.wait()
        log = sandbox.told("log")
    imported = [entry for entry in log if entry["method"] == "IMPORT"]
    if len(imported) != count or len({entry["body"]["email"] for entry in imported}) != count:
        raise Failed(f"{len(imported)} rows of {count} contacts arrived")
    say(f"files: {count:,} contacts in {used.seconds:.1f} s, peak {used.peak_bytes / 1e6:.0f} MB")
    return Run(count, len({entry["target"] for entry in imported}), used)
