"""What is imported for nothing makes every start slower. It is named here, so that none of it creeps in."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from stream.destinations import REGISTRY
from tests.e2e.members import free_port

HEAVY = {
    *("aiokafka", "asyncio", "asyncssh", "confluent_kafka", "httpx", "orjson", "phonenumbers", "prometheus_client"),
    *("pydantic", "pyreqwest", "rich", "sqlite3", "starlette", "structlog", "uvicorn", "uvloop", "yaml"),
}
"""None of it is there before one reads the help."""

UNUSED = {
    *("confluent_kafka", "httpx", "phonenumbers", "pyreqwest", "rich.progress"),
    *("stream.workers", "stream.destinations.sandbox"),
}
"""What no destination needs in order to start."""

OTHERS = {
    "asyncssh": {"splio_files"},
    "stream.runs": {"splio_files"},
    "stream.topics.rows": {"splio_files"},
    "stream.topics.privacy": {"customerio"},
    "stream.topics.receipts": set(),  # only where the file asks for them
}
"""What only some of them need, and which."""

HELP = "run(['--help'])"
START = """
run(['run', '-c', sys.argv[1]])  # as far as it gets: nobody is there

import asyncio
from pathlib import Path
from stream.opening import open_destination
from stream.settings import load

async def opened(settings):
    for each in settings.destinations.values():
        async with open_destination(each, settings.http):
            pass

asyncio.run(opened(load(Path(sys.argv[1]))))
"""


def imported(code: str, *arguments: object) -> set[str]:
    """The modules that a process has when it has run *code*."""
    code = f"import sys; from stream.cli import run\n{code}\nprint(*sys.modules)"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(ran.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    """It is there before one notices: neither models nor an event loop, HTTP, Kafka or phone libraries are loaded."""
    assert set() == HEAVY & imported(HELP)


@pytest.mark.parametrize("name", REGISTRY)
def test_a_start_imports_what_its_destination_needs(name: str, tmp_path: Path) -> None:
    """Neither other destinations' clients nor what they alone use: SSH for files, privacy's models for requests."""
    keys = REGISTRY[name].sandbox().settings("http://127.0.0.1:9")
    if "port" in keys:  # of a server that does not run here
        keys["port"] = 22
    config = tmp_path / "crmstream.yaml"
    config.write_bytes(
        orjson.dumps(
            {
                "kafka": {"bootstrap_servers": f"127.0.0.1:{free_port()}"},
                "source": {"topics": ["crm.events"]},
                "privacy": {"requests": "crm.requests", "results": "crm.results", "key": "k" * 32},
                "destinations": {name: {"type": name, **keys}},
            }
        )
    )

    found = imported(START, config)

    assert {"stream.wiring", f"stream.destinations.{name}.client"} <= found
    assert set() == {
        *(UNUSED & found),
        *(module for module, users in OTHERS.items() if module in found and name not in users),
        *(found & {f"stream.destinations.{other}.client" for other in REGISTRY if other != name}),
    }
