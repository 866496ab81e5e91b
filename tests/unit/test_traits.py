"""Remembered traits: an id alone is enough for a later event, and nobody gets what is somebody else's."""

import tracemalloc
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schemas.events import Event
from stream.decoding import decode
from stream.topics import users
from stream.topics.traits import SAMPLE, Traits
from stream.topics.users import PREFIX, InMemory
from tests.unit.partition import LogRecord

PLACE = "events", 0
NAMES = {"email", "first_name", "last_name", "name", "phone", "address"}


class Memory:
    """What one destination remembers of partition 0; events come one after the other."""

    def __init__(self, store: InMemory | None = None, **options: Any) -> None:
        self.store = store or InMemory()
        self.traits = Traits(self.store, NAMES, destination="crm", **options)
        self.traits.take_on([PLACE])
        self._next = 0

    def hear(self, kind: str = "track", *, at: int | None = None, key: bytes | None = None, **parts: Any) -> Event:
        """The event as the destination sees it, after it was heard; *at*: its offset, the next one by default."""
        offset = self._next if at is None else at
        self._next = offset + 1
        named = {"event": "Signed Up"} if kind == "track" else {}
        value = orjson.dumps({"type": kind, "timestamp": "2026-06-06T10:30:00Z", **named, **parts})
        record = LogRecord(offset, value, key=key)
        event = decode(value, record.timestamp, record.timestamp / 1000)
        assert isinstance(event, Event)
        recalled = self.traits.recall(event, record)
        if recalled is None:
            return event
        filled = recalled.fill(event)
        self.traits.remember(recalled, filled, record)
        return filled

    def identify(self, traits: Mapping[str, object], **parts: Any) -> Event:
        """An identify call that brings these traits."""
        return self.hear("identify", traits=traits, **parts)


ADA = {"email": "ada@example.com", "first_name": "Ada"}
BOB = {"email": "bob@example.com", "first_name": "Bob"}


def test_a_bare_track_has_the_traits_of_the_identify_before_it() -> None:
    """The seeds' sample (000, 003): identify with traits, then track with a name alone."""
    memory = Memory()
    memory.identify(ADA, userId="u-123")

    assert ADA == memory.hear(userId="u-123").remembered


def test_only_traits_that_the_destination_maps_are_kept() -> None:
    """What is not needed is not stored."""
    memory = Memory()
    memory.identify({**ADA, "shoe_size": 39}, userId="u-123")

    assert ADA == memory.hear(userId="u-123").remembered


@pytest.mark.parametrize(
    "parts",
    [{"traits": ADA}, {"context": {"traits": ADA}}, {"traits": {"first_name": " "}, "context": {"traits": ADA}}],
)
def test_any_event_that_carries_traits_is_heard(parts: dict[str, Any]) -> None:
    """In its own traits or in its context's; a blank one says nothing."""
    memory = Memory()
    memory.hear(userId="u-123", **parts)

    assert ADA == memory.hear(userId="u-123").remembered


def test_a_page_view_with_traits_in_its_context_is_heard() -> None:
    """Also where no destination takes page views."""
    memory = Memory()
    memory.hear("page", userId="u-123", context={"traits": ADA})

    assert ADA == memory.hear(userId="u-123").remembered


def test_the_traits_of_a_group_are_not_a_users() -> None:
    """A company's email address is not its employee's."""
    memory = Memory()
    memory.hear("group", userId="u-123", traits={"email": "office@example.com"})

    assert {} == memory.hear(userId="u-123").remembered


def test_newer_traits_replace_and_add_to_older_ones() -> None:
    """Trait by trait; one that is not mentioned stays."""
    memory = Memory()
    memory.identify(ADA, userId="u-123")
    memory.identify({"first_name": "Augusta", "phone": "+15558675309"}, userId="u-123")

    assert {**ADA, "first_name": "Augusta", "phone": "+15558675309"} == memory.hear(userId="u-123").remembered


@pytest.mark.parametrize("blank", ["", "  ", [], {}])
def test_a_blank_trait_changes_nothing(blank: object) -> None:
    """It counts as missing, as everywhere."""
    memory = Memory()
    memory.identify(ADA, userId="u-123")
    memory.identify({"first_name": blank}, userId="u-123")

    assert ADA == memory.hear(userId="u-123").remembered


