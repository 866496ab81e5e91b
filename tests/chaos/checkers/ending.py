"""How each event ended: that it did, not before a commit said so, and with a cause where it was buried."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.checkers.run import Place, Run
from tests.chaos.ledger import Asked, Letter, Written

FAILURES = 3  # of a contact's calls, before its first event may be buried as exhausted (design 8: early burial)
SIDE_BY_SIDE = 1.0  # seconds by which a call may arrive before one that began earlier
LATER_STATUSES = (408, 425)


def lost(run: Run) -> Iterator[str]:
    """Every record is delivered, filtered for a stated reason, or a dead letter (design 4, invariant 2).

    Decided by the log as a plain consumer reads it, the vendors' logs and the letters. A record may be missing from all
    where its person was erased. Allows nothing else; nor may the log hold fewer records than were acknowledged.
    """
    for place, record in run.wanted():
        if not run.takings(place.destination, record) and place not in run.letters and not run.may_be_erased(record):
            yield f"{_named(place, record)} was neither taken by the vendor nor buried"
    for (topic, partition), count in run.ledger.acknowledged.items():
        held = len(run.by_partition[topic, partition])
        if held < count:
            yield f"{topic}/{partition} holds {held} records of {count} that the broker acknowledged"


def premature(run: Run) -> Iterator[str]:
    """What a commit calls settled was delivered, or its letter acknowledged, before (design 4, invariant 1).

    Decided by samples of the commits, below the position and above it, and the times in the vendors' logs and of the
    letters. Allows nothing. What never came at all is `lost`.
    """
    for place, record in run.wanted():
        told_at = run.settled.get(place)
        if told_at is None or run.may_be_erased(record):
            continue
        times = [each.at for each in run.takings(place.destination, record)[:1]]
        times += [letter.at for letter in run.letters.get(place, ())]
        if times and min(times) > told_at:
            early = min(times) - told_at
            yield f"{_named(place, record)} was settled by a commit {early:.3f} s before it was delivered or buried"


def letters(run: Run) -> Iterator[str]:
    """A dead letter has a cause: nothing is buried that could be delivered (design 8).

    Decided by the vendors' logs. Allowed are:
    - any reason but the next two where the destination is known to reject the record;
    - `exhausted` after failed calls of its contact: three before the contact's first such letter, another one before
      each later letter (it is sick); and a call of somebody else that got through since the first failure;
    - `unknown_outcome` where calls must not be repeated: after a call of the contact that was not answered, or with
      5xx; or where a stop of a member or a broker's fault interrupted it, each no more than may be in flight at once.
    """
    calls = _Calls(run)
    interrupted: defaultdict[str, list[float]] = defaultdict(list)
    for place, same in run.letters.items():
        letter, record = min(same, key=lambda each: each.at), run.log.get(place[1:])
        if record is None or place.destination not in record.takers:
            yield f"a letter of {place.destination} about {_where(place)}, which is not for it"
        elif letter.reason == "exhausted":
            if text := calls.not_exhausted(letter, record):
                yield f"{_named(place, record)} was buried as exhausted {text}"
        elif letter.reason == "unknown_outcome" and not run.terms[place.destination].repeatable:
            if not calls.ambiguous(letter, record):
                interrupted[place.destination].append(letter.at)
        elif place.destination not in record.undeliverable:
            yield f"{_named(place, record)} was buried as {letter.reason} (status {letter.status})"
    for destination, times in interrupted.items():
        yield from _too_many_interrupted(run, destination, sorted(times))


def _too_many_interrupted(run: Run, destination: str, times: list[float]) -> Iterator[str]:
    """Letters of calls that the vendor answered or never saw, beyond what stops and broker faults can interrupt."""
    stops = [stop.at for stop in run.stops if stop.destination == destination]
    causes = sorted([*stops, *(fault.at for fault in run.hindrances())])
    for number, at in enumerate(times, 1):
        most = run.terms[destination].concurrency * bisect_right(causes, at)
        if number > most:
            yield f"{destination}: {number} letters as unknown_outcome by then, and at most {most} calls interrupted"


def unknown(run: Run) -> Iterator[str]:
    """A call that must not be repeated is known to have been taken, or it is parked (design 8).

    Each text was taken and its answer went out; or it is a letter `unknown_outcome`, taken or not; or a letter of
    another reason, not taken. One that was neither taken nor parked is `lost`, one taken twice is in `repeats`.
    """
    for place, record in run.wanted():
        if run.terms[place.destination].repeatable:
            continue
        takings = run.takings(place.destination, record)
        reasons = {each.reason for each in run.letters.get(place, ())}
        if takings and all(each.answered is None for each in takings) and "unknown_outcome" not in reasons:
            yield f"{_named(place, record)} was taken, nobody was told, and it is not parked"
        if takings and reasons and "unknown_outcome" not in reasons:
            yield f"{_named(place, record)} was taken, and buried as {', '.join(sorted(reasons))}"


class _Calls:
    """The calls that named contacts, by destination and contact, for the causes of letters."""

    def __init__(self, run: Run) -> None:
        self._by_contact: defaultdict[tuple[str, str], list[Asked]] = defaultdict(list)
        self._got_through: defaultdict[str, list[Asked]] = defaultdict(list)
        for asked in run.ledger.asked:
            for contact in asked.contacts:
                self._by_contact[asked.destination, contact].append(asked)
            if not _failed(asked):
                self._got_through[asked.destination].append(asked)
        self._exhausted: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for letter_of, same in run.letters.items():
            first = min(same, key=lambda each: each.at)
            if first.reason == "exhausted" and (record := run.log.get(letter_of[1:])):
                self._exhausted[letter_of.destination, record.contact].append(first.at)

    def not_exhausted(self, letter: Letter, record: Written) -> str:
        """What speaks against the cause; empty where nothing does."""
        whose = letter.destination, record.contact
        before = max((at for at in self._exhausted[whose] if at < letter.at), default=None)
        since, needed = (0.0, FAILURES) if before is None else (before, 1)
        failed = [each.at for each in self._by_contact[whose] if _failed(each) and since <= each.at <= letter.at]
        if len(failed) < needed:
            return f"after {len(failed)} failed calls of its contact, not {needed}"
        others = self._got_through[letter.destination]
        for each in others[bisect_left(others, failed[0] - SIDE_BY_SIDE, key=lambda asked: asked.at) :]:
            if each.at > letter.at:
                break
            if record.contact not in each.contacts:
                return ""
        return "while nobody else got through"

    def ambiguous(self, letter: Letter, record: Written) -> bool:
        """Whether a call of the contact ended in a way that leaves open what became of it."""
        calls = self._by_contact[letter.destination, record.contact]
        return any(each.at <= letter.at and (each.status is None or each.status >= 500) for each in calls)


def _failed(asked: Asked) -> bool:
    return asked.status is None or asked.status >= 500 or asked.status in LATER_STATUSES


def _named(place: Place, record: Written) -> str:
    return f"{place.destination}: event {record.n} of {record.contact} ({_where(place)})"


def _where(place: Place) -> str:
    return f"{place.topic}/{place.partition} offset {place.offset}"
