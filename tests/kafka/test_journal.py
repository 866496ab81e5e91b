"""The journal on a real broker: one writer a partition, and what it wrote is what the next one reads."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from schemas.journal import Entry, Word
from schemas.replays import REPLAY
from stream.core.offsets import OffsetTracker
from stream.core.records import Message
from stream.kafka.admin import Admin
from stream.kafka.settings import KafkaSettings
from stream.topics import names
from stream.topics.beside import Beside
from stream.topics.journal import Journal, Standing, journals
from tests.conftest import NewTopic
from tests.kafka.broker import Broker
from tests.unit.partition import LogRecord

GROUP = "crm.sms"


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


class Desk:
    """A source topic with its journal, and members that take its partitions over."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.broker = broker
        self.topic = topic
        self.lost = 0
        self.members: list[Member] = []

    async def member(self, *partitions: int, rule: Callable[[Message], str] = lambda _: "") -> "Member":
        """A member to whom these partitions are assigned now."""
        journal = Journal(at(self.broker), group=GROUP, rule=rule, lost=self._lose, wall=lambda: 1_700_000_000.0)
        member = Member(self, journal)
        self.members.append(member)
        await member.assign(*partitions)
        return member

    def _lose(self) -> None:
        self.lost += 1


class Member:
    """A journal and the partitions it is for."""

    def __init__(self, desk: Desk, journal: Journal) -> None:
        self.desk = desk
        self.journal = journal
        self.trackers: dict[int, OffsetTracker] = {}

    async def assign(self, *partitions: int) -> None:
        self.trackers = {number: OffsetTracker(self.desk.topic, number, 0) for number in partitions or (0,)}
        await self.journal.assigned(list(self.trackers.values()))

    def message(self, offset: int, message_id: str | None = None, *, partition: int = 0, replay: str = "") -> Message:
        headers = ((REPLAY, replay.encode()),) if replay else ()
        record = LogRecord(offset, headers=headers, topic=self.desk.topic, partition=partition)
        return Message("+33600000000", {}, b"", record, self.trackers[partition], 0.0, message_id=message_id)

    async def call(self, message: Message, *words: Word) -> None:
        """Begin the message's call and end it with each of these words, begun anew where there are several."""
        for word in words or (None,):
            assert await self.journal.begin(message)
            if word is not None:
                assert await self.journal.end(message, word)


@pytest.fixture
async def desk(broker: Broker, topic: NewTopic) -> AsyncIterator[Desk]:
    """A desk with its journal; its members end with the test."""
    desk = Desk(broker, await topic(partitions=3))
    async with Admin(at(broker)) as admin:
        await Beside(admin, journals(GROUP), create=True).ensure([desk.topic])
    yield desk
    for member in desk.members:
        await member.journal.revoked()


# What the next one reads


async def test_the_next_owner_reads_what_was_begun_withdrawn_and_sent(desk: Desk) -> None:
    """An intent alone is unknown, one withdrawn is as if never begun, and what was sent is sent."""
    first = await desk.member()
    await first.call(first.message(1))
    await first.call(first.message(2), "withdrawn")
    await first.call(first.message(3), "sent")
    await first.call(first.message(4), "withdrawn", "withdrawn", "sent")
    await first.call(first.message(5), "withdrawn")
    await first.call(first.message(5))

    next_one = await desk.member()

    found = {offset: next_one.journal.standing(next_one.message(offset)) for offset in range(7)}
    free, unknown, sent = Standing.FREE, Standing.UNKNOWN, Standing.SENT
    assert {0: free, 1: unknown, 2: free, 3: sent, 4: sent, 5: unknown, 6: free} == found


async def test_a_replaced_member_begins_nothing_and_asks_for_partitions_anew(desk: Desk) -> None:
    """Neither a new call nor the end of an old one; said once for the partition."""
    former = await desk.member()
    under_way, idle = former.message(1), former.message(2)
    await former.call(under_way)
    heir = await desk.member()

    assert not await former.journal.begin(idle)
    assert not await former.journal.end(under_way, "sent")

    assert {Standing.LOST} == {former.journal.standing(message) for message in (under_way, idle)}
    assert Standing.UNKNOWN is heir.journal.standing(heir.message(1))
    assert Standing.FREE is heir.journal.standing(heir.message(2))
    assert 1 == desk.lost


