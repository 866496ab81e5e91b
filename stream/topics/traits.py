"""Remembered traits: what events said of a user, kept for later ones that bring only an id.

Producers send traits with `identify` and then bare tracks. Kept are only the traits that a destination maps, by userId
and by anonymousId, in its `state`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from schemas.erasures import Erasure
from schemas.events import IDENTIFIED, Event, Json
from stream.core.offsets import OffsetTracker
from stream.core.records import Record, happened_at
from stream.kafka.source import Partition
from stream.topics.erasures import Erasures, covers
from stream.topics.users import NOBODY, PREFIX, Known, Part, Store, hashed, hashed_device, read, written
from stream.transforms.definition import MISSING, present

MOST_USERS = 1_000_000  # ids of one partition; those not heard of for longest are forgotten
FULL, PARTS = "name", ("first_name", "last_name")
AT_ONCE = 1000  # entries that are looked through between two turns of the event loop
AT_HAND = 32_000  # ids, of all partitions together, whose traits are in memory
SAMPLE, STRAY = 200, 20  # events looked at for their record's key, and how many without a user's id are too many

log = structlog.get_logger()


@dataclass(slots=True)
class Recalled:
    """What is known of an event's user, under which id, and what the event says that is other than known.

    *device*: an id that is not known to be this user's; *claimed*: what it said before is the user's from now on.
    """

    part: Part
    key: str
    known: Known
    device: str | None = None
    claimed: bool = False
    news: Json = field(default_factory=dict)
    gone: Sequence[str] = ()  # known traits that the event says are no more
    whole: bool = False  # whether the event says something of each that is known

    @property
    def left(self) -> Json:
        """The known traits that still hold."""
        known = self.known.traits
        return {name: known[name] for name in known if name not in self.gone} if self.gone else known

    def fill(self, event: Event) -> Event:
        """The event with what it lacks."""
        return event if self.whole else event.filled(self.left)


class Traits:
    """The traits of one destination's users, by partition: a companion of its pipeline, after the store's own."""

    crowded = False

    def __init__(
        self,
        store: Store,
        names: Iterable[str],
        *,
        destination: str,
        erasures: Erasures | None = None,
        most_users: int = MOST_USERS,
    ) -> None:
        """*names*: the traits to keep; where there are *erasures* also the email address, which they are found by."""
        self._store = store
        self._names = tuple(sorted({*names, "email"} if erasures else set(names)))
        self._destination = destination
        self._erasures = erasures
        self._most = most_users
        self._parts: dict[Partition, Part] = {}
        self._sampled = self._stray = 0
        if erasures is not None:
            erasures.subscribe(self.erase)

    # What is remembered

    def recall(self, event: Event, record: Record) -> Recalled | None:
        """What is known of the event's user; None where it names none. Traits of a group are not a user's."""
        part = self._parts.get((record.topic, record.partition))
        if part is None or event.type == "group":
            return None
        recalled = _whose(part, event)
        if recalled is not None:
            self._compare(recalled, event)
        return recalled

    def remember(self, recalled: Recalled, event: Event, record: Record) -> None:
        """Keep what the event says of its user, and whose the device is."""
        part, key, known, device = recalled.part, recalled.key, recalled.known, recalled.device
        if self._sampled < SAMPLE:
            self._sample(event, record)
        if recalled.news or recalled.gone or recalled.claimed:
            traits = recalled.left | recalled.news
            happened = happened_at(event.timestamp, record)
            since = min(known.since, happened) if known.traits else happened
            known = Known(traits, since, None, self._person(traits) or known.person)
            part.keep(key, known, record.offset)
        if device and known.traits and (recalled.news or event.event == IDENTIFIED or part.owner(device) is None):
            part.keep_owner(device, key, known.since, record.offset)

    def erase(self, person: str, erasure: Erasure) -> None:
        """Forget the person's traits, as far as the erasure covers them."""
        for place, key in self._store.tagged(person.encode()):
            known = read(self._store.get(place, key))
            if known.traits and covers(erasure, known.since):
                self._store.amend(place, key, written(replace(known, traits={})))
                if part := self._parts.get(place):
                    part.look_again()

    # With the pipeline

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        """Take these partitions on; the store has read what is known of them."""
        places = [(tracker.topic, tracker.partition) for tracker in trackers]
        if self._erasures is not None:
            for place in places:
                await self._identify(place)
        self.take_on(places)

    async def _identify(self, place: Partition) -> None:
        """Let those be found by an erasure who were remembered when none could be heard of."""
        for number, key in enumerate(self._store.untagged(place, PREFIX), 1):
            known = read(self._store.get(place, key))
            if (person := self._person(known.traits)) is not None:
                self._store.amend(place, key, written(replace(known, person=person)), tag=person.encode())
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def take_on(self, places: Sequence[Partition]) -> None:
        """The same, in a step."""
        self._parts = {place: Part(place, self._store, AT_HAND // len(places)) for place in places}
        for person, erasure in self._erasures.known.items() if self._erasures else ():
            self.erase(person, erasure)

    async def flush(self) -> None:
        """Make room; writing is the store's."""
        for place, part in self._parts.items():
            if part.count > self._most:
                oldest = self._store.oldest(place, PREFIX, part.count - self._most + self._most // 20)
                for key in oldest:
                    self._store.drop(place, key)
                part.count -= len(oldest)
                part.look_again()
                log.info("users_forgotten", destination=self._destination, partition=place[1], users=len(oldest))

    async def revoked(self) -> None:
        """Give the partitions up."""
        self._parts = {}

    def _compare(self, recalled: Recalled, event: Event) -> None:
        """Note which of the event's traits are other than known, and which known ones it ends."""
        own, known, news, told = event.traits, recalled.known.traits, recalled.news, 0
        inner = event.context.get("traits")
        for name in self._names:
            value, before = own.get(name), known.get(name)
            text = type(value) is str
            if text and value == before:  # most of them; none that is known is blank
                told += 1
                continue
            if text and value and not value.isspace():
                told += before is not None
            else:
                if value is None or (value := present(value)) is MISSING:
                    value = present(inner.get(name)) if type(inner) is dict else MISSING
                if value is MISSING or value == before:
                    continue
            news[name] = value
        recalled.whole = told == len(known)
        if news and known:
            recalled.gone = outdated(event, news, known)
        if event.event == IDENTIFIED and None in own.values():
            recalled.gone = (
                *recalled.gone,
                *(name for name in known if name in own and name not in news and own[name] is None),
            )

    def _person(self, traits: Json) -> str | None:
        email = traits.get("email")
        return self._erasures.person(email) if self._erasures and type(email) is str else None

    def _sample(self, event: Event, record: Record) -> None:
        """Say it where records are not keyed by their user: then the next event may be in another partition."""
        ids = [each.encode() for each in (event.user_id, event.anonymous_id) if each]
        if not ids:
            return
        self._sampled += 1
        self._stray += record.key not in ids
        if self._sampled == SAMPLE and self._stray >= STRAY:
            log.warning(
                "records_not_keyed_by_user",
                destination=self._destination,
                stray=self._stray,
                sampled=self._sampled,
                hint="remembered traits are found only in the partition of the user's earlier events:"
                " let the producer key records by userId, else anonymousId",
            )


def _whose(part: Part, event: Event) -> Recalled | None:
    """The user of an event, else its device. A device of somebody else tells nothing of the user."""
    user, device = event.user_id, event.anonymous_id
    owner = part.owner(device) if device else None
    if not user:
        return Recalled(part, key := owner or hashed_device(device), part.known(key)) if device else None
    key = hashed("user " + user)
    known = part.known(key)
    if not device or owner == key:
        return Recalled(part, key, known)
    found = NOBODY if owner else part.known(hashed_device(device))
    claimed = found.user is None and bool(found.traits)
    if claimed:
        known = Known(found.traits | known.traits, min(found.since, known.since), None, known.person or found.person)
    return Recalled(part, key, known, device, claimed)


def outdated(event: Event, news: Json, known: Json) -> Sequence[str]:
    """The known names that the event's new ones contradict: a full name and its parts are one thing said twice."""
    if FULL in known and not news.keys().isdisjoint(PARTS) and not _brings(event, FULL):
        return () if _joined(known | news) == known[FULL] else (FULL,)
    if FULL in news and not known.keys().isdisjoint(PARTS) and not any(_brings(event, part) for part in PARTS):
        return () if _joined(known) == news[FULL] else [part for part in PARTS if part in known]
    return ()


def _joined(traits: Json) -> str:
    return " ".join(str(traits[part]).strip() for part in PARTS if part in traits)


def _brings(event: Event, name: str) -> bool:
    inner = event.context.get("traits")
    return present(event.traits.get(name)) is not MISSING or (
        type(inner) is dict and present(inner.get(name)) is not MISSING
    )
