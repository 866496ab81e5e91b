"""Ledgers made by hand, told in few words."""

from collections.abc import Sequence

from tests.chaos.checkers import CHECKERS
from tests.chaos.checkers.run import ROUND_TRIP, Run
from tests.chaos.ledger import (
    Asked,
    Committed,
    Fate,
    Fault,
    Ledger,
    Letter,
    Life,
    Progress,
    Taken,
    Terms,
    Written,
)

VENDOR = "attio"
ADA, BOB = "ada@example.com", "bob@example.com"
A, B = "127.0.0.1:1", "127.0.0.1:2"  # the doors of two members
EVERY = 0.25
LAG = EVERY + ROUND_TRIP  # within which an answer is committed
CALL = 0.01  # seconds that one takes
SLEEP, WOKEN = 10.0, 20.0


class Told(Ledger):
    """A ledger of one destination and one partition, told in few words."""

    __slots__ = ()

    def __init__(self, *, repeatable: bool = True, concurrency: int = 2, rate: float | None = None) -> None:
        super().__init__(seed=0)
        rates = {} if rate is None else {"": rate}
        self.terms[VENDOR] = Terms(VENDOR, repeatable, True, concurrency, 6.0, EVERY, 30.0, rates)

    def write(self, contact: str, n: int = 1, *, at: float = 0.0, rejected: bool = False, foreign: bool = False) -> int:
        """An event in the log; its offset."""
        offset = len(self.written)
        takers = frozenset[str]() if foreign else frozenset({VENDOR})
        never = frozenset({VENDOR}) if rejected else frozenset[str]()
        self.written.append(Written("events", 0, offset, at, contact, n, takers, never))
        self.ends["events", 0] = self.acknowledged["events", 0] = offset + 1
        return offset

    def take(self, contact: str, n: int = 1, *, at: float, door: str = A, answered: bool = True) -> None:
        """A call for it that the vendor took."""
        end = at + CALL if answered else None
        self.taken.append(Taken(VENDOR, contact, n, at, door, len(self.asked) + 1, end))
        self.ask(contact, at=at, door=door, status=200 if answered else None)

    def ask(self, *contacts: str, at: float, door: str = A, status: int | None = 200) -> None:
        """A call, taken or not."""
        self.asked.append(Asked(VENDOR, "", at, door, status, frozenset(contacts)))

    def commit(self, position: int, *, at: float, above: Sequence[int] = (), **totals: int) -> None:
        """A sample; it took a tenth of a second to ask for it."""
        counted = totals or {"delivered": position + len(above)}
        self.commits.append(
            Committed(
                VENDOR,
                "events",
                0,
                position,
                sum(1 << offset - position - 1 for offset in above),
                counted,
                at - 0.1,
                at,
            )
        )

    def bury(self, offset: int, reason: str, *, at: float, status: int | None = None) -> None:
        """A dead letter."""
        self.letters.append(Letter(VENDOR, "events", 0, offset, reason, status, at))

    def member(self, fate: Fate, *, at: float, door: str = A, detail: str = "") -> None:
        """Something that happened to the member behind a door."""
        self.lives.append(Life(f"member at {door}", fate, at, {VENDOR: door}, detail))

    def fault(self, kind: str, at: float, until: float, destination: str = "") -> None:
        """Something that was done."""
        self.faults.append(Fault(kind, at, until, destination))

    def sample(self, settled: int, left: int, *, at: float) -> None:
        """How far it was."""
        self.progress.append(Progress(VENDOR, at, settled, left))


def found(checker: str, ledger: Ledger) -> list[str]:
    """What one checker says."""
    return list(CHECKERS[checker](Run(ledger)))


def well() -> Told:
    """Two contacts' events, delivered, committed, nothing wrong."""
    told = Told()
    for n in (1, 2, 3):
        for contact in (ADA, BOB):
            told.write(contact, n)
            told.take(contact, n, at=n + (contact == BOB) / 2)
    told.commit(4, at=3.1)
    told.commit(6, at=4.0)
    return told
