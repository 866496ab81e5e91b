"""What one run is made of, drawn from its seed: a workload, its settings, and faults in their order."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

Workload = Literal["attio", "bulk", "texts", "mixed"]
WORKLOADS: dict[Workload, int] = {"attio": 3, "bulk": 6, "texts": 2, "mixed": 2}
"""With how often each is drawn: the bulk calls are what makes many events."""

ATTIO, CONTACTS, TEXTS, PRIVACY = "attio", "splio_contacts", "splio_sms", "customerio"
DESTINATIONS: dict[Workload, tuple[str, ...]] = {
    "attio": (ATTIO,),
    "bulk": (CONTACTS,),
    "texts": (TEXTS,),
    "mixed": (ATTIO, CONTACTS, TEXTS, PRIVACY),
}
EVENTS: dict[Workload, tuple[int, int]] = {
    "attio": (4_000, 16_000),
    "bulk": (15_000, 45_000),
    "texts": (400, 1_500),
    "mixed": (1_500, 4_000),
}
LIMITED: dict[Workload, float] = {"attio": 150.0, "bulk": 200.0, "texts": 40.0, "mixed": 60.0}
"""Requests a second where a run is about the limit; it has as many events as that takes some seconds."""

SECONDS: dict[str, tuple[float, float]] = {
    "kill": (0.0, 1.5),  # until another one starts
    "term": (0.0, 1.5),
    "freeze": (7.0, 9.0),  # longer than a session
    "stall": (0.5, 3.0),  # shorter
    "join": (0.0, 0.0),
    "leave": (0.0, 0.0),
    "broker_kill": (0.2, 2.0),
    "broker_restart": (0.0, 0.0),
    "broker_pause": (1.0, 8.0),
    "slow": (2.0, 4.0),
    "refusing": (1.0, 4.0),
    "down": (1.0, 4.0),
    "throttling": (2.0, 3.0),
    "cut": (1.0, 3.0),
    "cut_after": (1.0, 3.0),
    "half_open": (2.0, 4.0),
    "revoked": (1.0, 3.0),
    "certificate": (1.0, 3.0),
    "clock": (1.0, 4.0),
    "disk": (0.0, 0.0),  # until the member ends
    "letters_refused": (2.0, 5.0),
}
"""Every kind of fault, and how many seconds it lasts at least and at most."""

OF_MEMBERS = ("kill", "term", "freeze", "stall", "join", "leave")
OF_BROKERS = ("broker_kill", "broker_restart", "broker_pause")
OF_VENDORS = ("slow", "refusing", "down", "throttling", "cut", "cut_after", "half_open", "revoked", "certificate")
OF_PLACES = ("clock", "disk", "letters_refused")


@dataclass(frozen=True, slots=True)
class Step:
    """A fault: due when this share of the events is settled, or some seconds after the one before it."""

    kind: str
    share: float
    seconds: float
    destination: str = ""  # the vendor it is about
    size: float = 0.0  # how far a clock steps


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, before it happens."""

    seed: int
    workload: Workload
    events: int
    contacts: int
    partitions: int
    members: int
    pace: float | None  # events a second that are written; None: all at once
    limited: bool
    tls: bool
    blocks: dict[str, dict[str, Any]]  # of the configuration, but for what the broker and the vendors say
    terms: dict[str, dict[str, Any]]  # of each destination
    steps: tuple[Step, ...]
    every: float | None = None  # seconds between two faults, whatever was settled; then the first member is spared

    @property
    def destinations(self) -> tuple[str, ...]:
        """Their names, which are their types."""
        return DESTINATIONS[self.workload]

    def __str__(self) -> str:
        return f"{self.workload}, {self.partitions} partitions, {self.members} members"


