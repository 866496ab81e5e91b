"""Which rows a run sends: what differs from what was told last, however often, late or doubly it was said."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import orjson

from schemas.erasures import Erasure
from stream.core.ranges import RangeTracker
from stream.core.records import Message
from stream.kafka.source import CommitFailed, Partition
from stream.topics.erasures import Erasures
from stream.topics.rows import Comparison, Rows
from tests.unit.partition import LogRecord

COLUMNS = ("email", "name", "city")
JANE, MAX = "jane@example.com", "max@example.com"


class Remembered:
    """A state in memory, with its rule that an entry gives way only to a later offset."""

    def __init__(self) -> None:
        self.entries: dict[tuple[Partition, bytes], tuple[bytes, int, bytes | None]] = {}
        self.flushed = 0
        self.fails = 0

    def get(self, place: Partition, key: bytes) -> bytes | None:
        found = self.entries.get((place, key))
        return found[0] if found else None

    def put(self, place: Partition, key: bytes, value: bytes | None, offset: int, *, tag: bytes | None) -> bool:
        found = self.entries.get((place, key))
        if found is not None and found[1] >= offset:
            return False
        assert value is not None
        self.entries[place, key] = (value, offset, tag)
        return True

    def drop(self, place: Partition, key: bytes) -> None:
        self.entries.pop((place, key), None)

    def items(self, place: Partition, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([(k, v[0]) for (p, k), v in self.entries.items() if p == place and k.startswith(prefix)])

    def tagged(self, tag: bytes) -> list[tuple[Partition, bytes]]:
        return [place for place, (_, _, given) in self.entries.items() if given == tag]

    async def flush(self) -> None:
        self.flushed += 1
        if self.fails:
            self.fails -= 1
            raise CommitFailed("not now")


class Folks:
    """Erasures, as far as rows look at them."""

    def __init__(self) -> None:
        self.known: dict[str, Erasure] = {}
        self.heard: Any = None

    def person(self, email: str) -> str:
        return f"hash of {email}"

    def subscribe(self, heard: Any) -> None:
        self.heard = heard

    def erase(self, email: str, at: float) -> None:
        erasure = Erasure(erased_at=datetime.fromtimestamp(at, UTC))
        self.known[self.person(email)] = erasure
        self.heard(self.person(email), erasure)


class Desk:
    """Rows of some partitions, and runs of them."""

    def __init__(self, partitions: int = 1, *, state: Remembered | None = None, mapping: str = "one") -> None:
        self.state = state or Remembered()
        self.folks = Folks()
        self.rows = Rows(self.state, columns=COLUMNS, fingerprint=mapping, erasures=cast("Erasures", self.folks))
        self.trackers = [RangeTracker("events", number, 0) for number in range(partitions)]
        self.last = Comparison()
        asyncio.run(self.rows.assigned(self.trackers))

    def say(self, email: str, at: float, partition: int = 0, **fields: str) -> None:
        """An event of a contact at this time."""
        tracker = self.trackers[partition]
        record = LogRecord(tracker.next_offset, timestamp=int(at * 1000), partition=partition)
        assert tracker.admit(record.offset)
        body = orjson.dumps({"email": email, **fields})
        self.rows.add(Message(email, {}, body, record, tracker, at))

    def compare(self, *expired: str) -> list[list[str]]:
        """What a run would send, when the rows of these contacts are too old."""
        self.last = asyncio.run(self.rows.compare(lambda row, _: "expired" if row.contact in expired else None))
        return [list(row) for row in self.rows.outgoing()]

    def run(self) -> list[list[str]]:
        """What a run sends."""
        sent = self.compare()
        asyncio.run(self.rows.keep())
        for tracker in self.trackers:
            tracker.settle_all(self.last.counts[tracker])
        self.rows.settled()
        return sent


def test_a_first_run_sends_everybody() -> None:
    """Each contact on one line, by contact; what was not said is empty."""
    desk = Desk()
    desk.say(MAX, 1, name="Max")
    desk.say(JANE, 2, city="Paris")

    assert [[JANE, "", "Paris"], [MAX, "Max", ""]] == desk.run()


def test_a_later_run_sends_what_changed() -> None:
    """Last known values fill what an event did not carry (seed 002)."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane", city="Paris")
    desk.say(MAX, 1, name="Max")
    desk.run()
    desk.say(JANE, 2, city="Lyon")
    desk.say(MAX, 2, name="Max")

    assert [[JANE, "Jane", "Lyon"]] == desk.run()
    assert {"unchanged": 1} == desk.last.filtered


def test_a_change_that_is_taken_back_is_none() -> None:
    """What counts is the difference from what was told last."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")
    desk.run()
    desk.say(JANE, 2, name="Janet")
    desk.say(JANE, 3, name="Jane")

    assert [] == desk.run()
    assert {"unchanged": 2} == desk.last.filtered


def test_a_run_that_failed_is_not_the_last() -> None:
    """What it would have sent is sent by the next one."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")

    assert desk.compare() == desk.run() == [[JANE, "Jane", ""]]


