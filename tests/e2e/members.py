"""crmstream as its users run it: a configuration file, processes, signals. What was delivered the vendor says."""

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx
import orjson

from stream.destinations.attio.sandbox import TOKEN
from stream.destinations.sandbox import Sandbox, serve
from tests.e2e.vendor import Vendor
from tests.kafka.broker import Broker, Sent

DESTINATION = "attio"
POLL_SECONDS = 0.02
QUICK = {"base": "50ms", "max": "500ms", "attempts": 1000}  # so that nothing is buried unless a test is about that


Kind = TypeVar("Kind", bound=Sandbox)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group's commit says of one partition, read without our own code."""

    position: int
    bits: int  # bit i, lowest first, says that offset position + 1 + i is settled
    totals: dict[str, int]
    characters: int

    def settles(self, offset: int) -> bool:
        """Whether a member that starts from it passes this offset over."""
        return offset < self.position or (offset > self.position and bool(self.bits >> offset - self.position - 1 & 1))

    @property
    def above(self) -> frozenset[int]:
        """Offsets above the position that are settled."""
        return frozenset(offsets(self.position + 1, self.bits))

    @classmethod
    def read(cls, position: int, metadata: str) -> "Committed":
        """`2:<six counters>:<base64 bitmap>:<check>`."""
        version, counters, bitmap, _ = metadata.split(":")
        assert "2" == version
        names = ("delivered", "coalesced", "filtered", "dead_lettered", "absent", "lost_to_retention")
        totals = dict(zip(names, map(int, counters.split(",")), strict=True))
        return cls(position, int.from_bytes(base64.b64decode(bitmap), "little"), totals, len(metadata))


def offsets(first: int, bits: int) -> Iterator[int]:
    """The offsets that bits stand for, the lowest for *first*."""
    while bits:
        lowest = bits & -bits
        yield first + lowest.bit_length() - 1
        bits ^= lowest


class Member:
    """One process of `crmstream run`."""

    def __init__(
        self,
        config: Path,
        output: Path,
        arguments: Iterable[str],
        *,
        destination: str,
        door: str,
        port: int,
        module: str = "stream",  # what runs it, perhaps with arguments of its own
    ) -> None:
        self.destination = destination
        self.door = door  # host:port of the vendor, for this member alone
        self.port = port  # of its own server
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module.split(), "run", "-c", str(config), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def __repr__(self) -> str:
        return f"<member {self._process.pid}, exit code {self._process.poll()}>"

    @property
    def output(self) -> str:
        """All it has said so far."""
        return self._output.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; it must be running."""
        assert self.running, self.output[-3000:]
        os.kill(self._process.pid, number)

    def terminate(self) -> None:
        """Ask it to end, as an orchestrator does."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """`kill -9`, and return when it is gone."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Stop it where it is, as a suspended machine does."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def end(self) -> None:
        """Make sure that it is gone, whatever became of the test."""
        if self.running:
            self._process.kill()
            self._process.wait()

    async def exit_code(self, timeout: float = 60) -> int:
        """Wait for its end."""
        await until(lambda: not self.running, self, timeout=timeout, what="its end")
        return int(self._process.returncode)

    async def get(self, path: str) -> httpx.Response | None:
        """An answer of its server; None while there is none."""
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return await client.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)
            except httpx.TransportError:
                return None

    async def state(self) -> dict[str, Any]:
        """What `/state.json` says of the destination; empty while there is no answer."""
        answer = await self.get("/state.json")
        if answer is None or answer.status_code != 200:
            return {}
        state: dict[str, Any] = answer.json()["destinations"].get(self.destination, {})
        return state

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and words on the destination of `/health/ready`."""
        answer = await self.get("/health/ready")
        if answer is None:
            return 0, {}
        return answer.status_code, answer.json()["destinations"].get(self.destination, {})

    async def in_state(self, word: str) -> None:
        """Wait until it shows this state."""

        async def shown() -> bool:
            return (await self.state()).get("state") == word

        await until(shown, self, what=f"state {word}")

    async def owns(self, partitions: int) -> None:
        """Wait until it has so many partitions."""

        async def owned() -> bool:
            return len((await self.state()).get("partitions", ())) == partitions

        await until(owned, self, what=f"{partitions} partitions")


class Scene(Generic[Kind]):
    """A topic, a vendor (of a type of destination, which gives the destination its name), and the members between."""

    def __init__(
        self, broker: Broker, topic: str, folder: Path, exits: AsyncExitStack, *, vendor: Kind, destination: str
    ) -> None:
        self.broker = broker
        self.topic = topic
        self.dead, self.control = f"{topic}.dead", f"{topic}.control"
        self.group = f"{topic}.{destination}"
        self.vendor = vendor
        self.destination = destination
        self.others: dict[str, Any] = {}  # further destinations of the same file
        self.members: list[Member] = []
        self.module = "stream"
        self._folder = folder
        self._exits = exits

    async def start(self, *arguments: str, **blocks: dict[str, Any]) -> Member:
        """A member of the group; *blocks* change the configuration key by key. The vendor has a door for it alone."""
        url = await self._exits.enter_async_context(serve(self.vendor))
        port = free_port()
        blocks = {"state": {"folder": str(self._folder / "state")}, **blocks}
        config = self._folder / f"member-{len(self.members) + 1}.yaml"
        config.write_bytes(
            orjson.dumps(configuration(self.broker.bootstrap, self.topic, port, self.reaching(url), blocks))
        )
        door, output = url.removeprefix("http://"), config.with_suffix(".out")
        member = Member(
            config, output, arguments, destination=self.destination, door=door, port=port, module=self.module
        )
        self.members.append(member)
        self._exits.callback(self._end, member)
        return member

    @property
    def config(self) -> Path:
        """The file of the member that was started last."""
        return self._folder / f"member-{len(self.members)}.yaml"

    def reaching(self, url: str) -> dict[str, Any]:
        """The destinations of a configuration with the vendor that is served at *url*."""
        found = {"type": self.destination, **self.vendor.settings(url), "rate_limit": None, "retry": QUICK}
        return {self.destination: found, **self.others}

    async def run(self, *arguments: str, **blocks: dict[str, Any]) -> Member:
        """A member that is expected to end by itself, at its end."""
        member = await self.start(*arguments, **blocks)
        await member.exit_code()
        return member

    async def drain(self, **blocks: dict[str, Any]) -> Member:
        """A member that delivers what is there and ends well."""
        member = await self.run("--drain", **blocks)
        assert 0 == await member.exit_code(), member.output[-3000:]
        return member

    async def send(self, events: Iterable[Sent | bytes], topic: str | None = None) -> int:
        """Write events to the source topic; how many the broker has."""
        return await self.broker.produce(topic or self.topic, events)

    async def delivered(self: "Scene[Vendor]", count: int, *members: Member, timeout: float = 60) -> None:
        """Wait until the vendor has taken so many distinct events."""
        await until(lambda: len(self.vendor.distinct) >= count, *members, timeout=timeout, what=f"{count} deliveries")

    async def committed(self) -> dict[int, Committed]:
        """What the group has committed, by partition."""
        found = await self.broker.committed(self.group, self.topic)
        return {partition: Committed.read(*commit) for partition, commit in found.items()}

    async def position(self, partition: int, at_least: int, *members: Member, timeout: float = 60) -> Committed:
        """Wait until the committed position has come so far."""

        async def reached() -> bool:
            found = (await self.committed()).get(partition)
            return found is not None and found.position >= at_least

        await until(reached, *members, timeout=timeout, what=f"position {at_least} in partition {partition}")
        return (await self.committed())[partition]

    async def assert_settled(self, origin: int = 0) -> None:
        """Every position is at its log's end, and the counters add up to it; *origin*: where partition 0 began."""
        commits = await self.committed()
        assert await self.broker.ends(self.topic) == {number: commit.position for number, commit in commits.items()}
        counted = {number: sum(commit.totals.values()) for number, commit in commits.items()}
        assert counted == {number: commit.position - origin * (number == 0) for number, commit in commits.items()}

    async def log(self) -> dict[tuple[int, int], tuple[str, int]]:
        """What the source topic holds: partition and offset to contact and number, read by a plain consumer."""
        found = {}
        for record in await self.broker.read_all(self.topic):
            traits = orjson.loads(record.value)["traits"]
            found[record.partition, record.offset] = traits["email"], int(traits["job_title"])
        return found

    async def letters(self) -> list[Any]:
        """The dead letters, read by a plain consumer."""
        return await self.broker.read_all(self.dead)

    @staticmethod
    def _end(member: Member) -> None:
        member.end()
        sys.stdout.write(f"{member!r} said:\n{member.output[-6000:]}\n")  # shown where the test fails


