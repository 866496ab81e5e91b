"""`python -m benchmarks.million`: what a million events a second would take, calculated from what one member costs.

    python -m benchmarks.million --cpu-us 55 --bulk-cpu-us 25 --member-mb 120 --write

`--write` puts the table where `benchmarks/README.md` has its place for it. Nothing is measured here.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import places
from stream.core.offsets import MAX_WINDOW, OffsetTracker

COMMIT_EVERY = 0.25  # seconds: `source.commit_every`
SESSION = 10.0  # seconds: `kafka.session_timeout`
HEARTBEAT = SESSION / 5
LATENCIES = (0.02, 0.2)  # seconds until a vendor answers
KEY_BYTES = 110  # of a position in the group's topic, beside its metadata: key, lengths, times (estimated)
AHEAD = 100  # offsets that are settled above a position, as a rule
ATTIO, SPLIO = 25, 20  # calls a second that an account takes: `destinations.md` of each vendor


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be done, and what it costs one member."""

    rate: float  # events a second
    cpu_us: float  # for an event: measured
    items: int  # events in a call
    busy: float  # share of its core that a member is to use
    partitions: int  # of each member
    event_bytes: int
    member_mb: float  # measured
    vendor: tuple[str, int]  # and how many calls a second it takes of one account

    @property
    def cores(self) -> float:
        """Kept busy."""
        return self.rate * self.cpu_us / 1e6

    @property
    def members(self) -> int:
        """Each on a core of its own."""
        return math.ceil(self.cores / self.busy)

    @property
    def all_partitions(self) -> int:
        """Of the topic."""
        return self.members * self.partitions

    def rows(self) -> Iterator[tuple[str, str]]:
        """What it takes, as people read it."""
        calls = self.rate / self.items
        in_flight = [calls * latency for latency in LATENCIES]
        positions = self.all_partitions / COMMIT_EVERY
        usual, most = (positions * (KEY_BYTES + metadata_bytes(above)) / 1e6 for above in (AHEAD, MAX_WINDOW - 1))
        name, takes = self.vendor
        yield "CPU for an event (measured)", f"{self.cpu_us:g} µs"
        yield "cores kept busy", f"{self.cores:,.0f}"
        yield f"members, each {self.busy:.0%} of a core", f"**{self.members:,}**"
        yield f"partitions, {self.partitions} for each member", f"{self.all_partitions:,}"
        yield "events a second in a partition", f"{self.rate / self.all_partitions:,.0f}"
        yield "its window of 23,600 is full after", f"{MAX_WINDOW * self.all_partitions / self.rate:,.0f} s"
        yield (
            f"read from the broker ({self.event_bytes} bytes an event)",
            f"{self.rate * self.event_bytes / 1e9:.2f} GB/s",
        )
        yield "calls a second", f"{calls:,.0f}"
        yield "in flight, where they take 20 ms (200 ms)", "{:,.0f} ({:,.0f})".format(*in_flight)
        yield "of them a member's", "{:,.0f} ({:,.0f})".format(*(math.ceil(each / self.members) for each in in_flight))
        yield "commits a second, four of each member", f"{self.members / COMMIT_EVERY:,.0f}"
        yield "positions in them", f"{positions:,.0f}"
        yield "written for them, as a rule (all windows full)", f"{usual:.1f} MB/s ({most:.1f})"
        yield "kept by the coordinator", f"{usual * COMMIT_EVERY:.2f} MB ({most * COMMIT_EVERY:.1f})"
        yield "heartbeats a second", f"{self.members / HEARTBEAT:,.0f}"
        yield "memory of all members (one measured)", f"{self.members * self.member_mb / 1000:.1f} GB"
        yield f"accounts at {name}, {takes} calls a second each", f"**{math.ceil(calls / takes):,}**"


def metadata_bytes(above: int) -> int:
    """The length of a commit's text, with so many bits and counters of ten digits."""
    tracker = OffsetTracker("events", 0, 0, done=range(2, above + 2))
    tracker.totals |= dict.fromkeys(tracker.totals, 10**10 - 1)
    return len(tracker.commit()[1])


def table(single: Load, bulk: Load) -> str:
    """Both side by side."""
    head = [f"| {single.rate:,.0f} events a second | one a call | {bulk.items:,} a call |", "| --- | --- | --- |"]
    pairs = zip(single.rows(), bulk.rows(), strict=True)
    return "\n".join(
        [*head, *(f"| {said(one, other)} | {value} | {bulked} |" for (one, value), (other, bulked) in pairs)]
    )


def said(one: str, other: str) -> str:
    """What a row is called, where the two differ."""
    return one if one == other else f"{one}; {other}"


def main() -> int:
    """Calculate, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--rate", type=float, default=1e6, help="events a second (%(default)g)")
    parser.add_argument("--cpu-us", type=float, required=True, help="scenario A's CPU for an event")
    parser.add_argument("--bulk-cpu-us", type=float, required=True, help="the bulk scenario's CPU for a contact")
    parser.add_argument("--member-mb", type=float, required=True, help="peak memory of a member")
    parser.add_argument("--bulk-member-mb", type=float, help="the same in the bulk scenario")
    parser.add_argument(
        "--busy", type=float, default=0.7, help="share of its core that a member is to use (%(default)g)"
    )
    parser.add_argument("--partitions", type=int, default=12, help="for each member (%(default)s)")
    parser.add_argument("--event-bytes", type=int, default=800, help="of an event in the log (%(default)s)")
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    given = parser.parse_args()
    alike = (given.busy, given.partitions, given.event_bytes)
    single = Load(given.rate, given.cpu_us, 1, *alike, given.member_mb, ("Attio", ATTIO))
    bulk_mb = given.bulk_member_mb or given.member_mb
    bulk = Load(given.rate, given.bulk_cpu_us, 1_000, *alike, bulk_mb, ("Splio", SPLIO))
    made = table(single, bulk)
    print(made)
    if given.write:
        places.write("million", made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
