"""What stand-ins for vendors have in common: the faults one can order, the log they keep, their place on the network.

A vendor's rules are in its own folder. The log is the vendor's side of every balance: nothing of the product writes it.
"""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream.destinations.sandbox_http import Answer, Arrival, Connection

CONTROL = "/_sandbox"


class Failure(BaseModel):
    """How some calls fail: with a status, or cut off before or after the work is done. The first that fits applies."""

    model_config = ConfigDict(extra="forbid")

    status: int | Literal["cut", "cut_after"] = 500
    code: str = Field("", description="the vendor's word for it")
    message: str = Field("", description="the vendor's sentence")
    contacts: list[str] | None = Field(None, description="only calls that name one of these; null: all")
    share: float = Field(1.0, ge=0, le=1, description="of the calls that fit, drawn with the faults' seed")
    times: int | None = Field(None, ge=0, description="so many, then no more; null: for ever")
    calls: Literal["writes", "all"] = Field("writes", description="which calls it is about")


class Faults(BaseModel):
    """What is wrong with the vendor. All defaults: nothing. Times are seconds."""

    model_config = ConfigDict(extra="forbid")

    throttle_above: float | None = Field(None, gt=0, description="writes a second that are let through")
    throttle_next: int = Field(0, ge=0, description="so many writes are throttled")
    retry_after: float = Field(1.0, ge=0, description="what `throttle_next` asks to wait; dates are whole seconds")
    fail: list[Failure] = []
    latency: float = Field(0.0, ge=0, description="before an answer goes out; the work is done at once")
    jitter: float = Field(0.0, ge=0, description="how much the latency varies either way")
    down: bool = Field(False, description="connections are refused, also to these controls: `seconds` ends it")
    seconds: float | None = Field(None, gt=0, description="after which all is well again; null: never")
    seed: int = 0


@dataclass(slots=True, eq=False)
class Entry:
    """One call as the vendor saw it. Times are seconds since the epoch."""

    number: int  # from 1
    at: float
    method: str
    target: str
    body: bytes
    status: int | None = None  # None: cut off
    sequence: int | None = None  # of an accepted write, from 1
    not_before: float | None = None  # what a throttled caller was told to wait for
    answered: float | None = None  # None: the caller went away first

    def json(self) -> dict[str, Any]:
        """As `GET /_sandbox/log` shows it."""
        try:
            body = orjson.loads(self.body) if self.body else None
        except orjson.JSONDecodeError:
            body = self.body.decode("utf-8", "replace")
        names = ("number", "at", "method", "target", "status", "sequence", "not_before", "answered")
        return {name: getattr(self, name) for name in names} | {"body": body}


