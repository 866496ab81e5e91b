"""Erasures: what happened before one is never delivered, nothing is until it is lifted, and traits go with it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from schemas.erasures import Erasure, person
from schemas.events import Event
from schemas.replays import REPLAY
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered
from stream.core.records import Message
from stream.gates import gate
from stream.kafka.producer import NotAcknowledged
from stream.kafka.source import CommitFailed
from stream.mapping import compile_mapping, read_preset
from stream.messages import Messages
from stream.topics.erasures import Erasures
from stream.topics.traits import Traits
from stream.topics.users import InMemory
from tests.unit.partition import LogRecord
from tests.unit.test_messages import Vendor

KEY = b"a long secret"
EMAIL = "ada@example.com"
NOON = datetime(2026, 6, 6, 12, tzinfo=UTC)
PLACE = "events", 0
PRESET = read_preset(
    {
        "events": ["Identified", "Signed Up"],
        "identity": ["email"],
        "fields": {"email": "traits.email ?? properties.customer", "first_name": "traits.first_name"},
    },
    place="preset",
)


class Topic:
    """The topic of erasures, as a producer sees it; *refuses* lets no record in."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.refuses = False

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None) -> int:
        if self.refuses:
            raise NotAcknowledged("no")
        self.records.append(LogRecord(len(self.records), value, key=key))
        return len(self.records) - 1

    @property
    def said(self) -> list[dict[str, Any]]:
        """The values, in their order."""
        return [orjson.loads(record.value or b"null") for record in self.records]


class Process:
    """One process with one destination. Hours are those of the day of the erasure."""

    def __init__(self, *, lift_on_consent: bool = True, remembers: bool = True) -> None:
        self.topic = Topic()
        self.erasures = Erasures(self.topic, topic="erasures", key=KEY, lift_on_consent=lift_on_consent)
        self.store = InMemory()
        mapping = compile_mapping(PRESET)
        self.traits = Traits(self.store, mapping.traits, destination="crm", erasures=self.erasures)
        self.take_on()
        self.messages = Messages(
            "crm",
            mapping=mapping,
            destination=Vendor(),
            dialect="datafly",
            wall=NOON.timestamp,
            traits=self.traits if remembers else None,
            erasures=self.erasures,
        )
        self._next = 0

    def take_on(self) -> None:
        """Partition 0, as it is in the store."""
        self.traits.take_on([PLACE])

    def take_over(self, other: "Process") -> None:
        """Partition 0, as the other one left it."""
        self.store._entries.update(other.store._entries)
        self.take_on()

    def hears(self, *erasures: Erasure, email: str = EMAIL) -> None:
        """Records of the topic of erasures about one person."""
        for erasure in erasures:
            self.erasures.hear(LogRecord(0, erasure.model_dump_json().encode(), key=person(KEY, email).encode()))

    def sees(
        self,
        kind: str = "track",
        *,
        hour: int,
        kafka_hour: int = 23,
        headers: Iterable[tuple[str, bytes]] = (),
        **parts: Any,
    ) -> str | Message:
        """A record of the source: the message made of it, or the reason why there is none."""
        named = {"event": "Signed Up"} if kind == "track" else {}
        value = orjson.dumps({"type": kind, "timestamp": at(hour).isoformat(), **named, **parts})
        record = LogRecord(self._next, value, tuple(headers), int(at(kafka_hour).timestamp() * 1000))
        self._next += 1
        made = self.messages(record, OffsetTracker(*PLACE, 0))
        assert isinstance(made, Message | Filtered)
        return made if isinstance(made, Message) else made.reason


def at(hour: int) -> datetime:
    return NOON.replace(hour=hour)


def erased(hour: int, lifted: int | None = None) -> Erasure:
    return Erasure(erased_at=at(hour), lifted_at=None if lifted is None else at(lifted))


ADA = {"email": EMAIL, "first_name": "Ada"}
CONSENT = {"consent": {"canonical": {"marketing": True}}}


def test_events_of_an_erased_person_are_filtered() -> None:
    """Earlier and later ones alike, however the address is spelt; nobody else's."""
    process = Process()
    process.hears(erased(12))

    assert "erased" == process.sees(hour=11, traits=ADA)
    assert "erased" == process.sees(hour=13, traits={"email": " ADA@Example.com"})
    assert "erased" == process.sees(hour=13, context={"traits": ADA})
    assert isinstance(process.sees(hour=13, traits={"email": "bob@example.com"}), Message)


def test_a_lifted_erasure_still_covers_what_happened_before_it() -> None:
    """A replay, or a queue that was long, brings nothing back."""
    process = Process()
    process.hears(erased(12, lifted=14))

    assert "erased" == process.sees(hour=12, traits=ADA)
    assert isinstance(process.sees(hour=13, traits=ADA), Message)


