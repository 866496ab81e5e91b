"""What has to be kept all the while: a vendor's quota, an erased person's peace, progress, and an even balance."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from tests.chaos.checkers.run import WAKING, Place, Run
from tests.chaos.ledger import Asked, Committed, Progress, Taken

WINDOWS = (1.0, 10.0)  # seconds
BURST = 0.05  # seconds' worth of requests that a token bucket holds: `stream.core.limits.RateLimit`
JITTER = 0.25  # seconds by which requests may be nearer to each other at the vendor than when they were sent
FOLLOWING = 2.0  # seconds in which a process hears of a record in the topic of erasures
AFTER_FAULT = 5.0  # the same once a broker is back


def quota(run: Run) -> Iterator[str]:
    """No more requests a second than the limit, over all members and destinations of one quota (design 4 and 5).

    Decided by all arrivals at the vendor, probes and renewals included, in any window of 1 s and of 10 s. A token
    bucket of rate r lets W*r + max(1, r/20) start in W seconds, and the members' rates add up to the limit R: so W*R
    + R/20 + 1 for each member in the window. They may arrive 0.25 s closer together, and as much more as a fault `late`
    says that the vendor's process stood still; and a member that was frozen may have had all its calls half sent.
    """
    limits: defaultdict[tuple[str, str], list[Asked]] = defaultdict(list)
    rates: dict[tuple[str, str], float] = {}
    for asked in run.ledger.asked:
        terms = run.terms[asked.destination]
        if asked.limit in terms.rates:
            which = terms.quota or terms.destination, asked.limit
            limits[which].append(asked)
            rates[which] = terms.rates[asked.limit]
    for which, arrivals in limits.items():
        arrivals.sort(key=lambda each: each.at)
        for window in WINDOWS:
            found, most = _fullest(run, arrivals, window, rates[which])
            if found > most:
                yield (
                    f"{' '.join(filter(None, which))}: {found} requests within {window:g} s, "
                    f"at most {most:.1f} by its limit of {rates[which]:g}/s"
                )


def _fullest(run: Run, arrivals: list[Asked], window: float, rate: float) -> tuple[int, float]:
    """How many arrived in the window that is furthest beyond its bound, and this bound."""
    worst = (0, rate)
    first = 0
    doors: Counter[tuple[str, str]] = Counter()
    for last, asked in enumerate(arrivals):
        doors[asked.destination, asked.door] += 1
        while arrivals[first].at <= asked.at - window:
            left = arrivals[first].destination, arrivals[first].door
            doors[left] -= 1
            if not doors[left]:
                del doors[left]
            first += 1
        count = last - first + 1
        if count > rate * (window + BURST + JITTER) + len(doors):
            since = asked.at - window
            most = rate * (window + BURST + JITTER + _late(run, since, asked.at)) + len(doors)
            most += _half_sent(run, doors, since, asked.at)
            worst = max(worst, (count, most), key=lambda each: each[0] - each[1])
    return worst


def _late(run: Run, since: float, until: float) -> float:
    """Seconds for which the vendor's process stood still then: what it saw at once may have come before."""
    late = (fault for fault in run.ledger.faults if fault.kind == "late")
    return sum(fault.until - fault.at for fault in late if fault.at <= until and fault.until >= since)


def _half_sent(run: Run, doors: Iterable[tuple[str, str]], since: float, until: float) -> int:
    """Calls that members which were thawed in this time may have begun long before."""
    woken = [stop for stop in run.stops if stop.how == "frozen" and since - 1 <= stop.until <= until]
    return sum(run.terms[stop.destination].concurrency for stop in woken if (stop.destination, stop.door) in set(doors))


def erasure(run: Run) -> Iterator[str]:
    """Nothing of an erased person is delivered once the erasure is known (design 7, "Erasures").

    Decided by the vendors' logs and the time at which the topic of erasures had the record. It is known two seconds
    later, five after a fault that kept a process from reading, three after a thaw. Where the erasure was lifted, only
    what was written well before the request counts. A request of which no erasure came is a violation too.
    """
    for contact, erased in run.erasures.items():
        if erased.known_at is None:
            yield f"the deletion of {contact} was requested, and no erasure came of it"
            continue
        for taken in run.ledger.taken:
            if taken.contact != contact or taken.at <= _known_to(run, taken, erased.known_at):
                continue
            record = run.written.get((taken.contact, taken.n))
            if erased.lifted_at is None or (record is not None and record.at < erased.at - AFTER_FAULT):
                late = taken.at - erased.known_at
                yield f"{taken.destination}: event {taken.n} of {contact} was taken {late:.3f} s after the erasure"


def _known_to(run: Run, taken: Taken, at: float) -> float:
    """When the member at this door must have known of an erasure of that time."""
    known = at + FOLLOWING
    for fault in run.hindrances():
        if fault.at <= known and fault.until >= at:
            known = max(known, fault.until + AFTER_FAULT)
    for stop in run.stops:
        if stop.how == "frozen" and stop.door == taken.door and stop.at <= known:
            known = max(known, stop.until + WAKING) if stop.until >= at else known
    return known


