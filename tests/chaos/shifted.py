"""`python -m tests.chaos.shifted run -c FILE …`: crmstream with a wall clock of its own.

Beside the configuration `member-1.yaml` the file `member-1.clock` says by how many seconds it is off, at any moment; a
missing file: by none. The monotonic clock is everyone's, as it is where an administrator sets the time.

SIGUSR1 makes it say what each of its tasks is waiting for. State files are written at once.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 0.05  # between two looks at the file
UNFILED = 1  # change that waits for its state file at most: so that a full disk is felt at once


def shifted(file: Path, clock: Callable[[], float], monotonic: Callable[[], float]) -> Callable[[], float]:
    """A clock that is off by what the file says."""
    looked_at, off = float("-inf"), 0.0

    def now() -> float:
        nonlocal looked_at, off
        if (moment := monotonic()) >= looked_at + LOOK_SECONDS:
            looked_at = moment
            with suppress(FileNotFoundError, ValueError):  # there is none, or it is being written
                off = float(file.read_text())
        return clock() + off

    return now


def tell_tasks(*_: object) -> None:
    """Where each task stands, for whoever looks for what it is stuck at."""
    for task in list(asyncio.tasks._all_tasks):  # type: ignore[attr-defined] # `all_tasks` wants a running loop
        if not task.done():
            sys.stderr.write(f"{task!r}\n")
            task.print_stack(file=sys.stderr)


def main() -> None:
    """Everything that asks for the time gets the shifted one, as long as it is imported after this."""
    config = Path(sys.argv[sys.argv.index("-c") + 1])
    signal.signal(signal.SIGUSR1, tell_tasks)
    time.time = shifted(config.with_suffix(".clock"), time.time, time.monotonic)
    from stream.topics import state

    state.MOST_UNFILED = UNFILED
    from stream.cli import main as crmstream

    crmstream()


if __name__ == "__main__":
    main()
