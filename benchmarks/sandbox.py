"""The program's own stand-in for a vendor, in a process on the other core, as `crmstream sandbox TYPE` serves it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import Any

import httpx
import yaml

from benchmarks.processes import OTHER_CORE


@contextmanager
def running_sandbox(kind: str) -> Iterator[dict[str, Any]]:
    """The settings of a destination that reaches it."""
    pinned = ["taskset", "-c", str(OTHER_CORE), sys.executable, "-m", "stream"]
    with Popen([*pinned, "sandbox", kind, "--port", "0"], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            written: dict[str, Any] = yaml.load(process.stdout.readline(), yaml.BaseLoader)[kind]  # noqa: S506
            yield written
        finally:
            process.terminate()


def told(settings: dict[str, Any], what: str) -> Any:
    """What its controls say of `people` or `log`."""
    return httpx.get(f"{settings['base_url']}/_sandbox/{what}", timeout=120, trust_env=False).json()