def stuck(run: Run) -> Iterator[str]:
    """While there is work, a member that lives and nothing that is wrong, something is settled now and then.

    Decided by samples of the commits beside what was in the log by then. `Terms.patience` is how long nothing may be
    settled. It begins anew with each settled offset; where a fault of the destination or of all is over; and with
    whatever happens to a member, as the group has to find itself then.
    """
    for destination, terms in run.terms.items():
        moments = sorted(_disturbances(run, destination))
        since = -1.0
        before: Progress | None = None
        for sample in (each for each in run.ledger.progress if each.destination == destination):
            moved = before is None or sample.settled != before.settled
            while moments and moments[0][0] <= sample.at:
                since = max(since, moments.pop(0)[1])
            if moved or not sample.left or not _alive(run, destination, sample.at):
                since = max(since, sample.at)
            elif sample.at - since > terms.patience:
                yield f"{destination}: nothing was settled for {sample.at - since:.1f} s, and {sample.left} were left"
                since = sample.at
            before = sample


def _disturbances(run: Run, destination: str) -> Iterator[tuple[float, float]]:
    """From when to when something was wrong."""
    for fault in run.ledger.faults:
        if fault.destination in ("", destination) and fault.kind != "late":
            yield fault.at, fault.until
    for life in run.ledger.lives:
        if destination in life.doors and life.fate != "assigned":
            yield life.at, life.at


def _alive(run: Run, destination: str, at: float) -> bool:
    """Whether a member was at work then."""
    alive: dict[str, bool] = {}
    for life in run.ledger.lives:
        if life.at <= at and destination in life.doors:
            alive[life.member] = life.fate not in ("killed", "frozen", "ended", "terminated")
    return any(alive.values())


def uneven(run: Run) -> Iterator[str]:
    """Each offset ended in one counted outcome, and the counters agree with what others counted (design 3 and 4).

    Decided by the last commit of each partition, beside the log's end and records, the vendor's log and the letters:
    - the position is at the end, and the sum of the counters;
    - `absent` are the gaps in the log; nothing is `lost_to_retention`;
    - `filtered` is what is not for the destination; erased persons' events may add to it, and where calls must not be
      repeated, those that the journal knows after a crash;
    - `delivered` and `coalesced` are at most what the vendor took, `dead_lettered` at most the letters: exactly those
      where nothing was stopped, as a crash leaves letters that no commit counts.
    Where receipts were kept `crmstream verify` says the same.
    """
    for destination in run.terms:
        topics = {each.topic for each in run.ledger.commits if each.destination == destination}
        topics = topics or {place.topic for place, _ in run.wanted() if place.destination == destination}
        for (topic, partition), end in run.ledger.ends.items():
            if topic in topics:
                where = destination, topic, partition
                for text in _uneven(run, where, end):
                    yield f"{destination}, {topic}/{partition}: {text}"
    if run.ledger.verify_code:
        yield f"crmstream verify ended with {run.ledger.verify_code}: {run.ledger.verified[-300:]}"


def _uneven(run: Run, where: tuple[str, str, int], end: int) -> Iterator[str]:
    final = run.final.get(where)
    if final is None:
        if end:
            yield f"no position, and the log ends at {end}"
        return
    if final.position != end:
        yield f"the position is {final.position}, and the log ends at {end}"
    counted = sum(final.totals.values())
    settled = final.position + final.above.bit_count()
    if counted != settled:
        yield f"the counters hold {counted} offsets of {settled}"
    elif final.position == end:
        yield from _miscounted(run, where, final)


def _miscounted(run: Run, where: tuple[str, str, int], final: Committed) -> Iterator[str]:
    """Counters that others contradict."""
    destination, topic, partition = where
    records = run.by_partition[topic, partition]
    mine = [record for record in records if destination in record.takers]
    taken = sum(bool(run.takings(destination, record)) for record in mine)
    buried = sum(Place(*where, record.offset) in run.letters for record in mine)
    erased = sum(run.may_be_erased(record) for record in mine)
    calm = not run.stops and not run.hindrances()
    again = 0 if calm or run.terms[destination].repeatable else taken  # found in the journal
    said = final.totals
    delivered = said.get("delivered", 0) + said.get("coalesced", 0)
    bounds = (
        ("absent", said.get("absent", 0), final.position - len(records), final.position - len(records)),
        ("lost_to_retention", said.get("lost_to_retention", 0), 0, 0),
        ("filtered", said.get("filtered", 0), len(records) - len(mine), len(records) - len(mine) + erased + again),
        ("dead_lettered", said.get("dead_lettered", 0), buried if calm else 0, buried),
        ("delivered and coalesced", delivered, 0, taken),
    )
    for word, count, least, most in bounds:
        if not least <= count <= most:
            others = f"{least}" if least == most else f"{least} to {most}"
            yield f"{count} were counted as {word}, {others} by others"
