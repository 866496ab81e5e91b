"""One worker as its parent sees it: a fresh interpreter that is told once what to do, and reports.

It runs in a session of its own, so that Ctrl-C reaches the parent alone. The end of its stdin, by our wish or our
death, means: end cleanly. On stdout it says in lines of JSON how it is doing, and at last why it ends.
"""

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals
from typing import Any

import orjson

from stream.errors import Bug, Exit, UserError
from stream.settings import Settings
from stream.telemetry.state import DestinationState
from stream.telemetry.together import Counts, absent, read_counts, read_states

PROGRAM = "stream.commands.worker"
EVENTS = "crmstream_events_total"
PATH = () if str(Path.cwd()) in sys.path else ("-P",)  # a folder `stream` in the user's directory is none of ours
LONGEST = 16 * 1024**2  # bytes of a report


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do."""

    number: int
    settings: Settings
    only: tuple[str, ...]
    drain: bool
    accept_loss: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker ended. *error*: what a user can do something about; *words*: else what it said itself."""

    exit_code: int
    error: UserError | None = None
    words: str = ""

    def __str__(self) -> str:
        words = self.error.text if self.error else self.words
        return f"ended with {self._how()}" + (f" ({words})" if words else "")

    def _how(self) -> str:
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return Signals(-self.exit_code).name
        except ValueError:  # a real-time one
            return f"signal {-self.exit_code}"


class Worker:
    """One of the processes, from its start to its end."""

    def __init__(self, number: int, process: Process) -> None:
        self.number = number
        self.condition = "is starting"  # where it has no state to show
        self.counts: Counts = {}
        self.settled = 0.0  # events, by its counts
        self._states: dict[str, DestinationState] = {}
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._started = self._heard = self._loop.time()
        self._last: dict[str, Any] = {}  # its last words

    @classmethod
    async def start(cls, order: Order) -> "Worker":
        """A process that has its order."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *PATH, "-m", PROGRAM, str(order.number)),
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST,
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(RuntimeError, ConnectionError):  # it is gone already (uvloop says the first): `end` tells how
            process.stdin.write(pickle.dumps(order))
        return cls(order.number, process)

    @property
    def age(self) -> float:
        """How many seconds it has lived."""
        return self._loop.time() - self._started

    def state(self, destination: str, now: float) -> DestinationState:
        """How the destination is doing there; one that is silent has not turned since it was heard."""
        state = self._states.get(destination)
        if state is None:
            return absent(f"worker {self.number} {self.condition}", self._since)
        return replace(state, seconds_since_turn=state.seconds_since_turn + now - self._heard)

    def stop(self) -> None:
        """Let it end cleanly."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> Ended:
        """Take in what it reports until it ends; then how."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        try:
            async for line in self._process.stdout:
                self._hear(line)
            exit_code = await self._process.wait()
        except BaseException:
            self.stop()
            raise
        self._states = {}
        return read_end(exit_code, self._last)

    def _hear(self, line: bytes) -> None:
        said = understood(line)
        if "states" in said:
            self._heard = self._loop.time()
            self._states, self.counts = read_states(said), read_counts(said)
            self.settled = sum(n for (_, sample, _), n in self.counts.items() if sample == EVENTS)
        elif said:
            self._last = said


def understood(line: bytes) -> dict[str, Any]:
    """What a line of a worker's says; nothing where it died in the midst of it."""
    said: dict[str, Any] = orjson.loads(line) if line.endswith(b"\n") else {}
    return said


def last_words(errors: Sequence[UserError]) -> dict[str, Any]:
    """What a worker says of the errors it ends with. One that a user can act on comes before what is a bug."""
    error = min(errors, key=lambda each: isinstance(each, Bug))
    words = {"text": error.text, "hint": error.hint, "exit_code": error.exit_code, "bug": isinstance(error, Bug)}
    return {"ended": words}


def read_end(exit_code: int, last: Mapping[str, Any]) -> Ended:
    """What its exit code and its last words say."""
    words = last.get("ended")
    if words is None:
        return Ended(exit_code)
    if words["bug"]:
        return Ended(exit_code, words=words["text"])
    return Ended(exit_code, error=UserError(words["text"], words["hint"], Exit(words["exit_code"])))
