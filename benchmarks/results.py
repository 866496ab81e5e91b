"""What a benchmark leaves behind: all figures as JSON, and Markdown tables. Nothing is measured here."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from benchmarks.processes import BROKER, CORES, OTHER_CORE, PROGRAM_CORE, ROOT
from stream.settings import load

FOLDER = Path(__file__).parent / "results"
LIBRARIES = ("crmstream", "aiokafka", "pyreqwest", "httpx", "aiohttp", "orjson", "uvloop", "pydantic")


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found: a table, what one must know to read it, and every figure."""

    name: str
    title: str
    rows: Sequence[Mapping[str, str]]  # by column
    remarks: Sequence[str]
    figures: Any  # whatever JSON can hold, dataclasses too
    shortfalls: Sequence[str] = ()  # why the figures are not to be trusted

    def __str__(self) -> str:
        """As Markdown."""
        head = [*self.rows[0]]
        table = [head, ["---"] * len(head), *([row.get(column, "") for column in head] for row in self.rows)]
        lines = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
        remarks = "\n".join(f"- {remark}" for remark in (*self.remarks, *self.shortfalls))
        return f"## {self.title}\n\n{lines}\n\n{remarks}"


def spread(figures: Sequence[float], digits: int = 0) -> str:
    """The median, with the lowest and the highest."""
    low, middle, high = (f"{each:,.{digits}f}" for each in (min(figures), median(figures), max(figures)))
    return f"**{middle}** ({low} to {high})" if len(figures) > 1 else f"**{middle}**"


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
        **{name: installed(name) for name in LIBRARIES},
        "kafka broker": Path(jars.strip()).parent.name or "not ours",
    }


def installed(name: str) -> str:
    """The version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def effective(file: Path) -> dict[str, Any]:
    """Every setting the program ran with, secrets hidden; nothing where it did not run."""
    settings: dict[str, Any] = load(file).model_dump(mode="json") if file.exists() else {}
    return settings


def write(
    sections: Sequence[Section],
    *,
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    configuration: Path,
) -> Path:
    """Write all of it, and give the Markdown's path; the JSON is beside it. *configuration*: of the last run."""
    FOLDER.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    stem = now.strftime("%Y-%m-%d-%H%M%S")
    everything = {
        "made_at": now.isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "configuration": effective(configuration),
        "sections": sections,
    }
    (FOLDER / f"{stem}.json").write_bytes(orjson.dumps(everything, option=orjson.OPT_INDENT_2))
    parts = [
        f"# Benchmark of {now:%Y-%m-%d %H:%M} UTC",
        *map(str, sections),
        f"Machine: {_listed(machine)}.\n\nVersions: {_listed(versions)}.",
    ]
    markdown = FOLDER / f"{stem}.md"
    markdown.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return markdown


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
