"""The program's own stand-in for a vendor, in a process on the other core, as `crmstream sandbox TYPE` serves it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import httpx
import yaml

from benchmarks.processes import OTHER_CORE, cpu_seconds


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One that runs. *settings*: of a destination that reaches it."""

    settings: dict[str, Any]
    process: int

    def told(self, what: str) -> Any:
        """What its controls say of `people` or `log`."""
        return httpx.get(f"{self.settings['base_url']}/_sandbox/{what}", timeout=120, trust_env=False).json()

    def cpu_seconds(self) -> float:
        """What it used so far."""
        return cpu_seconds(Path(f"/proc/{self.process}/stat"))


@contextmanager
def running_sandbox(kind: str) -> Iterator[Sandbox]:
    """The stand-in for destinations of this type."""
    pinned = ["taskset", "-c", str(OTHER_CORE), sys.executable, "-m", "stream"]
    with Popen([*pinned, "sandbox", kind, "--port", "0"], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            written = yaml.load(process.stdout.readline(), yaml.BaseLoader)  # noqa: S506
            yield Sandbox(written[kind], process.pid)
        finally:
            process.terminate()
