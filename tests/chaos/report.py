"""What is said of runs: a line for each, a table for all, and the objects that a file keeps of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.checkers import judge, worst_repeats
from tests.chaos.checkers.run import Run
from tests.chaos.play import Played


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one run, small enough to be kept."""

    seed: int
    workload: str
    brokers: int
    events: int  # in the source topics
    deliveries: int  # that the vendors took
    repeats: int
    crashes: list[tuple[int, int]]  # repeats and their bound, of each stop of a member, the most first
    faults: dict[str, int]
    hits: dict[str, int]  # those that hit something
    violations: list[str]
    seconds: float

    def __str__(self) -> str:
        faults = " ".join(f"{kind}:{self.hits.get(kind, 0)}/{made}" for kind, made in sorted(self.faults.items()))
        worst = "{:,}/{:,}".format(*self.crashes[0]) if self.crashes else "-"
        return (
            f"seed {self.seed:<7} {self.workload:<6} {self.events:>7,} events {self.deliveries:>7,} deliveries "
            f"{self.repeats:>5,} repeats, worst {worst:<9} {len(self.violations)} violations "
            f"{self.seconds:>4.0f} s  {faults}"
        )

    def kept(self) -> dict[str, Any]:
        """As an object for a file of JSON lines."""
        return asdict(self)


def verdict(played: Played, brokers: int) -> Verdict:
    """What the checkers say of a run."""
    ledger = played.ledger
    run = Run(ledger)
    found = [f"{each.checker}: {each.text}" for each in judge(ledger)]
    return Verdict(
        seed=played.plan.seed,
        workload=played.plan.workload,
        brokers=brokers,
        events=len(ledger.written),
        deliveries=len(ledger.taken),
        repeats=len(ledger.taken) - len({(each.destination, each.contact, each.n) for each in ledger.taken}),
        crashes=[(crash.repeats, crash.bound) for crash in worst_repeats(run)],
        faults=dict(played.faults),
        hits=dict(Counter(kind for kind, hit in played.hits if hit)),
        violations=[*found, *played.wrong],
        seconds=round(played.seconds, 1),
    )


def totals(verdicts: Iterable[Verdict]) -> str:
    """A table over all runs."""
    verdicts = list(verdicts)
    made, hit, runs = Counter[str](), Counter[str](), Counter[str]()
    for each in verdicts:
        made.update(each.faults)
        hit.update(each.hits)
        runs.update(each.faults.keys())
    lines = [f"{'fault':<16} {'runs':>6} {'made':>6} {'hit':>6}"]
    lines += [f"{kind:<16} {runs[kind]:>6} {made[kind]:>6} {hit[kind]:>6}" for kind in sorted(made)]
    crashes = [crash for each in verdicts for crash in each.crashes]
    worst = max(crashes, default=(0, 0))
    sums = {
        "runs": len(verdicts),
        "events": sum(each.events for each in verdicts),
        "deliveries": sum(each.deliveries for each in verdicts),
        "repeats": sum(each.repeats for each in verdicts),
        "faults": made.total(),
        "that hit": hit.total(),
        "violations": sum(len(each.violations) for each in verdicts),
    }
    lines.append(", ".join(f"{name} {count:,}" for name, count in sums.items()))
    lines.append(
        f"most repeats after one stop of a member: {worst[0]:,} of the {worst[1]:,} that may be; {len(crashes)} stops"
    )
    return "\n".join(lines)
