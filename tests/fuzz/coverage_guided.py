"""The targets of bytes under atheris, which prefers inputs that reach new code. It is no dependency of ours.

python -m tests.fuzz.coverage_guided 'decoding bytes' 10
"""

import sys
import tempfile
from pathlib import Path
from random import Random

CORPUS = 200  # inputs to begin with


def main() -> None:
    """Try one target for so many minutes, or until an input breaks it; libFuzzer ends the process."""
    name, minutes = sys.argv[1:]
    try:
        import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        sys.exit("atheris is not installed: `uv pip install atheris` into .venv, where your Python has a wheel of it")
    with atheris.instrument_imports(include=["stream", "schemas"]):
        from tests.fuzz.targets import TARGETS
    raw = [target.name for target in TARGETS.values() if target.raw]
    if name not in raw:
        sys.exit(f"{name} is no target of bytes: there are {', '.join(raw)}")
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    for number in range(CORPUS):
        (folder / str(number)).write_bytes(TARGETS[name].draw(Random(f"corpus/{number}")))
    atheris.Setup([sys.argv[0], str(folder), f"-max_total_time={60 * float(minutes):.0f}"], TARGETS[name].holds)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