def test_an_identify_with_null_forgets_the_trait() -> None:
    """A phone number that somebody removed must not be sent again."""
    memory = Memory()
    memory.identify(ADA, userId="u-123")
    memory.hear(userId="u-123", traits={"first_name": None})
    assert ADA == memory.hear(userId="u-123").remembered

    assert {"email": "ada@example.com"} == memory.identify({"first_name": None}, userId="u-123").remembered
    assert {"email": "ada@example.com"} == memory.hear(userId="u-123").remembered


@pytest.mark.parametrize(
    "before, now, whole",
    [
        (
            {"first_name": "Ada", "name": "Ada Byron"},
            {"last_name": "Lovelace"},
            {"first_name": "Ada", "last_name": "Lovelace"},
        ),
        ({"first_name": "Ada", "last_name": "Byron"}, {"name": "Ada Lovelace"}, {"name": "Ada Lovelace"}),
        (
            {"first_name": "Ada", "name": "Ada Lovelace"},
            {"last_name": "Lovelace"},
            {"first_name": "Ada", "last_name": "Lovelace", "name": "Ada Lovelace"},
        ),
        (
            {"first_name": "Ada", "last_name": "Byron"},
            {"name": "Ada Byron"},
            {"first_name": "Ada", "last_name": "Byron", "name": "Ada Byron"},
        ),
        (
            {"first_name": "Ada", "last_name": "Byron"},
            {"last_name": "King"},
            {"first_name": "Ada", "last_name": "King"},
        ),
    ],
)
def test_a_new_name_does_not_mix_with_an_old_one(
    before: dict[str, str], now: dict[str, str], whole: dict[str, str]
) -> None:
    """A full name and its parts are one thing said twice: what the new ones contradict is outdated, the rest stays."""
    memory = Memory()
    memory.identify(before, userId="u-123")

    event = memory.hear(userId="u-123", traits=now)

    assert whole == event.remembered | event.traits
    assert whole == memory.hear(userId="u-123").remembered


def test_an_event_with_all_traits_is_left_as_it_is() -> None:
    """There is nothing to fill."""
    memory = Memory()
    memory.identify(ADA, userId="u-123")

    assert {} == memory.hear(userId="u-123", traits=ADA).remembered


def test_one_user_has_nothing_of_another() -> None:
    """Nor has an event without any id."""
    memory = Memory()
    memory.identify(ADA, userId="u-ada")

    assert {} == memory.hear(userId="u-bob").remembered
    assert {} == memory.hear().remembered


def test_an_id_of_a_user_is_not_that_of_a_device() -> None:
    """Even where they are spelt alike."""
    memory = Memory()
    memory.identify(ADA, userId="1")

    assert {} == memory.hear(anonymousId="1").remembered


# Devices


def test_a_device_is_known_by_the_user_who_identified_on_it() -> None:
    """Also by what the user says later, elsewhere."""
    memory = Memory()
    memory.identify(ADA, userId="u-123", anonymousId="phone")
    memory.identify({"phone": "+15558675309"}, userId="u-123", anonymousId="laptop")

    assert {**ADA, "phone": "+15558675309"} == memory.hear(anonymousId="phone").remembered


def test_an_identify_without_user_id_is_remembered_by_the_device() -> None:
    """As one of the seeds calls it (destinations 1.2)."""
    memory = Memory()
    memory.identify(ADA, anonymousId="phone")

    assert ADA == memory.hear(anonymousId="phone").remembered


def test_a_user_takes_over_what_the_device_said_before() -> None:
    """When the userId becomes known, both are one; the user's own words win."""
    memory = Memory()
    memory.identify({"email": "old@example.com", "phone": "+15558675309"}, anonymousId="phone")
    memory.identify(ADA, userId="u-123", anonymousId="phone")

    assert {**ADA, "phone": "+15558675309"} == memory.hear(userId="u-123").remembered
    assert {**ADA, "phone": "+15558675309"} == memory.hear(anonymousId="phone").remembered


def test_a_bare_track_with_both_ids_makes_them_one() -> None:
    """The identify had only the device's; the next event with the userId alone knows it too."""
    memory = Memory()
    memory.identify(ADA, anonymousId="phone")

    assert ADA == memory.hear(userId="u-123", anonymousId="phone").remembered
    assert ADA == memory.hear(userId="u-123").remembered