def draw(seed: int, *, brokers: int = 1, kinds: tuple[str, ...] = (), workload: Workload | None = None) -> Plan:
    """The plan of a seed. *kinds*: exactly these faults, in this order."""
    random = Random(seed)
    drawn: Workload = random.choices(list(WORKLOADS), list(WORKLOADS.values()))[0]
    workload = workload or drawn
    limited = random.random() < 0.15
    events = random.randint(*EVENTS[workload])
    if limited:
        events = int(LIMITED[workload] * random.uniform(8, 14))
    blocks = _blocks(random, workload)
    if blocks["http"]["transport"] == "httpx" and workload in ("attio", "bulk"):
        events //= 3  # it is the slower one by far
    tls = ATTIO in DESTINATIONS[workload] and (random.random() < 0.25 or "certificate" in kinds)
    plan = Plan(
        seed=seed,
        workload=workload,
        events=events,
        contacts=_contacts(random, workload, events),
        partitions=random.choice((1, 2, 3, 4, 6, 8, 12)),
        members=random.choice((1, 2, 2, 3, 3, 4)),
        pace=None if random.random() < 0.5 else events / random.uniform(5, 15),
        limited=limited,
        tls=tls,
        blocks=blocks,
        terms={name: _terms(random, name, LIMITED[workload] if limited else None) for name in DESTINATIONS[workload]},
        steps=(),
    )
    return replace(plan, steps=tuple(_steps(random, plan, brokers, kinds)))


def _contacts(random: Random, workload: Workload, events: int) -> int:
    """Bulk calls create; whom Splio knows is changed one by one, so there most events are of a new contact."""
    if workload == "bulk":
        return int(events * random.uniform(2, 4))
    return min(events // 3, random.randint(50, 2000))


def _blocks(random: Random, workload: Workload) -> dict[str, dict[str, Any]]:
    small = random.random() < 0.3
    source = {
        "window": random.choice((200, 500) if small else (2_000, 10_000)),
        "buffer": random.choice((100, 500) if small else (2_000, 8_000)),
        "commit_every": random.choice(("100ms", "250ms", "250ms", "1s")),
        "remember_traits": workload in ("attio", "mixed"),
    }
    return {"source": source, "http": {"transport": random.choice(("fast",) * 4 + ("httpx",))}}


def _terms(random: Random, destination: str, rate: float | None) -> dict[str, Any]:
    retry = {"base": "50ms", "max": "1s", "attempts": 1000}  # so that only the vendor's word buries
    rates: dict[str, Any] = {"rate_limit": rate and f"{rate:g}/s"}
    own: dict[str, Any] = {"concurrency": random.choice((4, 16, 32))}
    if destination == CONTACTS:
        rates = {"rate_limit": dict.fromkeys(("contacts", "other"), rate and f"{rate:g}/s")}
        batch = {"items": random.choice((100, 500, 1000)), "linger": "100ms"}
        own = {"concurrency": random.choice((2, 8, 16)), "bulk": True, "batch": batch}
    elif destination == TEXTS:
        own = {"concurrency": 4, "max_age": None}
    elif destination == PRIVACY:
        rates, own = {"rate_limit": {"app": "50/s", "track": "50/s"}}, {}
    return {"retry": retry, **rates, **own}


def _steps(random: Random, plan: Plan, brokers: int, kinds: tuple[str, ...]) -> list[Step]:
    chosen = kinds or tuple(_kinds(random, plan, brokers))
    shares = sorted(random.uniform(0.02, 0.85) for _ in chosen)
    return [_step(random, plan, kind, share) for kind, share in zip(chosen, shares, strict=True)]


def _kinds(random: Random, plan: Plan, brokers: int) -> list[str]:
    vendors = [kind for kind in OF_VENDORS if kind != "certificate" or plan.tls]
    places = [kind for kind in OF_PLACES if kind != "letters_refused" or brokers == 1]
    groups = random.choices((OF_MEMBERS, OF_BROKERS, vendors, places), (5, 1.2, 3, 1), k=random.randint(3, 8))
    kinds = [random.choice(group) for group in groups]
    while kinds.count("freeze") + kinds.count("broker_pause") > 2:  # they take longest
        kinds.remove("freeze" if "freeze" in kinds else "broker_pause")
    return kinds


def _step(random: Random, plan: Plan, kind: str, share: float) -> Step:
    often = [1 if name == PRIVACY else 4 for name in plan.destinations]
    destination = random.choices(plan.destinations, often)[0] if kind in OF_VENDORS else ""
    if kind == "certificate":
        destination = ATTIO
    size = random.choice((-3600.0, -30.0, 30.0, 3600.0)) if kind == "clock" else 0.0
    return Step(kind, share, random.uniform(*SECONDS[kind]), destination, size)
