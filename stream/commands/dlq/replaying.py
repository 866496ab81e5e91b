"""Replays and discards letters: reads what is known of them, and writes. What is replayed is decided in `plan`."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from schemas.replays import Fate
from stream.commands.dlq.plan import (
    UNKNOWN_OUTCOME,
    Addressee,
    Consent,
    Place,
    Result,
    Scan,
    Skipped,
    in_order,
    refusal,
)
from stream.commands.dlq.scanning import read, subjects
from stream.commands.dlq.wanted import Wanted
from stream.destinations import REGISTRY
from stream.errors import UserError
from stream.kafka.admin import Admin
from stream.kafka.atomic import Atomic, Row
from stream.kafka.producer import NotAcknowledged, TooLarge
from stream.settings import Settings, topics_read
from stream.topics import names
from stream.topics.dead_letters import Letter, letters
from stream.topics.replays import Fates, Numbers, fates, note, rows

AT_ONCE = 100  # letters in one transaction
MOST_BYTES = 512 * 1024  # of the values in it; a larger one has a transaction of its own


async def replay(settings: Settings, wanted: Wanted, consent: Consent, *, dry_run: bool) -> Result:
    """Write the wanted letters back to where they came from, but those that `plan` refuses; what became of them.

    Raises UserError where it cannot go on: running it again repeats nothing.
    """
    topic = names.replays(settings.dead_letters.topic)
    async with AsyncExitStack() as stack:
        # Before anything is read: nobody else adds to what is known while we write by it.
        writer = None if dry_run else await stack.enter_async_context(_writing(settings))
        known = await fates(settings.kafka, topic)
        addressees = await _addressees(settings)
        planning = Planning(settings, addressees, known, replace(consent, unsure=wanted.reason == UNKNOWN_OUTCOME))
        async with aclosing(letters(settings.kafka, settings.dead_letters.topic)) as found:
            async for letter in found:
                planning.consider(letter, wanted=wanted.fits(letter))
        chosen = await planning.chosen()
        if writer is not None:
            numbers = Numbers(known.values())
            for group in _groups(chosen):
                at = datetime.now(UTC)
                both = [row for letter in group for row in rows(letter, numbers.next(letter), at=at, topic=topic)]
                await _write(writer, both, group)
        planning.result.replayed = Counter(letter.about.topic for letter in chosen)
        return planning.result


async def discard(settings: Settings, wanted: Wanted, because: str, *, dry_run: bool) -> int:
    """Note that the wanted letters are given up; how many it were that had not been. Raises like `replay`."""
    topic = names.replays(settings.dead_letters.topic)
    async with AsyncExitStack() as stack:
        writer = None if dry_run else await stack.enter_async_context(_writing(settings))
        known = await fates(settings.kafka, topic)
        async with aclosing(letters(settings.kafka, settings.dead_letters.topic)) as found:
            kept = [each async for each in found if not is_discarded(known.get(each.about.identity))]
        chosen = [letter for letter in kept if wanted.fits(letter)]
        if writer is not None:
            for group in _groups(chosen):
                fate = Fate(word="discarded", at=datetime.now(UTC), because=because)
                await _write(writer, [note(letter, fate, topic=topic) for letter in group], group)
        return len(chosen)


def is_discarded(fate: Fate | None) -> bool:
    """Whether a letter with this fate was given up."""
    return fate is not None and fate.word == "discarded"


class Planning:
    """Finds out which letters are replayed, one by one and then by what the source holds."""

    def __init__(self, settings: Settings, addressees: Mapping[str, Addressee], known: Fates, consent: Consent) -> None:
        self.result = Result()
        self._settings = settings
        self._addressees = addressees
        self._known = known
        self._consent = consent
        self._candidates: defaultdict[Place, list[Letter]] = defaultdict(list)
        self._undelivered: defaultdict[Place, set[int]] = defaultdict(set)

    def consider(self, letter: Letter, *, wanted: bool) -> None:
        """Take in a letter: one that is wanted, or one that only tells what never arrived."""
        about, fate = letter.about, self._known.get(letter.about.identity)
        place = about.destination, about.topic, about.partition
        addressee = self._addressees.get(about.destination)
        if addressee is None or addressee.repeatable or is_discarded(fate):
            self._undelivered[place].add(about.offset)
        if not wanted:
            return
        if (skipped := refusal(letter, fate, addressee, self._consent)) is None:
            self._candidates[place].append(letter)
        else:
            self.result.skipped[skipped] += 1

    async def chosen(self) -> list[Letter]:
        """Those to replay, whole, in the order of their events."""
        found: list[Letter] = []
        for name in sorted({place[0] for place in self._candidates}):
            places = [place for place in self._candidates if place[0] == name]
            async with subjects(self._settings, name, places, judged=not self._consent.force) as subject:
                scans = {
                    place: Scan(self._candidates[place], undelivered=self._undelivered[place], subject=subject)
                    for place in places
                }
                self.result.unseen += await read(self._settings.kafka, scans)
            for scan in scans.values():
                found += self._passed(scan)
        return in_order(found)

    def _passed(self, scan: Scan) -> Iterator[Letter]:
        for identity, letter in scan.letters.items():
            if (skipped := scan.verdict(identity)) is None:
                yield letter
                continue
            self.result.skipped[skipped] += 1
            if skipped is Skipped.GONE:
                self.result.gone.append(identity)


async def _addressees(settings: Settings) -> dict[str, Addressee]:
    """The file's destinations. Raises UserError where a topic is missing that one reads."""
    async with Admin(settings.kafka) as admin:
        read = {topic for own in settings.destinations.values() for topic in topics_read(settings, own)}
        counts = await admin.partitions(sorted(read))
    return {
        name: Addressee(
            {topic: counts[topic] for topic in topics_read(settings, own)}, REGISTRY[own.type].calls.repeatable
        )
        for name, own in settings.destinations.items()
    }


@asynccontextmanager
async def _writing(settings: Settings) -> AsyncIterator[Atomic]:
    """The one writer of replays and of what is noted of them; their topic is made where it is missing."""
    topic = names.replays(settings.dead_letters.topic)
    async with Admin(settings.kafka) as admin:
        await admin.partitions([settings.dead_letters.topic])  # where it is missing, so is everything
        await admin.ensure(topic, partitions=1, compacted=True, create=settings.kafka.create_topics)
    async with Atomic(settings.kafka, topic) as writer:
        yield writer


def _groups(found: Sequence[Letter]) -> Iterator[list[Letter]]:
    """The letters in their order, as many together as fit a transaction."""
    group: list[Letter] = []
    size = 0
    for letter in found:
        length = len(letter.value or b"")
        if group and (len(group) == AT_ONCE or size + length > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(letter)
        size += length
    if group:
        yield group


async def _write(writer: Atomic, together: Sequence[Row], group: Sequence[Letter]) -> None:
    """Write the rows of a group of letters. Raises UserError."""
    try:
        await writer.write(together)
    except TooLarge as error:
        first, last = group[0].about, group[-1].about
        raise UserError(
            f"{first.topic} does not take a letter between {first.identity} and {last.identity}: it is too large",
            "a replay is some 200 bytes longer than its event: raise the topic's max.message.bytes, or discard it",
        ) from error
    except NotAcknowledged as error:
        text = f"the broker did not confirm what was written: {error}"
        raise UserError(text, "run it again: what was done is remembered, and nothing is repeated") from error
