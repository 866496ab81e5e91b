"""Plants small faults, one at a time in a copy of the tree, and fails unless a named test finds each: `./dev mutants`.

The faults are in `mutants.yaml`. Nothing is ever changed in place.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TREE = ("stream", "schemas", "tests", "benchmarks", "pyproject.toml")
SECONDS = 30  # for one test; a mutant may well hang
GREEN, RED = 0, 1  # what pytest exits with; anything else (nothing collected, a broken import) proves nothing


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault, and the tests of which at least one must fail by it."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]

    def occurrences(self, root: Path) -> int:
        """How often the old text is in its file."""
        return (root / self.file).read_text(encoding="utf-8").count(self.old)


class Scratch:
    """A copy of the tree, in which tests run against what is planted there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in TREE:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
            else:
                shutil.copy(ROOT / name, folder / name)
        self._environ = os.environ | {"PYTHONPATH": str(folder)}

    def test(self, tests: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the tests in the copy."""
        options = ["-x", "-q", "-p", "no:cacheprovider", "--timeout", str(SECONDS), "--no-header"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self.folder,
            env=self._environ | environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_with(self, mutant: Mutant) -> subprocess.CompletedProcess[str]:
        """Run the mutant's tests while it is planted."""
        path = self.folder / mutant.file
        original, written = path.read_text(encoding="utf-8"), path.stat().st_mtime
        plant(path, original.replace(mutant.old, mutant.new), written + 10)  # later than its bytecode, which is kept
        try:
            return self.test(mutant.tests, PYTHONDONTWRITEBYTECODE="1")
        finally:
            plant(path, original, written)

    def is_tested(self) -> bool:
        """Whether tests there import the copy, not the checkout."""
        script = "import stream, schemas; print(stream.__file__, schemas.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", script],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return all(Path(path).is_relative_to(self.folder) for path in found.stdout.split())


def plant(path: Path, text: str, written: float) -> None:
    """Write a file as if at this time."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (written, written))


def mutants() -> list[Mutant]:
    """All of them."""
    return [Mutant(**entry) for entry in yaml.safe_load((ROOT / "tests/mutants.yaml").read_text(encoding="utf-8"))]


def main() -> int:
    """What the process exits with: 0 where each mutant was found."""
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", help="those whose name contains this")
    parser.add_argument("--list", action="store_true", help="name them and end")
    options = parser.parse_args()
    chosen = [m for m in mutants() if not options.only or any(word in m.name for word in options.only)]
    if not chosen:
        parser.error("no mutant is called so: see --list")
    if options.list:
        for mutant in chosen:
            say(mutant.name)
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        return hunt(Scratch(Path(folder).resolve()), chosen)


def hunt(scratch: Scratch, chosen: list[Mutant]) -> int:
    """Plant each and see; one line for each."""
    if not scratch.is_tested():
        say("tests in the copy import the checkout: nothing would be proved")
        return 1
    unmutated = scratch.test(sorted({test for mutant in chosen for test in mutant.tests}))
    if unmutated.returncode != GREEN:
        say(f"the tests are not green to begin with:\n{unmutated.stdout}{unmutated.stderr}")
        return 1
    survivors = 0
    for mutant in chosen:
        began = time.monotonic()
        verdict = judge(scratch, mutant)
        survivors += verdict != "found"
        say(f"{verdict:9} {time.monotonic() - began:5.1f} s  {mutant.name}")
    say(f"{len(chosen) - survivors} of {len(chosen)} mutants found")
    return 1 if survivors else 0


def judge(scratch: Scratch, mutant: Mutant) -> str:
    """Found, SURVIVED, or why neither can be said."""
    if (count := mutant.occurrences(scratch.folder)) != 1:
        return f"ABSENT ({count} times)" if not count else f"UNCLEAR ({count} times)"
    outcome = scratch.test_with(mutant)
    if outcome.returncode == RED:
        return "found"
    return "SURVIVED" if outcome.returncode == GREEN else f"BROKEN (pytest exits with {outcome.returncode})"


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
