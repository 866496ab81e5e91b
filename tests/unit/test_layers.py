"""Imports go one way, and only the packages that are there for it import Kafka and HTTP libraries."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = [
    {"schemas", "stream.core", "stream.transforms", "stream.errors", "stream"},
    {"stream.mapping", "stream.decoding"},
    {"stream.kafka", "stream.http", "stream.telemetry"},
    {"stream.topics"},
    {"stream.destinations"},
    {
        "stream.gates",
        "stream.messages",
        "stream.once",
        "stream.delivery",
        "stream.adapting",
        "stream.pipeline",
        "stream.uploads",
        "stream.runs",
    },
    {"stream.settings"},
    {"stream.opening", "stream.remembering", "stream.wiring", "stream.app", "stream.workers"},
    {"stream.cli", "stream.commands", "stream.demo", "stream.runtime", "stream.__main__"},
]
"""A part imports from its own row and the rows above it."""

RIM = {
    "aiokafka": "stream.kafka",
    "confluent_kafka": "stream.kafka",
    "aiohappyeyeballs": "stream.http",
    "httptools": "stream.http",
    "httpx": "stream.http",
    "pyreqwest": "stream.http",
    "asyncssh": "stream.destinations",
}
MODULES = sorted(path for folder in ("stream", "schemas") for path in (ROOT / folder).rglob("*.py"))


def part(module: str) -> str:
    """`stream.http` of `stream.http.client`, `schemas` of `schemas.events`."""
    words = module.split(".")
    return ".".join(words[:2]) if words[0] == "stream" else words[0]


def row(module: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part(module) in parts)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, also inside functions. Names from a package count as the module they are."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            module = str(node.module)
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "stream" else [module]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_part_has_its_place(path: Path) -> None:
    """A new module says in which row it stands."""
    assert part(name_of(path)) in set().union(*LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    """No part knows of those that use it."""
    here = name_of(path)

    upwards = {
        module
        for module in imports(path)
        if module.split(".")[0] in ("stream", "schemas") and module != "stream.__version__" and row(module) > row(here)
    }

    assert set() == upwards


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_libraries_stay_at_the_rim(path: Path) -> None:
    """Kafka and HTTP libraries are imported in one package each."""
    here = part(name_of(path))

    strays = {module for module in imports(path) if RIM.get(module.split(".")[0], here) != here}

    assert set() == strays


@pytest.mark.parametrize("path", [path for path in MODULES if part(name_of(path)) == "stream.core"], ids=name_of)
def test_the_core_stays_pure(path: Path) -> None:
    """No clock, no I/O, no logger: the core imports neither those nor what does them."""
    forbidden = {"asyncio", "anyio", "time", "logging", "structlog", "socket", "threading"}

    assert set() == {module for module in imports(path) if module.split(".")[0] in forbidden}
