"""The stage of one run: topics, vendors with a door for each member, the members, and what is known of them."""

import asyncio
import json
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson

from stream.destinations.sandbox import serve
from stream.errors import Exit
from tests.chaos.collecting import Watched
from tests.chaos.ledger import Fate, Fault, Ledger, Life, Terms
from tests.chaos.plan import ATTIO, CONTACTS, PRIVACY, TEXTS, Plan
from tests.chaos.tls import Terminator
from tests.chaos.vendors import LIST, VENDORS
from tests.chaos.writing import EVENT
from tests.e2e.members import Member, configuration, free_port, until
from tests.kafka.broker import Broker
from tests.kafka.cluster import Cluster

SESSION = 6.0  # seconds, the least that the product allows
LOOK_SECONDS = 0.5  # between two looks at the members
STARVED_SECONDS = 1.0  # that a member takes to say how it is: then the machine has left it no time for anything else
FULL = 64 * 1024  # bytes: beyond them no file of a member without a disk grows
KEY = "a-long-secret"
BROKERS_TIME = {"message.timestamp.type": "LogAppendTime"}  # of a topic: members' clocks are stepped
RULE = {"event": EVENT, "message": "6tJglf8zd", "transactional": True, "fields": {"c0": "properties.n"}}
OWN: dict[str, dict[str, Any]] = {
    ATTIO: {},
    CONTACTS: {"events": ["Identified"], "default_list_id": str(LIST), "custom_fields": {"number": "job_title"}},
    TEXTS: {"rules": [RULE]},
    PRIVACY: {},
}


