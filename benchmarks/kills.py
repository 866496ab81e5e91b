"""D: `kill -9` again and again, and a restart each time. The vendor counts what comes twice.

What may come again after a kill: what was in flight, and what was delivered since the last commit. The bound takes one
commit interval for the latter.
"""

import sys
import time
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from benchmarks.arrivals import Log, out_of_order
from benchmarks.bench import Asked, Bench, finished, say
from benchmarks.processes import POLL, Failed, Running, Vendor
from benchmarks.results import Section
from benchmarks.scenarios import AIM_PEAK_MB, KILLED, D
from benchmarks.subjects import CRMSTREAM, Subject

COMMIT_INTERVAL = 0.25  # seconds: `source.commit_every`, as it comes
PATIENCE = 120.0  # seconds, for a group to notice that a member is gone


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill, as the vendor saw it."""

    arrived: int  # before it, each once
    in_flight: int  # not answered yet
    in_interval: int  # answered within one commit interval before it
    repeats: int  # what came again after the restart
    seconds: float  # from the restart to its first arrival

    @property
    def bound(self) -> int:
        """How many may come again."""
        return self.in_flight + self.in_interval


@dataclass(frozen=True, slots=True)
class Killed:
    """A subject that was killed so many times, and delivered everything in the end."""

    subject: str
    kills: Sequence[Kill]
    peak_mb: float
    late: int  # events that came the first time after a later one of their contact


def measure(bench: Bench, asked: Asked) -> Section:
    """The kills of each subject in a table."""
    found = [
        killed(bench, subject, asked.events, 1 if asked.quick else KILLED) for subject in (CRMSTREAM, *asked.others)
    ]
    rows = [row(each.subject, kill, asked.events) for each in found for kill in each.kills]
    within = sum(kill.repeats <= kill.bound for kill in found[0].kills)
    return Section(
        name=D.name,
        title=f"{D}, kill -9 and restart",
        rows=rows,
        remarks=[
            "All events arrived, by the vendor's log; its clock and ours are the same.",
            f"Aim: repeats ≤ the bound. {within} of {len(found[0].kills)} kills of the program are within it.",
            *(
                f"{each.subject}: peak {each.peak_mb:.0f} MB (aim {AIM_PEAK_MB}), {each.late or 'none'} out of order."
                for each in found
            ),
            "Order is that of first arrivals.",
            "The time until deliveries go on is the broker's: it waits out the killed member's session.",
        ],
        figures=[asdict(each) | {"bounds": [kill.bound for kill in each.kills]} for each in found],
    )


def row(subject: str, kill: Kill, events: int) -> dict[str, str]:
    """One kill as people read it."""
    return {
        "program": subject,
        "killed after": f"{kill.arrived:,} of {events:,}",
        "in flight": f"{kill.in_flight:,}",
        f"delivered in the {COMMIT_INTERVAL * 1000:.0f} ms before": f"{kill.in_interval:,}",
        "bound": f"{kill.bound:,}",
        "repeats": f"**{kill.repeats:,}**",
        "deliveries go on after": f"{kill.seconds:.1f} s",
    }


def killed(bench: Bench, subject: Subject, count: int, times: int) -> Killed:
    """Deliver *count* events, killed so many *times* on the way. Raises Failed where one was lost."""
    topic, group, file = bench.topic(count, D.contacts), bench.group(), bench.folder / "arrivals.json"
    kills, restarts, peak = [], [], 0
    with bench.vendor(D, log=file) as vendor:
        for number in range(times):
            with bench.started(subject, bench.task(D, topic, vendor, group)) as process:
                kills.append(killed_at(process, vendor, count * (number + 1) // (times + 1)))
            peak = max(peak, process.used.peak_bytes)
            restarts.append(time.perf_counter())
        with bench.started(subject, bench.task(D, topic, vendor, group)) as process:
            used = finished(process, subject, vendor, sys.maxsize)  # repeats count too: until nothing comes any more
    log = vendor.log
    if (distinct := len(set(log.numbers))) != count:
        raise Failed(f"{subject.name}: {distinct} of {count} events arrived")
    found = [*judged(log, kills, restarts)]
    say(f"{D}: {subject.name}: repeats {[each.repeats for each in found]}, bounds {[each.bound for each in found]}")
    return Killed(subject.name, found, max(peak, used.peak_bytes) / 1e6, out_of_order(first(log)))


def killed_at(process: Running, vendor: Vendor, arrived: int) -> float:
    """Kill it when so many have arrived; when that was."""
    before = time.perf_counter()
    while vendor.count() < arrived:
        if process.over or time.perf_counter() - before > PATIENCE:
            raise Failed(f"{process.name}: {vendor.count()} arrived, and no more come: too few to kill it at {arrived}")
        time.sleep(POLL)
    return process.kill()


def judged(log: Log, kills: Sequence[float], restarts: Sequence[float]) -> Iterator[Kill]:
    """Each kill by the vendor's log. An arrival after a restart is the restarted one's doing."""
    lives = [bisect(restarts, at) for at in log.arrived]
    seen: set[int] = set()
    for life, (kill, restart) in enumerate(zip(kills, restarts, strict=True)):
        seen |= {number for number, of in zip(log.numbers, lives, strict=True) if of == life}
        after = [(number, at) for number, at, of in zip(log.numbers, log.arrived, lives, strict=True) if of == life + 1]
        answers = [answered for answered, of in zip(log.answered, lives, strict=True) if of <= life]
        yield Kill(
            arrived=len(seen),
            in_flight=sum(answered > kill for answered in answers),
            in_interval=sum(kill - COMMIT_INTERVAL < answered <= kill for answered in answers),
            repeats=sum(number in seen for number, _ in after),
            seconds=after[0][1] - restart if after else 0.0,
        )


def first(log: Log) -> Iterator[tuple[str, int]]:
    """Each event's first arrival."""
    seen: set[int] = set()
    for contact, number in zip(log.contacts, log.numbers, strict=True):
        if number not in seen:
            seen.add(number)
            yield contact, number
