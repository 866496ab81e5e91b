"""Decides which letters are replayed, and why others are not. What is read and written is in `replaying.py`."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.replays import Fate, ReplayId
from stream.commands.rehearsal import NOWHERE
from stream.core.records import Message, Record, StandIn
from stream.destinations.base import Calls, Destination
from stream.messages import Make
from stream.topics.dead_letters import Letter
from stream.topics.replays import restored

Subject = Callable[[Record], Hashable | None]
"""Whom or what a record is about, as far as a later one can make an earlier one void; None: nothing of the kind."""

Place = tuple[str, str, int]
"""Destination, topic and partition."""

UNKNOWN_OUTCOME = "unknown_outcome"


class Skipped(StrEnum):
    """Why a letter is not replayed. `ADVICE` says what to do about it."""

    REPLAYED = "replayed_before"
    DISCARDED = "discarded"
    UNSURE = "may_have_arrived"
    SUPERSEDED = "superseded"
    UNREAD = "not_read"
    GONE = "gone"


ADVICE = {
    Skipped.REPLAYED: "replayed before (what failed again has a letter of its own; --again replays them once more)",
    Skipped.DISCARDED: "discarded (--again replays them all the same)",
    Skipped.UNSURE: "may have arrived, and a second time would cost (--reason unknown_outcome replays them)",
    Skipped.SUPERSEDED: "superseded by a later event of the same contact (--force replays them)",
    Skipped.UNREAD: "of a destination, topic or partition that is no more",
    Skipped.GONE: "without value: it was too large for the dead letters, and is no more at the source",
}
IMPOSSIBLE = frozenset((Skipped.UNREAD, Skipped.GONE))
"""What was asked for and cannot be done."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What the operator said besides which letters: *unsure*, those that may have arrived are meant as well."""

    force: bool = False
    again: bool = False
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Addressee:
    """A destination as far as its replays need it. *topics*: those it reads, with how many partitions each has."""

    topics: Mapping[str, int]
    repeatable: bool


@dataclass(slots=True)
class Result:
    """What became of the letters that were asked for. *unseen* may be superseded by what retention has removed."""

    replayed: Counter[str] = field(default_factory=Counter)  # by topic
    skipped: Counter[Skipped] = field(default_factory=Counter)
    gone: list[str] = field(default_factory=list)  # identities
    unseen: int = 0


def refusal(letter: Letter, fate: Fate | None, addressee: Addressee | None, consent: Consent) -> Skipped | None:
    """Why a letter is not replayed, as far as that can be told without the source."""
    if addressee is None or letter.about.partition >= addressee.topics.get(letter.about.topic, 0):
        return Skipped.UNREAD
    if fate is not None and not consent.again:
        return Skipped.REPLAYED if fate.word == "replayed" else Skipped.DISCARDED
    costly = letter.about.reason == UNKNOWN_OUTCOME and not addressee.repeatable
    return Skipped.UNSURE if costly and not consent.unsure else None


def subject_of(destination: Destination, make: Make) -> Subject | None:
    """What a later event of this destination makes void.

    Where calls are repeatable, they bring the contact's newest values: an earlier event would bring back older ones.
    Where they are not, each event's call is one of its own, and void is only what is the same event written again. A
    privacy request is answered whatever comes later.
    """
    if destination.reads != "events":
        return None

    def subject(record: Record) -> Hashable | None:
        message = make(record, NOWHERE)
        if not isinstance(message, Message):
            return None
        if destination.repeatable or not isinstance(destination, Calls):
            return message.key
        return message.message_id and (message.message_id, destination.intent(message))

    return subject


class Scan:
    """One destination's letters of one partition, while the source is read from the oldest of them on.

    *undelivered* are offsets of events that make nothing void, because they never arrived themselves. *subject* None:
    only values are looked for.
    """

    def __init__(self, letters: Sequence[Letter], *, undelivered: Collection[int], subject: Subject | None) -> None:
        self.letters = {letter.about.identity: letter for letter in letters}  # with values, as far as they were found
        self.superseded: set[str] = set()
        self._undelivered = undelivered
        self._subject = subject
        self._awaited: defaultdict[Hashable, list[Letter]] = defaultdict(list)
        self._omitted: dict[int, str] = {}
        for identity, letter in self.letters.items():
            if letter.value_sha256 is None:
                self._await(letter)
            else:  # a replay has the value of its event
                self._omitted |= dict.fromkeys((letter.about.offset, letter.origin_offset), identity)

    @property
    def start(self) -> int | None:
        """Where to begin reading; None: there is nothing to look for."""
        starts = [letter.origin_offset for awaited in self._awaited.values() for letter in awaited]
        return min([*starts, *self._omitted], default=None)

    def unseen(self, begin: int) -> int:
        """Of how many letters what came next is gone, where the source begins at offset *begin*."""
        return sum(letter.origin_offset + 1 < begin for awaited in self._awaited.values() for letter in awaited)

    def hear(self, record: Record) -> None:
        """The next record of the partition."""
        if (identity := self._omitted.get(record.offset)) is not None:
            self._restore(identity, record)
        if self._subject is None or record.offset in self._undelivered:
            return
        replay = ReplayId.of(record.headers)
        origin = record.offset if replay is None else replay.offset
        for letter in self._awaited.get(self._subject(record), ()):
            if letter.origin_offset < origin:
                self.superseded.add(letter.about.identity)

    def verdict(self, identity: str) -> Skipped | None:
        """Why the letter is not replayed, once all was heard."""
        if self.letters[identity].value_sha256 is not None:
            return Skipped.GONE
        return Skipped.SUPERSEDED if identity in self.superseded else None

    def _restore(self, identity: str, record: Record) -> None:
        letter = self.letters[identity]
        if letter.value_sha256 is not None and (whole := restored(letter, record)) is not None:
            self.letters[identity] = whole
            self._await(whole)

    def _await(self, letter: Letter) -> None:
        subject = None if self._subject is None else self._subject(record_of(letter))
        if subject is not None:
            self._awaited[subject].append(letter)


def record_of(letter: Letter) -> StandIn:
    """The letter's event as the record that it was at first."""
    about = letter.about
    return StandIn(
        letter.value or b"",
        letter.written_at,
        about.topic,
        about.partition,
        letter.origin_offset,
        letter.key,
        tuple(header for header in letter.headers if ReplayId.of([header]) is None),
    )


def in_order(letters: Iterable[Letter]) -> list[Letter]:
    """As their events are in the source."""
    return sorted(letters, key=lambda each: (each.about.topic, each.about.partition, each.origin_offset))