def test_the_newest_event_by_its_own_time_wins() -> None:
    """Whatever the order they came in (destinations 4.5); an older one fills gaps."""
    desk = Desk()
    desk.say(JANE, 5, name="Jane")
    desk.say(JANE, 4, name="Jan", city="Paris")

    assert [[JANE, "Jane", "Paris"]] == desk.run()
    desk.say(JANE, 3, name="Joan")
    assert [] == desk.run()


def test_a_contact_in_two_partitions_has_one_line() -> None:
    """And each of its records one outcome."""
    desk = Desk(partitions=2)
    desk.say(JANE, 2, partition=1, name="Jane")
    desk.say(JANE, 1, partition=0, name="Jan", city="Paris")

    assert [[JANE, "Jane", "Paris"]] == desk.run()
    assert {"coalesced": 1} == +desk.last.counts[desk.trackers[0]]
    assert {"delivered": 1} == +desk.last.counts[desk.trackers[1]]
    desk.say(JANE, 3, partition=0, name="Jane")
    assert [] == desk.run()


def test_records_behind_a_row_are_delivered_once() -> None:
    """The newest is, the others travel with it."""
    desk = Desk()
    for at in (1, 2, 3):
        desk.say(JANE, at, name="Jane")
    desk.compare()

    assert {"delivered": 1, "coalesced": 2} == desk.last.counts[desk.trackers[0]]
    assert (1, 2, [3000.0]) == (desk.last.changed, desk.last.coalesced, list(desk.last.stamps))


def test_a_row_that_must_not_go_out_is_filtered_with_all_its_records() -> None:
    """Judged when the run starts."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")
    desk.say(JANE, 2, name="Jane")
    desk.say(MAX, 1, name="Max")

    assert [[MAX, "Max", ""]] == desk.compare(JANE)
    assert {"expired": 2} == desk.last.filtered


def test_another_mapping_sends_everybody_again_once() -> None:
    """With what was told last, without an event."""
    first = Desk()
    first.say(JANE, 1, name="Jane", city="Paris")
    first.run()
    second = Desk(state=first.state, mapping="two")

    assert 1 == second.rows.again
    assert [[JANE, "Jane", "Paris"]] == second.run()
    assert 0 == Desk(state=first.state, mapping="two").rows.again
    assert 1 == Desk(state=first.state, mapping="one").rows.again


def test_nothing_is_remembered_before_a_run_is_over() -> None:
    """Or a crash before the file is there would lose the change."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")
    desk.compare()

    assert {} == desk.state.entries


def test_what_was_sent_is_remembered_however_often_it_takes() -> None:
    """The changelog may be away for a while."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")
    desk.compare()
    desk.state.fails = 1
    try:
        asyncio.run(desk.rows.keep())
    except CommitFailed:
        asyncio.run(desk.rows.keep())

    assert 1 == len([key for _, key in desk.state.entries if key.startswith(b"row:")])


def test_an_erased_contact_is_forgotten() -> None:
    """What waits is filtered, and what was told is not known any more."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")
    desk.say(MAX, 1, name="Max")
    desk.run()
    desk.say(JANE, 2, name="Janet")
    desk.folks.erase(JANE, 10)

    assert ([], 1, 0) == (desk.compare(), desk.rows.erased, desk.rows.contacts)
    assert [MAX.encode()] == [key.removeprefix(b"row:") for _, key in desk.state.entries if b"@" in key]
    desk.trackers[0].settle_all({})
    assert 3 == desk.trackers[0].position


def test_an_erasure_during_a_run_waits_for_its_end() -> None:
    """The run's records are counted once; afterwards the contact is forgotten."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")
    with desk.rows.frozen():
        desk.compare()
        desk.folks.erase(JANE, 10)
        asyncio.run(desk.rows.keep())
        desk.trackers[0].settle_all(desk.last.counts[desk.trackers[0]])
        desk.rows.settled()

    assert [] == [key for _, key in desk.state.entries if b"@" in key]
    assert 1 == desk.trackers[0].totals["delivered"]


def test_partitions_that_are_given_up_leave_nothing_behind() -> None:
    """Their records will be read again by whoever owns them."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")

    asyncio.run(desk.rows.revoked())

    assert 0 == desk.rows.contacts
    asyncio.run(desk.rows.assigned(desk.trackers))
    assert [] == desk.compare()


def test_no_personal_data_in_how_it_shows_itself() -> None:
    """It may stand in a log."""
    desk = Desk()
    desk.say(JANE, 1, name="Jane")

    assert "jane" not in repr(desk.rows)
