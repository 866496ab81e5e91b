"""What lies beside a committed position: a tracker's state as text, ours or anybody's."""

from dataclasses import dataclass
from random import Random

from stream.core.offsets import MAX_WINDOW, METADATA_LIMIT, OUTCOMES, OffsetTracker, decode, restore
from stream.core.outcomes import Counted
from tests.fuzz.target import Target
from tests.fuzz.values import broken, text

LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Committed:
    """What a tracker knows when it commits."""

    position: int
    totals: dict[Counted, int]
    done: set[int]


@dataclass(frozen=True, slots=True)
class Altered:
    """A commit, and what became of it before it was read."""

    committed: Committed
    position: int
    metadata: str


def draw_committed(random: Random) -> Committed:
    """Any bits within the largest window: few, all, every other one, or whatever comes."""
    position = random.choice((0, 1, 12_345, 2**40, LARGEST - MAX_WINDOW))
    span = MAX_WINDOW - 1 if random.random() < 0.05 else random.choice((0, 1, 8, 100))
    above = range(position + 1, position + 1 + span)
    match random.randint(0, 4):
        case 0:
            done = set(above)
        case 1:
            done = set(above[:: random.randint(2, 9)])
        case 2:
            done = set(above[-1:])
        case _:
            bits = random.getrandbits(span) if span else 0
            done = {offset for n, offset in enumerate(above) if bits >> n & 1}
    totals = {outcome: random.choice((0, 1, 10**9, LARGEST)) for outcome in OUTCOMES}
    totals["delivered"] += len(done) - min(len(done), sum(totals.values()))
    return Committed(position, totals, done)


def written(given: Committed) -> str:
    """What a tracker writes that knows this."""
    return OffsetTracker("events", 0, given.position, totals=given.totals, done=given.done).commit()[1]


def comes_back(given: Committed) -> None:
    """What is committed fits the broker's limit, and is what is restored."""
    metadata = written(given)
    assert len(metadata) <= METADATA_LIMIT
    assert (given.totals, given.done) == decode(given.position, metadata)
    tracker = restore("events", 0, given.position, metadata)
    assert sum(tracker.totals.values()) == tracker.position - tracker.origin + tracker.settled_above
    assert tracker.origin <= tracker.position


def draw_altered(random: Random) -> Altered:
    committed = draw_committed(random)
    metadata = written(committed)
    position = committed.position
    match random.randint(0, 3):
        case 0:
            position += random.choice((-1, 1, 8, 1000))
        case 1:
            metadata = metadata[: random.randint(0, len(metadata))]
        case _:
            metadata = broken(random, metadata.encode(), (b":", b",", b"=", b"A", b"/", b"0", b"9" * 5000)).decode(
                "latin-1"
            )
    return Altered(committed, position, metadata)


def is_ignored(given: Altered) -> None:
    """Repeats, never loss: what is not as it was written claims nothing."""
    totals, done = decode(given.position, given.metadata)
    if given.position == given.committed.position and (totals or done):
        assert (given.committed.totals, given.committed.done) == (totals, done)
    else:
        assert ({}, set()) == (totals, done)


def means_nothing(metadata: str) -> None:
    """Text of anybody else is ignored."""
    totals, done = decode(100, metadata)
    assert ({}, set()) == (totals, done)


def draw_foreign(random: Random) -> str:
    numbers = ",".join(
        random.choice(("0", "1", "-1", "٣", "9" * 5000, "")) for _ in range(random.choice((5, 6, 6, 6, 7)))
    )
    return random.choice(
        (text(random), f"1:{numbers}:{random.choice(('', 'AA==', '////', 'é', 'A'))}:{text(random)}", f"2:{numbers}:")
    )


TARGETS = [
    Target("metadata", draw_committed, comes_back),
    Target("metadata altered", draw_altered, is_ignored),
    Target("metadata foreign", draw_foreign, means_nothing),
    Target(
        "metadata bytes",
        lambda random: draw_foreign(random).encode(),
        lambda raw: means_nothing(raw.decode("utf-8", "replace")),
        raw=True,
    ),
]
