"""What a benchmark leaves behind: all figures as JSON, and a Markdown table. Nothing is measured here."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import yaml

from benchmarks.processes import BROKER, CORES, OTHER_CORE, PROGRAM_CORE, ROOT, Used
from benchmarks.scenarios import Figures, Scenario
from stream.settings import load

FOLDER = Path(__file__).parent / "results"
LIBRARIES = ("crmstream", "aiokafka", "pyreqwest", "httpx", "orjson", "uvloop", "pydantic")

AIM_CPU_US = 80  # per event at 0 ms
AIM_PEAK_MB = 150


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario, measured."""

    scenario: Scenario
    events: int
    runs: Sequence[Figures]
    ceiling: float  # requests a second that the vendor takes from a bare loader
    plain: Figures
    plain_events: int

    @property
    def rate(self) -> float:
        """The median of the events a second."""
        return median(run.events_per_second for run in self.runs)

    @property
    def headroom(self) -> float:
        """How many times the program's rate the vendor takes."""
        return self.ceiling / self.rate


def machine() -> dict[str, Any]:
    """What it ran on. The load says whether anything else did."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), "unknown"),
        "cores": len(CORES),
        "program_core": PROGRAM_CORE,
        "other_core": OTHER_CORE,
        "memory_mb": pages * page // 1_000_000,
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def versions(*, own_broker: bool) -> dict[str, str]:
    """Of what took part."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    jars = subprocess.run([BROKER, "jars"], capture_output=True, text=True).stdout if own_broker else ""
    return {
        "commit": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "kafka broker": Path(jars.strip()).parent.name or "not ours",
    }


def effective(file: Path) -> dict[str, Any]:
    """Every setting the program ran with, secrets hidden."""
    settings: dict[str, Any] = load(file).model_dump(mode="json")
    return settings


def table(results: Sequence[Result]) -> str:
    """The figures as people read them."""
    head = (
        "scenario",
        "events/s (spread)",
        "of the ideal",
        "aim",
        "CPU µs/event (spread), of it Python's thread",
        "peak MB",
        "vendor alone, requests/s",
        "vendor's core busy",
        "plain loop: events/s, CPU µs/event, in flight",
    )
    rows = [head, ("---",) * len(head), *map(_row, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(result: Result) -> tuple[str, ...]:
    scenario, runs, plain = result.scenario, result.runs, result.plain
    cpu = [run.cpu_us_per_event for run in runs]
    vendor = median(run.vendor_busy for run in runs)
    brokers = [run.broker_busy for run in runs if run.broker_busy is not None]
    broker = median(brokers) if brokers else None
    return (
        str(scenario),
        f"**{result.rate:,.0f}** ({_spread([run.events_per_second for run in runs])})",
        f"{result.rate / scenario.ideal:.0%} of {scenario.ideal:,.0f}" if scenario.ideal else "-",
        f"{scenario.aim:,.0f}: {'met' if result.rate >= scenario.aim else 'missed'}",
        f"**{median(cpu):.0f}** ({_spread(cpu)}), {median(run.python_us_per_event for run in runs):.0f}",
        f"{max(run.peak_mb for run in runs):.0f}",
        f"{result.ceiling:,.0f} ({result.headroom:.1f} times)",
        f"{vendor:.0%} and more: broker not ours"
        if broker is None
        else f"{vendor + broker:.0%}, of it broker {broker:.0%}",
        f"{plain.events_per_second:,.0f}, {plain.cpu_us_per_event:,.0f}, {scenario.plain_in_flight}",
    )


def _spread(figures: Sequence[float]) -> str:
    return f"{min(figures):,.0f} to {max(figures):,.0f}" if len(figures) > 1 else "one run"


def write(
    results: Sequence[Result],
    *,
    start_up: Used,
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    configuration: Mapping[str, Any],
    effective: Mapping[str, Any],
    remarks: Sequence[str],
) -> Path:
    """Write all of it, and give the Markdown's path; the JSON is beside it."""
    FOLDER.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    stem = now.strftime("%Y-%m-%d-%H%M%S")
    everything = {
        "made_at": now.isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "start_up": asdict(start_up),
        "configuration": effective,
        "remarks": remarks,
        "results": [asdict(each) | {"events_per_second": each.rate, "headroom": each.headroom} for each in results],
    }
    (FOLDER / f"{stem}.json").write_bytes(orjson.dumps(everything, option=orjson.OPT_INDENT_2))
    written = yaml.safe_dump(dict(configuration), sort_keys=False)
    parts = [
        f"# Benchmark of {now:%Y-%m-%d %H:%M} UTC",
        table(results),
        "\n".join(f"- {remark}" for remark in remarks),
        f"Configuration of the last run, all that is not default:\n\n```yaml\n{written}```",
        f"Machine: {_listed(machine)}.\n\nVersions: {_listed(versions)}.",
    ]
    markdown = FOLDER / f"{stem}.md"
    markdown.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return markdown


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