class World:
    """What a run happens in. Members are started and ended by it alone, so that each life is in the ledger."""

    def __init__(self, plan: Plan, broker: Broker | Cluster, topic: str, folder: Path, exits: AsyncExitStack) -> None:
        self.plan = plan
        self.broker = broker
        self.topic = topic
        self.requests, self.dead = f"{topic}.requests", f"{topic}.dead"
        self.folder = folder
        self.random = Random(plan.seed + 1)
        self.ledger = Ledger(plan.seed)
        self.vendors: dict[str, Watched] = {name: VENDORS[name]() for name in plan.destinations}
        self.members: dict[Member, str] = {}  # with their names
        self.busy: set[Member] = set()  # something is being done to them
        self.sheltered: set[Member] = set()  # to these nothing is ever done
        self.doors: dict[Member, dict[str, str]] = {}
        self.held: dict[Member, dict[str, list[str]]] = {}  # partitions by destination, when last looked
        self.hits: list[tuple[str, bool]] = []  # kinds of faults, and whether each hit something
        self.wrong: list[str] = []  # what no checker looks for: members that ended by themselves
        self.erased: dict[str, float] = {}  # persons, and when the broker had the request
        self.terminator: Terminator | None = None
        self.broken = asyncio.Lock()  # one fault at a time of the brokers
        self.ailing = {name: asyncio.Lock() for name in plan.destinations}  # and of each vendor
        self.running = True
        self.without_disk: set[Member] = set()  # those that may end for want of it
        self._settled: dict[tuple[str, str, int], int] = {}
        self._seen = 0  # samples
        self._exits = exits

    async def open(self) -> None:
        """Make the topics and the vendors."""
        await self.broker.create(self.topic, self.plan.partitions, BROKERS_TIME)
        await self.broker.create(self.dead, 1, BROKERS_TIME)
        if PRIVACY in self.plan.destinations:
            await self.broker.create(self.requests, self.plan.partitions, BROKERS_TIME)
            await self.broker.create(f"{self.requests}.erasures", 1, {"cleanup.policy": "compact"} | BROKERS_TIME)
        if self.plan.tls:
            self.terminator = Terminator(self.folder)
        for name, vendor in self.vendors.items():
            vendor.faults = self.well(name)

    def well(self, destination: str) -> Any:
        """A vendor with nothing wrong: it takes its time, so that there is always something in flight."""
        latency = 0.002 if self.plan.workload == "bulk" else 0.01
        return self.vendors[destination].faults_model(latency=latency, jitter=latency / 2)

    @property
    def group_topics(self) -> dict[str, str]:
        """The source topic of each destination."""
        return {name: self.requests if name == PRIVACY else self.topic for name in self.plan.destinations}

    @property
    def alive(self) -> list[Member]:
        """Members that run and to which nothing is being done."""
        return [member for member in self.members if member.running and member not in self.busy]

    @property
    def exposed(self) -> list[Member]:
        """Those of them to which something may be done."""
        return [member for member in self.alive if member not in self.sheltered]

    # Members

    async def start(self, *arguments: str, **changed: dict[str, Any]) -> Member:
        """A new member, with a door of its own at each vendor; *changed*: further blocks of its configuration."""
        urls = {name: await self._door(vendor, name) for name, vendor in self.vendors.items()}
        number, port = len(self.members) + 1, free_port()
        config = self.folder / f"member-{number}.yaml"
        destinations = {
            name: {"type": name, **vendor.settings(urls[name]), **OWN[name], **self.plan.terms[name]}
            for name, vendor in self.vendors.items()
        }
        blocks = self._blocks(number) | changed
        content = configuration(self.broker.bootstrap, self.topic, port, destinations, blocks)
        config.write_bytes(orjson.dumps(content))
        first = self.plan.destinations[0]
        member = Member(
            config,
            config.with_suffix(".out"),
            arguments,
            destination=first,
            door=_host(urls[first]),
            port=port,
            module="tests.chaos.shifted",
        )
        self.members[member] = f"member-{number}"
        self.doors[member] = {name: _host(url) for name, url in urls.items()}
        self._exits.callback(member.end)
        self.note(member, "started")
        return member

    async def _door(self, vendor: Watched, name: str) -> str:
        url = await self._exits.enter_async_context(serve(vendor))
        if self.terminator is not None and name == ATTIO:
            return await self._exits.enter_async_context(self.terminator.before(url))
        return url

    def _blocks(self, number: int) -> dict[str, dict[str, Any]]:
        blocks = {name: dict(block) for name, block in self.plan.blocks.items()}
        blocks["source"] |= {"topics": [self.topic], "group": self.topic}
        blocks["state"] = {"folder": str(self.folder / f"state-{number}")}
        blocks["dead_letters"] = {"topic": self.dead, "stop_above": None}
        blocks["receipts"] = {"topic": f"{self.topic}.receipts"}
        if self.terminator is not None:
            blocks["http"]["ca_file"] = str(self.terminator.authority)
        if PRIVACY in self.plan.destinations:
            blocks["privacy"] = {"requests": self.requests, "results": f"{self.topic}.results", "key": KEY}
        return blocks

    @property
    def config(self) -> Path:
        """The file of the member that was started last."""
        return self.folder / f"member-{len(self.members)}.yaml"

    def clock_of(self, member: Member) -> Path:
        """The file that says how far the member's clock is off."""
        return self.folder / f"{self.members[member]}.clock"

    def state_of(self, member: Member) -> Path:
        """The folder of its local state."""
        return self.folder / self.members[member].replace("member", "state")

    def note(self, member: Member, fate: Fate, detail: str = "") -> Life:
        """Write down what became of a member."""
        doors = self.doors[member]
        in_flight = 0
        if fate in ("killed", "frozen"):
            in_flight = sum(self.vendors[name].in_flight(door) for name, door in doors.items())
        life = Life(self.members[member], fate, time.time(), doors, detail, in_flight)
        self.ledger.lives.append(life)
        return life

    def note_fault(self, kind: str, since: float, destination: str = "", detail: str = "") -> None:
        """Write down what was done to something else, until now."""
        self.ledger.faults.append(Fault(kind, since, time.time(), destination, detail))

    def taken_lately(self, member: Member, seconds: float) -> int:
        """Calls with which the vendors took something at a member's doors within the last seconds."""
        since = time.time() - seconds
        doors = set(self.doors[member].values())
        return sum(
            entry.sequence is not None and door in doors
            for vendor in self.vendors.values()
            for entry, door in zip(vendor.log[-300:], vendor.doors[-300:], strict=True)
            if entry.at >= since
        )

    async def watch_members(self) -> None:
        """Note who holds which partitions, and who ended unbidden; that one is replaced, as an orchestrator does."""
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=2) as client:  # noqa: S501 - loopback
            while True:
                await asyncio.gather(*(self._look(client, member) for member in self.alive))
                for member in [each for each in self.members if not each.running and each not in self.busy]:
                    self.busy.add(member)
                    await self._unbidden(member)
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, client: httpx.AsyncClient, member: Member) -> None:
        since = time.time()
        try:
            answer = await client.get(f"http://127.0.0.1:{member.port}/state.json")
            found = answer.json()["destinations"]
        except (httpx.HTTPError, ValueError, KeyError):
            return
        finally:
            if time.time() - since >= STARVED_SECONDS and member in self.alive:
                self.note_fault("starved", since, detail=self.members[member])
        held = {
            name: sorted(f"{each['topic']}/{each['partition']}" for each in state.get("partitions", ()))
            for name, state in found.items()
        }
        if held != self.held.get(member):
            self.held[member] = held
            if any(held.values()):
                self.note(member, "assigned", json.dumps(held))

    async def _unbidden(self, member: Member) -> None:
        code = await member.exit_code()
        self.note(member, "ended", f"exit code {code}")
        if not self._excused(member, code):
            self.wrong.append(f"{self.members[member]} ended by itself with {code}: {member.output.strip()[-300:]}")
        if self.running:
            await asyncio.sleep(0.5)
            await self.start()

    def _excused(self, member: Member, code: int) -> bool:
        """Whether it may end: for want of a disk, with a word on it; at its start, for want of a broker."""
        last = member.output[-500:]
        if code != Exit.FAILURE or "unexpected" in last:
            return False
        if member in self.without_disk and ("see state.folder" in last or len(member.output) >= FULL):
            return True  # its words, too, may have been for a full disk
        return not any(self.held.get(member, {}).values()) and "Kafka broker" in last

    async def assigned(self, timeout: float = 60) -> None:
        """Wait until some member has partitions of each destination."""

        def held() -> bool:
            return all(any(each.get(name) for each in self.held.values()) for name in self.plan.destinations)

        await until(held, timeout=timeout, what="an assignment")

    # How far it is

    @property
    def settled(self) -> int:
        """Offsets that the commits call settled, of all destinations together, by the newest samples."""
        commits = self.ledger.commits
        for each in commits[self._seen :]:
            self._settled[each.destination, each.topic, each.partition] = each.position + each.above.bit_count()
        self._seen = len(commits)
        return sum(self._settled.values())

    @property
    def work(self) -> int:
        """Offsets that are to be settled, as far as they are written."""
        topics = self.group_topics.values()
        return sum(count for (topic, _), count in self.ledger.acknowledged.items() for each in topics if topic == each)


def terms(plan: Plan, destination: str) -> Terms:
    """What a destination promises under a plan."""
    own = plan.terms[destination]
    limits = own.get("rate_limit") or {}
    rates = limits if isinstance(limits, dict) else {"": limits}
    every = plan.blocks["source"]["commit_every"]
    return Terms(
        destination,
        repeatable=destination != TEXTS,
        ordered=True,
        concurrency=own.get("concurrency", 4),
        session_timeout=SESSION,
        commit_every=0.1 if every == "100ms" else 1.0 if every == "1s" else 0.25,
        rates={name: float(rate.removesuffix("/s")) for name, rate in rates.items() if rate},
    )


def limit_files(member: Member, size: int | None) -> None:
    """Let no file of a member grow beyond so many bytes, as on a full disk; None: any size again."""
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(member.pid, resource.RLIMIT_FSIZE, (unlimited if size is None else size, unlimited))


def _host(url: str) -> str:
    return url.partition("://")[2]
