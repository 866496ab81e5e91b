"""Replays: what is written again, how it is marked, and what becomes of it on its second way to the vendor."""

from datetime import UTC, datetime

import orjson
import pytest

from schemas.dead_letters import DeadLetter
from schemas.replays import ADDRESSEE, REPLAY, WRITTEN_AT, Fate, ReplayId
from stream.core.records import Fields, Message, happened_at, written_at
from stream.destinations.splio_contacts.client import SplioContacts
from stream.destinations.splio_files.client import SplioFiles
from stream.kafka.atomic import Row
from stream.mapping import Mapped
from stream.messages import Messages
from stream.settings import mapping_of
from stream.topics.dead_letters import Letter
from stream.topics.replays import Fates, Numbers, hear, rows
from tests.destinations.splio_contacts.universe import settings_of
from tests.unit.partition import LogRecord, Partition
from tests.unit.test_messages import NOW, made, signed_up

NOON = datetime(2026, 6, 6, 12, tzinfo=UTC)
ID = "attio/crm.events/3/41"


def letter(offset: int = 41, *headers: tuple[str, bytes]) -> Letter:
    about = DeadLetter("attio", "crm.events", 3, offset, "rejected", "no such field", 1, NOW)
    return Letter(about, b"u-1", b"{}", list(headers), buried_at=NOW, written_at=1_780_000_000_123)


def replayed(identity: str, number: int) -> Fate:
    return Fate(word="replayed", at=NOON, replay=f"{identity}#{number}")


@pytest.mark.parametrize("text", ["attio/crm.events/3/41#1", "a/b#c/crm/0/7#12"])
def test_a_replays_id_survives_its_header(text: str) -> None:
    """Names of destinations and topics may hold what they like."""
    replay = ReplayId.of([("other", b"x"), (REPLAY, text.encode())])

    assert text == str(replay)


@pytest.mark.parametrize("value", [b"", b"#1", b"attio/crm/0/7", b"attio/crm/0/x#1", b"attio/crm/0/7#x", b"\xff#1"])
def test_what_is_no_replays_id_counts_as_none(value: bytes) -> None:
    """A producer may write any header."""
    assert ReplayId.of([(REPLAY, value)]) is None


def test_a_replay_is_the_record_with_marks() -> None:
    """Design 7: back to the original partition, for one destination, with its own key, value and headers."""
    again, note = rows(letter(41, ("trace", b"abc")), ReplayId(ID, 1), at=NOON, topic="dead.replays")

    assert ("crm.events", 3, b"u-1", b"{}") == (again.topic, again.partition, again.key, again.value)
    assert [
        ("trace", b"abc"),
        ("crmstream.destination", b"attio"),
        ("crmstream.replay", b"attio/crm.events/3/41#1"),
        ("crmstream.written_at", b"1780000000123"),
    ] == list(again.headers)
    assert Row("dead.replays", ID.encode(), note.value) == note
    assert replayed(ID, 1) == Fate.model_validate_json(note.value or b"")


def test_a_letter_of_a_replay_is_replayed_under_its_events_name() -> None:
    """One mark, with the next number: the event is the same."""
    again_buried = letter(99, (REPLAY, f"{ID}#1".encode()))
    replay = Numbers([replayed(ID, 1)]).next(again_buried)

    again, note = rows(again_buried, replay, at=NOON, topic="t")

    assert [f"{ID}#2".encode()] == [value for name, value in again.headers if name == REPLAY]
    assert b"attio/crm.events/3/99" == note.key


def test_replays_of_an_event_never_share_a_number() -> None:
    """Whichever of its letters they are for: by it a journal tells one text from another."""
    numbers = Numbers([replayed(ID, 1), replayed(ID, 3), replayed("attio/crm.events/3/7", 9)])

    assert [4, 5] == [numbers.next(letter()).number for _ in range(2)]
    assert 7 == Numbers([]).next(letter(99, (REPLAY, f"{ID}#6".encode()))).number
    assert 1 == Numbers([]).next(letter()).number


def test_the_last_word_on_a_letter_holds() -> None:
    """A tombstone takes it back; what is no fate is passed over."""
    known: Fates = {}
    discarded = Fate(word="discarded", at=NOON)
    for word in (replayed(ID, 1).model_dump_json(), "nonsense", discarded.model_dump_json()):
        hear(LogRecord(0, word.encode(), key=ID.encode()), known)

    assert {ID: "discarded"} == {identity: fate.word for identity, fate in known.items()}

    hear(LogRecord(0, None, key=ID.encode()), known)
    assert {} == known


def test_a_replayed_event_is_as_old_as_it_was() -> None:
    """One without a time of its own took place when it was first written: erasures and ages go by that."""
    value = orjson.dumps({"type": "track", "event": "Signed Up", "traits": {"email": "ada@example.com"}})

    message = made(value, (WRITTEN_AT, b"1500000000000"))

    assert isinstance(message, Message)
    assert (1_500_000_000.0, 1_500_000_000.0) == (message.event_time, message.happened_at)


@pytest.mark.parametrize("value", [b"", b"-5", b"x", b"9" * 5000, b"12 3"])
def test_an_unreadable_time_counts_as_none(value: bytes) -> None:
    """Then it is the record's own."""
    record = LogRecord(headers=((WRITTEN_AT, value),))

    assert record.timestamp == written_at(record)
    assert record.timestamp / 1000 == happened_at(2e9, record)


def test_a_replay_puts_nobody_on_a_list() -> None:
    """Who consented when the event was new may have left since (design 7, destinations 2.8); a new event still does."""
    consent = {"consent": {"canonical": {"marketing": True}}}
    value = orjson.dumps(orjson.loads(signed_up(email="ada@example.com")) | {"context": consent})

    new, again = _splio(value), _splio(value, (ADDRESSEE, b"splio"), (REPLAY, b"splio/events/0/7#1"))

    assert ([{"id": 7}], None) == (orjson.loads(new.body).get("lists"), orjson.loads(again.body).get("lists"))
    assert ("subscribed" in new.fields, "subscribed" in again.fields) == (True, False)
    assert ((), ("not_subscribed_replay",)) == (new.notes, again.notes)


def test_a_replayed_row_of_a_file_says_nothing_of_subscriptions() -> None:
    """Like the list of a contact."""
    fields: Fields = {"email": "ada@example.com", "subscriptions": "+1", "firstname": "Ada"}

    left = SplioFiles.replayed(SplioFiles.__new__(SplioFiles), Mapped(fields, ("phone_dropped",)))

    assert Mapped({"email": "ada@example.com", "firstname": "Ada"}, ("phone_dropped",)) == left


def _splio(value: bytes, *headers: tuple[str, bytes]) -> Message:
    """What a destination of type splio_contacts makes of a record."""
    settings = settings_of(default_list_id="7")
    destination = SplioContacts(settings, None)  # type: ignore[arg-type] # nothing is sent
    messages = Messages(
        "splio",
        mapping=mapping_of("splio", settings),
        destination=destination,
        dialect="datafly",
        wall=lambda: NOW,
    )
    message = messages(LogRecord(value=value, headers=headers), Partition().tracker)
    assert isinstance(message, Message)
    return message
