"""What `./dev new-destination` makes passes the contract of all destinations as it is, in a copy of the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "acme_crm"


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A Python command in the copy, whose packages come before those that are installed."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "CI": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with the new destination in it."""
    copy = tmp_path_factory.mktemp("checkout")
    skip = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("stream", "schemas", "tests", "templates"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", copy)
    made = run(copy, "templates/new_destination.py", NAME)
    assert 0 == made.returncode, made.stderr
    return copy


def test_it_passes_the_contract_of_all_destinations(checkout: Path) -> None:
    """Settings, mapping, cases, verdicts and connection test, without a line written by hand."""
    tested = run(checkout, "-m", "pytest", "-q", "tests/contract/test_destinations.py", "-k", NAME)

    assert 0 == tested.returncode, tested.stdout[-3000:]
    assert " passed" in tested.stdout


def test_it_is_as_tidy_as_the_rest(checkout: Path) -> None:
    """Lint and types."""
    folder = f"stream/destinations/{NAME}"
    linted = run(checkout, "-m", "ruff", "check", "--no-cache", folder)
    typed = run(checkout, "-m", "mypy", "--no-incremental", "--follow-imports=silent", folder)

    assert (0, 0) == (linted.returncode, typed.returncode), linted.stdout + typed.stdout


@pytest.mark.parametrize("name", ["Acme", "acme crm", "", "9lives"])
def test_a_name_that_python_cannot_import_is_refused(checkout: Path, name: str) -> None:
    """With what a name looks like."""
    refused = run(checkout, "templates/new_destination.py", name)

    assert 2 == refused.returncode
    assert "small letters" in refused.stderr


def test_what_is_there_is_not_overwritten(checkout: Path) -> None:
    """Somebody's work is in it."""
    assert 1 == run(checkout, "templates/new_destination.py", NAME).returncode
