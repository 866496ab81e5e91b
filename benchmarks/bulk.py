"""Contacts a second by Splio's bulk call, from a real broker to the program's stand-in, which answers at once.

All contacts are new. The stand-in judges what it holds in the end.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import Asked, Bench, say
from benchmarks.processes import Failed, Used, running
from benchmarks.results import FOLDER, Section, spread
from benchmarks.sandbox import running_sandbox
from benchmarks.subjects import running_with

AIM = 40_000  # contacts a second


@dataclass(frozen=True, slots=True)
class Run:
    """One run. The rate is by the stand-in's clock, from its first arrival to its last answer."""

    remember: bool
    contacts: int
    contacts_per_second: float
    calls: int
    used: Used
    stand_in_busy: float  # share of a core that it used meanwhile; a little too much, for its checks at start are in it


def measure(bench: Bench, asked: Asked) -> Section:
    """With traits remembered, as is the default, and without."""
    found = [[measured(bench, asked.events, remember=how) for _ in range(asked.repeat)] for how in (True, False)]
    if asked.profile:
        FOLDER.mkdir(exist_ok=True)
        measured(bench, asked.events, remember=True, profile=FOLDER / "profile-bulk.pstats")
    return Section(
        name="bulk",
        title="Contacts by Splio's bulk call",
        rows=[row(runs) for runs in found],
        remarks=[
            f"{asked.events:,} contacts, all new, up to 1,000 a call; `bulk: true`, `rate_limit: null`, else defaults.",
            "Contacts a second by the stand-in's clock; a run counts if it holds each of them in the end.",
        ],
        figures=[asdict(run) for runs in found for run in runs],
    )


def row(runs: list[Run]) -> dict[str, str]:
    """The figures as people read them."""
    rates = [run.contacts_per_second for run in runs]
    return {
        "`remember_traits`": str(runs[0].remember).lower(),
        "contacts/s": spread(rates),
        "aim": f"{AIM:,}: {'met' if median(rates) >= AIM else 'missed'}",
        "CPU µs/contact, with start-up": spread([1e6 * run.used.cpu_seconds / run.contacts for run in runs]),
        "calls": f"{median(run.calls for run in runs):.0f}",
        "stand-in's core busy": f"{median(run.stand_in_busy for run in runs):.0%}",
        "peak MB": f"{max(run.used.peak_bytes for run in runs) / 1e6:.0f}",
    }


def measured(bench: Bench, count: int, *, remember: bool, profile: Path | None = None) -> Run:
    """One run of the program. Raises Failed where not every contact arrived."""
    topic = bench.topic(count, count)
    with running_sandbox("splio_contacts") as sandbox:
        custom = {"city": "job_title"}  # the event's number, by which it is known
        configuration = {
            "kafka": {"bootstrap_servers": bench.broker.bootstrap},
            "source": {"topics": [topic], "group": bench.group(), "remember_traits": remember},
            "server": {"port": None},
            "destinations": {"splio": sandbox.settings | {"bulk": True, "rate_limit": None, "custom_fields": custom}},
        }
        before = sandbox.cpu_seconds()
        with running(running_with(configuration, bench.folder, profile=profile), bench.folder) as process:
            used = process.wait()
        busy = sandbox.cpu_seconds() - before
        calls: list[dict[str, Any]] = [each for each in sandbox.told("log") if each["target"] == "/data/contacts/bulk"]
        held = len({each["custom_fields"][0]["value"] for each in sandbox.told("people")})
    if held != count:
        raise Failed(f"{held} of {count} contacts arrived")
    seconds = max(call["answered"] for call in calls) - min(call["at"] for call in calls)
    say(f"bulk: {count / seconds:,.0f} contacts/s in {len(calls)} calls, peak {used.peak_bytes / 1e6:.0f} MB")
    return Run(remember, count, count / seconds, len(calls), used, busy / seconds)