class Sandbox(ABC):
    """A stand-in for a vendor. `handle` does the work of a call at its arrival, whenever the answer goes out."""

    faults_model: ClassVar[type[Faults]] = Faults

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.changed = asyncio.Event()  # set when the faults may have changed
        self._accepted = 0
        self.reset()

    @property
    @abstractmethod
    def credentials(self) -> dict[str, str]:
        """What it lets in, by the keys of a destination's configuration."""

    def settings(self, url: str) -> dict[str, Any]:
        """The keys of a destination's configuration that reach it where it is served at *url*."""
        return {"base_url": url} | self.credentials

    @asynccontextmanager
    async def beside(self, host: str) -> AsyncIterator[None]:  # noqa: ARG002
        """What it serves besides HTTP, listening on *host*; over when left."""
        yield

    @abstractmethod
    def answer(self, arrival: Arrival) -> Answer:
        """What the vendor answers when nothing is wrong; `accept` notes a write that it takes."""

    @abstractmethod
    def writes(self, arrival: Arrival) -> bool:
        """Whether the call is one that changes something."""

    @abstractmethod
    def contacts(self, arrival: Arrival) -> set[str]:
        """The contacts that the call names."""

    @abstractmethod
    def error(self, status: int, code: str = "", message: str = "") -> Answer:
        """An error in the vendor's form."""

    @abstractmethod
    def throttled(self, until: float) -> Answer:
        """The vendor's word that it is too much, until a time."""

    @abstractmethod
    def people(self) -> list[dict[str, Any]]:
        """Whom it holds."""

    @abstractmethod
    def page(self) -> str:
        """The same as HTML, for people."""

    @property
    def accepted(self) -> list[Entry]:
        """The writes that were taken, in their order."""
        return [entry for entry in self.log if entry.sequence is not None]

    @property
    def faults(self) -> Faults:
        """What is wrong now. Assign to change it; what was counted starts anew."""
        if time.monotonic() >= self._until:
            self.faults = self.faults_model()
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = self.faults_model.model_validate(faults.model_dump())  # a copy: its counters count down
        self._until = math.inf if faults.seconds is None else time.monotonic() + faults.seconds
        self._random = Random(faults.seed)  # noqa: S311
        self._in_second: tuple[int, int] = (0, 0)
        self.changed.set()

    @property
    def faults_end_in(self) -> float | None:
        """Seconds until all is well again by itself; None: never."""
        return None if self._until == math.inf else max(0.0, self._until - time.monotonic())

    def reset(self) -> None:
        """As new: nothing wrong, nobody known, nothing logged. A vendor's own adds what it holds."""
        self.faults = self.faults_model()
        self.log.clear()
        self._accepted = 0

    def accept(self) -> None:
        """Note that the call being answered is a write that was taken."""
        self._accepted += 1
        self.log[-1].sequence = self._accepted

    def handle(self, arrival: Arrival) -> Answer:
        """The answer to a call or a control, as the faults have it."""
        if arrival.path == "/" or arrival.path.startswith(CONTROL):
            return self._controlled(arrival)
        faults = self.faults
        entry = Entry(len(self.log) + 1, arrival.at, arrival.method, arrival.target, arrival.body)
        self.log.append(entry)
        answer = self._throttle(arrival, faults) or self._fail(arrival, faults) or self.answer(arrival)
        if not answer.cut:
            entry.status = answer.status
        if faults.latency or faults.jitter:
            answer.delay = max(0.0, faults.latency + faults.jitter * self._random.uniform(-1, 1))
        answer.answered = lambda: setattr(entry, "answered", time.time())
        return answer

    def _throttle(self, arrival: Arrival, faults: Faults) -> Answer | None:
        if not (faults.throttle_above or faults.throttle_next) or not self.writes(arrival):
            return None
        if faults.throttle_next:
            faults.throttle_next -= 1
            until = math.ceil(arrival.at + faults.retry_after)
        else:
            second, count = self._in_second
            count = count + 1 if second == int(arrival.at) else 1
            self._in_second = (int(arrival.at), count)
            if count <= (faults.throttle_above or math.inf):
                return None
            until = int(arrival.at) + 1
        self.log[-1].not_before = until
        return self.throttled(until)

    def _fail(self, arrival: Arrival, faults: Faults) -> Answer | None:
        for failure in faults.fail:
            if not self._fits(failure, arrival):
                continue
            if failure.times is not None:
                failure.times -= 1
            if failure.status == "cut_after":
                self.answer(arrival)
            if isinstance(failure.status, str):
                return Answer(0, cut=True)
            return self.error(failure.status, failure.code, failure.message)
        return None

    def _fits(self, failure: Failure, arrival: Arrival) -> bool:
        if failure.times == 0 or (failure.calls == "writes" and not self.writes(arrival)):
            return False
        if failure.contacts is not None and self.contacts(arrival).isdisjoint(failure.contacts):
            return False
        return failure.share == 1 or self._random.random() < failure.share

    def _controlled(self, arrival: Arrival) -> Answer:
        """The page, and what tests and the curious ask or order."""
        match arrival.method, arrival.path:
            case "GET", "/":
                return Answer(200, self.page().encode(), content_type="text/html; charset=utf-8")
            case "GET", "/_sandbox/people":
                return Answer.json(200, self.people())
            case "GET", "/_sandbox/log":
                return Answer.json(200, [entry.json() for entry in self.log])
            case "GET", "/_sandbox/faults":
                return Answer.json(200, self.faults.model_dump())
            case "PUT", "/_sandbox/faults":
                try:
                    self.faults = self.faults_model.model_validate_json(arrival.body or b"{}")
                except ValidationError as error:
                    return Answer.json(400, {"errors": error.errors(include_url=False, include_context=False)})
                return Answer.json(200, self.faults.model_dump())
            case "DELETE", "/_sandbox":
                self.reset()
                return Answer(204)
        return Answer.json(404, {"controls": "GET people, log, faults; PUT faults; DELETE", "under": CONTROL})


@asynccontextmanager
async def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve a stand-in; gives its `base_url`. Port 0: any free one, kept through its outages."""
    door = Door(sandbox, host, port)
    await door.open()
    watching = asyncio.create_task(door.watch())
    try:
        async with sandbox.beside(host):
            yield f"http://{host}:{door.port}"
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        door.close()


class Door:
    """The listening socket of a stand-in, closed while the stand-in is down."""

    def __init__(self, sandbox: Sandbox, host: str, port: int) -> None:
        self.port = port
        self._sandbox = sandbox
        self._host = host
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._sandbox.handle, self._connections), self._host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more and end the connections there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.close()

    async def watch(self) -> None:
        """Open and close as the faults have it, until cancelled."""
        while True:
            self._sandbox.changed.clear()
            down = self._sandbox.faults.down
            if down and self._server is not None:
                self.close()
            elif not down and self._server is None:
                await self.open()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sandbox.faults_end_in):
                    await self._sandbox.changed.wait()