async def test_only_the_partition_that_was_taken_is_lost(desk: Desk) -> None:
    """A member goes on with its others."""
    former = await desk.member(0, 1)
    await desk.member(1)

    assert not await former.journal.begin(former.message(1, partition=1))
    assert await former.journal.begin(former.message(1, partition=0))


async def test_a_journal_that_was_closed_is_not_lost_to_anyone(desk: Desk) -> None:
    """After a revocation late calls find no journal, and nobody is asked for partitions."""
    member = await desk.member()
    message = member.message(1)
    await member.call(message)

    await member.journal.revoked()

    assert not await member.journal.end(message, "sent")
    assert Standing.LOST is member.journal.standing(message)
    assert 0 == desk.lost


async def test_a_partition_that_comes_back_brings_what_others_wrote(desk: Desk) -> None:
    """What was read before is kept, what is new is read on from there."""
    first = await desk.member(0, 1)
    await first.call(first.message(1), "sent")
    await first.journal.revoked()
    other = await desk.member()
    await other.call(other.message(2))
    await other.journal.revoked()

    await first.assign(0)

    found = [first.journal.standing(first.message(offset)) for offset in (1, 2, 3)]
    assert [Standing.SENT, Standing.UNKNOWN, Standing.FREE] == found


async def test_a_call_is_known_by_its_event_rule_and_replay(desk: Desk) -> None:
    """The same messageId at another offset is the same call; another rule or replay makes another."""
    rules = {7: "welcome", 8: "welcome", 9: "goodbye", 10: "welcome"}
    first = await desk.member(rule=lambda message: rules[message.record.offset])
    await first.call(first.message(7, "m-1"), "sent")

    standing = first.journal.standing
    assert Standing.SENT is standing(first.message(8, "m-1"))
    assert Standing.FREE is standing(first.message(9, "m-1"))
    assert Standing.FREE is standing(first.message(10, "m-1", replay="sms/crm.events/0/7#1"))
    assert Standing.FREE is standing(first.message(8, "m-2"))


async def test_two_messages_of_one_call_do_not_begin_it_together(desk: Desk) -> None:
    """The second waits until the first knows how it ended."""
    member = await desk.member()
    one, other = member.message(1, "m-1"), member.message(2, "m-1")

    begun = await asyncio.gather(member.journal.begin(one), member.journal.begin(other))

    assert [True, False] == list(begun)
    assert Standing.PENDING is member.journal.standing(other)
    await member.journal.end(one, "sent")
    assert Standing.SENT is member.journal.standing(other)


async def test_the_journal_holds_nothing_personal(desk: Desk) -> None:
    """A messageId that is an address is hashed; the record tells its place, its rule and its time."""
    member = await desk.member(rule=lambda _: "welcome")
    await member.call(member.message(41, "jane@example.com/1"))

    [record] = await desk.broker.read_all(names.journal(GROUP, desk.topic))
    entry = Entry.model_validate_json(record.value)
    assert ("intent", 41, "welcome", "2023-11-14T22:13:20+00:00") == (
        entry.word,
        entry.offset,
        entry.rule,
        entry.at.isoformat(),
    )
    assert b"jane" not in record.key + record.value


async def test_what_the_vendor_said_is_kept_with_the_call(desk: Desk) -> None:
    """Its own id for the call leads to its statistics."""
    member = await desk.member()
    message = member.message(1)
    await member.call(message)
    await member.journal.end(message, "sent", [("campaign_id", "6tJglf8zd"), ("inserted", 1)])

    [_, sent] = await desk.broker.read_all(names.journal(GROUP, desk.topic))
    assert {"campaign_id": "6tJglf8zd", "inserted": 1} == Entry.model_validate_json(sent.value).vendor


# Its topic


async def test_each_source_topic_has_a_journal_of_a_week(desk: Desk) -> None:
    """As many partitions as the source, and retention by time."""
    name = names.journal(GROUP, desk.topic)

    assert {0, 1, 2} == set(await desk.broker.ends(name))
    assert str(7 * 24 * 3600 * 1000) == await desk.broker.config(name, "retention.ms")
    assert "delete" == await desk.broker.config(name, "cleanup.policy")