def test_the_earlier_of_event_time_and_kafka_time_counts() -> None:
    """A producer's clock that is ahead saves no event from the erasure."""
    process = Process()
    process.hears(erased(12, lifted=14))

    assert "erased" == process.sees(hour=13, kafka_hour=11, traits=ADA)


def test_a_replayed_event_is_filtered_as_well() -> None:
    """Its record is new, the event is not."""
    process = Process()
    process.hears(erased(12, lifted=14))

    assert "erased" == process.sees(hour=11, headers=[(REPLAY, b"crm/events/0/1#1")], traits=ADA)


def test_a_bare_track_of_an_erased_person_is_known_by_its_user() -> None:
    """By the remembered address before the erasure is heard, by the mark that is left after it."""
    process = Process()
    process.sees("identify", hour=10, userId="u-1", traits=ADA)

    process.hears(erased(12))

    assert "erased" == process.sees(hour=13, userId="u-1")
    process.take_on()
    assert "erased" == process.sees(hour=13, userId="u-1")


def test_the_address_that_a_mapping_finds_elsewhere_counts_too() -> None:
    """What the destination would be sent is the person's, whichever part of the event held it."""
    process = Process()
    process.hears(erased(12))

    assert "erased" == process.sees(hour=11, properties={"customer": EMAIL})


def test_without_remembered_traits_an_event_speaks_for_itself() -> None:
    """`source.remember_traits: false` does not switch erasures off."""
    process = Process(remembers=False)
    process.hears(erased(12))

    assert "erased" == process.sees(hour=11, userId="u-1", traits=ADA)
    assert "no_identity" == process.sees(hour=11, userId="u-1")


# What is remembered


def test_remembered_traits_go_with_the_erasure() -> None:
    """Nothing of the person is left in the store."""
    process = Process()
    process.sees("identify", hour=10, userId="u-1", anonymousId="phone", traits=ADA)

    process.hears(erased(12))

    assert not [value for value in values(process.store) if b"Ada" in value or b"ada@" in value]


def test_a_member_that_takes_the_partition_over_erases_what_it_finds() -> None:
    """Nobody may have had the partition when the erasure was heard."""
    before = Process()
    before.sees("identify", hour=10, userId="u-1", traits=ADA)

    after = Process()
    after.hears(erased(12))
    after.take_over(before)

    assert not [value for value in values(after.store) if b"ada@" in value]


async def test_who_was_remembered_before_there_were_erasures_is_found_too() -> None:
    """The `privacy` block was added later: nothing said then whose traits they were."""
    process = Process()
    before = Traits(process.store, {"email"}, destination="crm")
    before.take_on([PLACE])
    record = LogRecord(0, timestamp=int(at(10).timestamp() * 1000))
    event = Event("identify", "Identified", "u-1", timestamp=at(10).timestamp(), traits=ADA)
    recalled = before.recall(event, record)
    assert recalled is not None
    before.remember(recalled, event, record)

    await process.traits.assigned([OffsetTracker(*PLACE, 0)])
    process.hears(erased(12))

    assert not [value for value in values(process.store) if b"ada@" in value]


def test_what_an_erased_person_does_is_not_remembered() -> None:
    """An event that is filtered leaves no trace."""
    process = Process()
    process.hears(erased(12))

    process.sees(hour=13, userId="u-1", traits=ADA)

    assert [] == values(process.store)


def test_traits_of_after_a_lifted_erasure_stay() -> None:
    """A process that starts reads the erasure again: it is over for them."""
    process = Process()
    process.hears(erased(12, lifted=14))
    process.sees("identify", hour=15, userId="u-1", traits=ADA)

    process.take_on()

    message = process.sees(hour=16, userId="u-1")
    assert isinstance(message, Message)
    assert {"email": EMAIL, "first_name": "Ada"} == message.fields


def test_traits_of_before_a_lifted_erasure_do_not_come_back() -> None:
    """Even where nobody had the partition between erasure and consent."""
    before = Process()
    before.sees("identify", hour=10, userId="u-1", traits={**ADA, "first_name": "Old"})

    after = Process()
    after.hears(erased(12, lifted=14))
    after.take_over(before)
    message = after.sees(hour=15, userId="u-1", traits={"email": EMAIL})

    assert isinstance(message, Message)
    assert {"email": EMAIL} == message.fields


# Consent lifts


