"""What happened in one run, as each side counted it by itself: the broker, the vendors, the operating system.

Nothing here comes from the product's own counters, except the commits, which are themselves what is judged. Times are
seconds since the epoch, of the machine that all sides run on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Partition: TypeAlias = tuple[str, int]
"""Topic and number."""

Fate: TypeAlias = Literal["started", "assigned", "killed", "terminated", "frozen", "thawed", "ended"]
"""What happened to a member. `assigned`: it was seen to hold partitions; `ended`: the process is gone."""


@dataclass(frozen=True, slots=True)
class Written:
    """A record of the source topic, read by a plain consumer at the end."""

    topic: str
    partition: int
    offset: int
    at: float  # Kafka's time
    contact: str
    n: int  # its number within the contact, from 1, in log order
    takers: frozenset[str]  # destinations that must deliver it, or bury it for a cause; the others filter it
    undeliverable: frozenset[str] = frozenset()  # takers that reject it for certain


@dataclass(frozen=True, slots=True)
class Taken:
    """A call's item that a vendor took: it counts, whether or not the answer reached us."""

    destination: str
    contact: str
    n: int
    at: float
    door: str  # host:port at which it came in: each member has its own
    call: int  # number of the request in the vendor's log
    answered: float | None = None  # when the vendor said that it took it; None: cut off, or the caller had gone


@dataclass(frozen=True, slots=True)
class Asked:
    """Any request that reached a vendor, refused ones, probes and renewals included."""

    destination: str
    limit: str  # the name of the limit it counts against at the vendor
    at: float
    door: str
    status: int | None  # None: cut off, or never answered
    contacts: frozenset[str] = frozenset()  # whom it names; a probe or renewal names nobody


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group's commit said of a partition, sampled by a plain client while the run went on."""

    destination: str
    topic: str
    partition: int
    position: int
    above: int  # bit i, lowest first, says that it calls offset position + 1 + i settled
    totals: Mapping[str, int]
    asked_at: float  # when the sample was asked for: all that it calls settled was settled before `told_at`
    told_at: float


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, read by a plain consumer at the end."""

    destination: str
    topic: str
    partition: int
    offset: int
    reason: str
    status: int | None  # the vendor's, where it said one
    at: float  # Kafka's time
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """Something that happened to a member (a process)."""

    member: str
    fate: Fate
    at: float
    doors: Mapping[str, str]  # destination to the door it reaches the vendor by
    detail: str = ""  # an exit code; partitions seen
    in_flight: int = 0  # calls at the vendor, taken and unanswered, when it was killed or frozen


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to a broker, a vendor, a disk or a clock."""

    kind: str  # as the plan names it; what is done to a broker begins with `broker`
    at: float
    until: float
    destination: str = ""  # the vendor it was done to
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person whose deletion was requested: the request was acknowledged by the broker at this time."""

    contact: str
    at: float
    lifted_at: float | None = None
    known_at: float | None = None  # Kafka's time of the record in the topic of erasures; None: there is none


@dataclass(frozen=True, slots=True)
class Progress:
    """A sample of how far a destination is: settled offsets of all partitions together, and work known to be left."""

    destination: str
    at: float
    settled: int
    left: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What one destination promises in this run."""

    destination: str
    repeatable: bool
    ordered: bool
    concurrency: int
    session_timeout: float
    commit_every: float
    patience: float = 30.0  # seconds in which something is settled, while there is work and nothing is wrong
    rates: Mapping[str, float] = field(default_factory=dict)  # requests a second by limit; none: not limited
    quota: str | None = None  # destinations of one quota share `rates`


@dataclass(slots=True)
class Ledger:
    """All of it. Lists are in the order in which things happened."""

    seed: int
    terms: dict[str, Terms] = field(default_factory=dict)
    acknowledged: dict[Partition, int] = field(default_factory=dict)  # records the producer got acknowledged
    ends: dict[Partition, int] = field(default_factory=dict)  # the log's ends after the run
    written: list[Written] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    commits: list[Committed] = field(default_factory=list)  # samples; the last of each partition is the final one
    letters: list[Letter] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    verified: str = ""  # what `crmstream verify` said at the end
    verify_code: int | None = None  # its exit code; None: the run kept no receipts
