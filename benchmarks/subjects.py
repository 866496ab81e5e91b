"""What is measured: the program, the loops one writes by hand, and any other program given by its command line."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from benchmarks.processes import python


@dataclass(frozen=True, slots=True)
class Task:
    """What a subject is to do: deliver the events of a topic to a vendor."""

    bootstrap: str
    topic: str
    group: str
    url: str
    in_flight: int
    folder: Path  # to work in
    ca_file: Path | None = None  # whom to trust where the vendor speaks TLS
    http2: bool = False
    profile: Path | None = None  # where to write what cProfile sees, for subjects that can


@dataclass(frozen=True, slots=True)
class Subject:
    """A program that does such tasks."""

    name: str
    command: Callable[[Task], list[str]]
    ordered: bool = True  # promises that a contact's events arrive in order
    ends: bool = True  # by itself, when all that the topic holds is delivered
    slow: bool = False  # gets fewer events
    cwd: Path | None = None  # where it runs, if not in the task's folder


def program(*, drain: bool = True) -> Subject:
    """Crmstream as users run it; *drain* False: it goes on until it is stopped."""

    def command(task: Task) -> list[str]:
        return running_with(configuration(task), task.folder, drain=drain, profile=task.profile)

    return Subject("crmstream", command, ends=drain)


def running_with(
    configuration: Mapping[str, Any], folder: Path, *, drain: bool = True, profile: Path | None = None
) -> list[str]:
    """The command that runs crmstream with this configuration, which is left in *folder*."""
    file = folder / "crmstream.yaml"
    file.write_text(yaml.safe_dump(dict(configuration), sort_keys=False), encoding="utf-8")
    return python("stream", "run", "-c", file, *(["--drain"] if drain else []), profile=profile)


def configuration(task: Task) -> dict[str, Any]:
    """All that is not default."""
    attio = {"type": "attio", "api_key": "benchmark", "base_url": task.url}
    return {
        "kafka": {"bootstrap_servers": task.bootstrap},
        "source": {"topics": [task.topic], "group": task.group},
        "server": {"port": None},
        **({"http": {"ca_file": str(task.ca_file), "http2": task.http2}} if task.ca_file else {}),
        "destinations": {"attio": attio | {"rate_limit": None, "concurrency": task.in_flight}},
    }


HTTPX_IN_FLIGHT = 16  # about the best found: httpx looks through all its connections for each request


def plain(client: str) -> Subject:
    """The loop one writes by hand, with this HTTP library. Only httpx's is slow enough for order to cost it nothing."""
    ordered = client == "httpx"

    def command(task: Task) -> list[str]:
        in_flight = min(task.in_flight, HTTPX_IN_FLIGHT) if ordered else task.in_flight
        return python("benchmarks.plain", client, task.bootstrap, task.topic, task.group, task.url, in_flight)

    return Subject(f"aiokafka + {client}", command, ordered=ordered, slow=ordered)


def other(name: str, template: str) -> Subject:
    """Any program, by a command line with `{bootstrap}`, `{topic}`, `{group}`, `{url}`, `{in_flight}` in it."""
    words = shlex.split(template)

    def command(task: Task) -> list[str]:
        values = asdict(task)
        return [word.format(**values) for word in words]

    command(Task("", "", "", "", 0, Path()))  # raises KeyError here for a name that there is not
    return Subject(name, command, ordered=False, ends=False, cwd=Path.cwd())


CRMSTREAM = program()
ENDLESS = program(drain=False)
PLAIN = [plain(client) for client in ("httpx", "aiohttp", "pyreqwest") if find_spec(client)]