def test_a_shared_device_gives_nobody_the_traits_of_another() -> None:
    """Bob's events on Ada's device are Bob's; without a userId they are those of who identified last."""
    memory = Memory()
    memory.identify(ADA, userId="u-ada", anonymousId="tablet")

    assert {} == memory.hear(userId="u-bob", anonymousId="tablet").remembered
    memory.identify({"email": "bob@example.com"}, userId="u-bob", anonymousId="tablet")
    assert {"email": "bob@example.com"} == memory.hear(userId="u-bob", anonymousId="tablet").remembered
    assert {"email": "bob@example.com"} == memory.hear(anonymousId="tablet").remembered
    assert ADA == memory.hear(userId="u-ada").remembered


# The store


def test_what_is_known_is_found_again_by_the_next_owner() -> None:
    """All of it is in the store, not only in memory."""
    before = Memory()
    before.identify(ADA, userId="u-123", anonymousId="phone")

    after = Memory(before.store)

    assert ADA == after.hear(at=10, userId="u-123").remembered
    assert ADA == after.hear(anonymousId="phone").remembered


def test_a_record_that_is_read_again_changes_nothing() -> None:
    """After a crash the same records come once more; what a later one said stays."""
    memory = Memory()
    memory.identify(ADA, userId="u-123", at=5)
    memory.identify({"first_name": "Augusta"}, userId="u-123", at=7)

    again = Memory(memory.store)
    again.identify(ADA, userId="u-123", at=5)

    assert "Augusta" == again.hear(at=8, userId="u-123").remembered["first_name"]


def test_nothing_is_written_where_nothing_is_new() -> None:
    """Most events say what is known already."""
    memory = Memory()
    memory.identify(ADA, userId="u-123", anonymousId="phone", at=1)
    before = memory.store.oldest(PLACE, PREFIX, 10)

    memory.hear(at=9, userId="u-123", anonymousId="phone", traits=ADA)
    memory.store.put(PLACE, PREFIX + b"later", b"{}", 5)

    assert [*before, PREFIX + b"later"] == memory.store.oldest(PLACE, PREFIX, 10)


async def test_users_not_heard_of_for_longest_are_forgotten() -> None:
    """The store has a bound."""
    memory = Memory(most_users=20)
    for number in range(30):
        memory.identify({"email": f"{number}@example.com"}, userId=f"u-{number}")

    await memory.traits.flush()

    assert 19 == memory.store.count(PLACE, PREFIX)  # a twentieth more, so that it is not at once full again
    assert {} == memory.hear(userId="u-10").remembered
    assert {"email": "29@example.com"} == memory.hear(userId="u-29").remembered


def test_the_longest_traits_are_not_kept_where_they_are_too_long() -> None:
    """A user has a bound as well; the rest is remembered."""
    memory = Memory()
    memory.identify({**ADA, "address": {"street": "x" * users.MOST_BYTES}}, userId="u-123")

    assert ADA == memory.hear(userId="u-123").remembered


def test_what_is_kept_takes_little_more_memory_than_its_bytes() -> None:
    """A JSON library may hand out bytes that hold on to a buffer of several KB."""
    known = users.Known(dict(ADA), since=1.0)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    kept = [users.written(known) for _ in range(100)]

    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < sum(len(value) + 200 for value in kept)


def test_keys_do_not_tell_whom_they_are_about() -> None:
    """A userId may be an email address, and keys outlive an erasure."""
    memory = Memory()
    memory.identify(ADA, userId="ada@example.com", anonymousId="phone")

    assert not [key for key in memory.store.oldest(PLACE, PREFIX, 10) if b"ada" in key or b"phone" in key]


def test_events_of_partitions_that_are_not_ours_pass_as_they_are() -> None:
    """They are on their way out, and will be read again."""
    memory = Memory()
    memory.identify(ADA, userId="u-123")
    memory.traits.take_on([])

    assert {} == memory.hear(userId="u-123").remembered


def test_records_that_are_not_keyed_by_their_user_are_said_once() -> None:
    """Their next event may be in another partition, where nothing is known of them."""
    memory = Memory()

    with capture_logs() as logs:
        for number in range(2 * SAMPLE):
            memory.hear(userId=f"u-{number}", key=b"order")

    assert [("records_not_keyed_by_user", SAMPLE)] == [(line["event"], line["stray"]) for line in logs]


@pytest.mark.parametrize("key", [b"u-123", b"phone"])
def test_records_that_are_keyed_by_one_of_their_ids_are_fine(key: bytes) -> None:
    """Nothing is said."""
    memory = Memory()

    with capture_logs() as logs:
        for _ in range(2 * SAMPLE):
            memory.hear(userId="u-123", anonymousId="phone", key=key)

    assert [] == logs