Stage = Scene[Vendor]
"""The one with Attio's stand-in."""


def configuration(
    servers: str, topic: str, port: int, destinations: Mapping[str, Any], blocks: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """A configuration file's content; *blocks* change it key by key, `destination` the only one there is."""
    changed = blocks.get("destination", {})
    ours: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": servers, "session_timeout": "6s"},
        "source": {"topics": [topic], "group": topic},
        "dead_letters": {"topic": f"{topic}.dead"},
        "control": {"topic": f"{topic}.control"},
        "server": {"port": port},
    }
    others = {name: ours.get(name, {}) | blocks.get(name, {}) for name in {**ours, **blocks} if name != "destination"}
    return others | {"destinations": {name: {**found, **changed} for name, found in destinations.items()}}


def attio_at(url: str) -> dict[str, Any]:
    """The destinations of a configuration with Attio alone, without its usual pace."""
    return {DESTINATION: {"type": "attio", "api_key": TOKEN, "base_url": url, "rate_limit": None, "retry": QUICK}}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(
    condition: Callable[[], bool | Awaitable[bool]], *members: Member, timeout: float = 60, what: str
) -> None:
    """Return when *condition* holds. Fails when one of the *members* ends before that, or time is up."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                alive = all(member.running for member in members)
                holds = condition()
                if holds if isinstance(holds, bool) else await holds:
                    return
                assert alive, f"{members} ended while waiting for {what}"
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{what} did not come within {timeout:g} s") from None


def event(email: str, n: int = 1, **traits: object) -> bytes:
    """The *n*-th event of a contact."""
    contact = {"email": email, "job_title": str(n)} | traits
    return orjson.dumps(
        {"type": "identify", "userId": email, "timestamp": "2026-06-06T10:30:00.000Z", "traits": contact}
    )


def keyed(email: str, n: int = 1, **traits: object) -> Sent:
    """The same as a record with the contact as its key."""
    return Sent(event(email, n, **traits), key=email.encode())


def contacts(count: int, name: str = "contact") -> list[str]:
    """So many contacts' email addresses."""
    return [f"{name}-{number}@example.com" for number in range(count)]


def events(emails: Sequence[str], each: int, after: int = 0) -> list[Sent]:
    """So many events of each contact, the contacts taking turns; their numbers go on from *after*."""
    return [keyed(email, n) for n in range(after + 1, after + each + 1) for email in emails]