async def test_a_later_identify_with_consent_lifts_the_erasure() -> None:
    """It is delivered itself, and the topic hears of it before a commit."""
    process = Process()
    process.hears(erased(12))

    assert isinstance(process.sees("identify", hour=14, traits=ADA, context=CONSENT), Message)
    assert isinstance(process.sees(hour=15, traits=ADA), Message)
    await process.erasures.flush()
    assert [{"erased_at": "2026-06-06T12:00:00Z", "lifted_at": "2026-06-06T14:00:00Z"}] == process.topic.said
    await process.erasures.flush()
    assert 1 == len(process.topic.records)


@pytest.mark.parametrize(
    "kind, parts",
    [
        ("identify", {"hour": 14}),
        ("identify", {"hour": 14, "context": {"consent": {"canonical": {"marketing": "true"}}}}),
        ("identify", {"hour": 11, "context": CONSENT}),
        ("identify", {"hour": 14, "kafka_hour": 11, "context": CONSENT}),
        ("track", {"hour": 14, "context": CONSENT}),
    ],
)
def test_nothing_else_lifts_it(kind: str, parts: dict[str, Any]) -> None:
    """Neither an identify without consent, nor one of before the erasure, nor a track."""
    process = Process()
    process.hears(erased(12))

    assert "erased" == process.sees(kind, traits=ADA, **parts)
    assert "erased" == process.sees(hour=15, traits=ADA)


def test_lifting_can_be_switched_off() -> None:
    """`privacy.lift_on_consent: false`."""
    process = Process(lift_on_consent=False)
    process.hears(erased(12))

    assert "erased" == process.sees("identify", hour=14, traits=ADA, context=CONSENT)


async def test_a_lift_that_cannot_be_written_holds_the_commit() -> None:
    """It is tried again: other processes must hear of it."""
    process = Process()
    process.hears(erased(12))
    process.sees("identify", hour=14, traits=ADA, context=CONSENT)
    process.topic.refuses = True

    with pytest.raises(CommitFailed, match="a lifted erasure cannot be written"):
        await process.erasures.flush()

    process.topic.refuses = False
    await process.erasures.flush()
    assert ["2026-06-06T14:00:00Z"] == [said["lifted_at"] for said in process.topic.said]


# The topic


async def test_the_newest_erasure_holds_whichever_was_written_last() -> None:
    """A lift of the one before may be written after it; then the topic is told again."""
    process = Process()
    process.hears(erased(15), erased(12, lifted=14))

    assert "erased" == process.sees(hour=16, traits=ADA)
    await process.erasures.flush()
    assert [{"erased_at": "2026-06-06T15:00:00Z", "lifted_at": None}] == process.topic.said


def test_a_second_erasure_ends_a_lift() -> None:
    """The person asked again."""
    process = Process()
    process.hears(erased(12, lifted=14), erased(15))

    assert "erased" == process.sees(hour=16, traits=ADA)


def test_an_erasure_that_is_read_again_does_not_undo_its_lift() -> None:
    """A request may be copied twice."""
    process = Process()
    process.hears(erased(12), erased(12, lifted=14), erased(12))

    assert isinstance(process.sees(hour=15, traits=ADA), Message)


def test_a_tombstone_ends_an_erasure() -> None:
    """An operator's way out."""
    process = Process()
    process.hears(erased(12))

    process.erasures.hear(LogRecord(1, None, key=person(KEY, EMAIL).encode()))

    assert isinstance(process.sees(hour=11, traits=ADA), Message)


def test_what_is_no_erasure_is_passed_over() -> None:
    """A stray record must not stop a pipeline."""
    process = Process()

    process.erasures.hear(LogRecord(0, b"hello", key=b"x"))

    assert "<erasures of 0 persons>" == repr(process.erasures)


# At the call


def test_a_message_that_waits_is_judged_again_at_the_call() -> None:
    """The erasure was heard after it was read."""
    process = Process()
    message = process.sees(hour=11, traits=ADA)
    assert isinstance(message, Message)
    judge = gate(None, Vendor(), process.erasures)
    assert judge is not None
    assert judge(message) is None

    process.hears(erased(12))

    assert "erased" == judge(message)


def test_a_merged_message_is_judged_by_each_of_its_parts() -> None:
    """A part of before the erasure would leave with one of after it."""
    process = Process()
    old, new = process.sees(hour=11, traits=ADA), process.sees(hour=15, traits=ADA)
    assert isinstance(old, Message)
    assert isinstance(new, Message)
    new.parts = (old, new)
    judge = gate(None, Vendor(), process.erasures)
    assert judge is not None

    process.hears(erased(12, lifted=14))

    assert "erased" == judge(new)
    new.parts = ()
    assert judge(new) is None


def values(store: InMemory) -> list[bytes]:
    """Everything that is kept."""
    return [store.get(PLACE, key) or b"" for key in store.oldest(PLACE, b"", 100)]
