"""State: what was put in before a commit is known to the next owner, from its file, the changelog, or from both."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copytree

import pytest

from schemas.erasures import Erasure, person
from stream.core.offsets import OffsetTracker
from stream.kafka.admin import Admin
from stream.kafka.producer import Producer
from stream.kafka.settings import KafkaSettings
from stream.kafka.source import CommitFailed
from stream.topics import names
from stream.topics import state as states
from stream.topics.beside import Beside
from stream.topics.erasures import Erasures
from stream.topics.state import State, changelogs
from stream.topics.state_file import Entry, StateFile
from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent

GROUP = "crmstream.attio"


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


class Member:
    """A member of the group, with the partitions of one source topic."""

    def __init__(self, state: State, topic: str) -> None:
        self.state = state
        self.topic = topic

    async def takes(self, *partitions: int) -> None:
        """These partitions are its own."""
        await self.state.assigned([OffsetTracker(self.topic, partition, 0) for partition in partitions])

    def puts(self, key: bytes, value: bytes, offset: int, partition: int = 0, tag: bytes | None = None) -> bool:
        """A record of the source says so."""
        return self.state.put((self.topic, partition), key, value, offset, tag=tag)

    def has(self, key: bytes, partition: int = 0) -> bytes | None:
        """What it remembers."""
        return self.state.get((self.topic, partition), key)


@asynccontextmanager
async def member(broker: Broker, topic: str, folder: Path, *partitions: int) -> AsyncIterator[Member]:
    """A process that has these partitions, until it is gone without a word."""
    async with Admin(at(broker)) as admin, Producer(at(broker), timeout=2) as producer:
        await Beside(admin, changelogs(GROUP), create=True).ensure([topic])
        state = State(at(broker), admin=admin, producer=producer, folder=folder, group=GROUP)
        found = Member(state, topic)
        await found.takes(*partitions)
        yield found
        await state.revoked()


async def source(broker: Broker, topic: NewTopic, partitions: int = 1) -> str:
    """A source topic that has a hundred records in each partition."""
    name = await topic(partitions=partitions)
    await broker.produce(name, [Sent(b"{}", partition=n) for n in range(partitions) for _ in range(100)])
    return name


async def changelog(broker: Broker, topic: str) -> list[tuple[bytes, bytes | None]]:
    """Keys and values in the changelog, by a plain consumer."""
    return [(record.key, record.value) for record in await broker.read_all(names.state(GROUP, topic))]


async def test_the_next_owner_on_another_machine_knows_what_was_flushed(
    broker: Broker, topic: NewTopic, tmp_path: Path
) -> None:
    """From the changelog alone, each partition by itself; the topic is compacted and has as many partitions."""
    events = await source(broker, topic, partitions=3)
    async with member(broker, events, tmp_path / "one", 0, 2) as first:
        first.puts(b"ada", b"1", 5, partition=0)
        first.puts(b"ada", b"2", 6, partition=2, tag=b"tag")
        first.puts(b"bob", b"3", 7, partition=2)
        await first.state.flush()
        first.state.drop((events, 2), b"bob")
        await first.state.flush()

    async with member(broker, events, tmp_path / "two", 0, 1, 2) as second:
        assert (b"1", None, b"2") == tuple(second.has(b"ada", partition=n) for n in range(3))
        assert second.has(b"bob", partition=2) is None
        assert [((events, 2), b"ada")] == second.state.tagged(b"tag")
        assert not second.puts(b"ada", b"old", 6, partition=2)
        assert second.puts(b"ada", b"new", 7, partition=2)

    assert "compact" == await broker.config(names.state(GROUP, events), "cleanup.policy")
    assert 3 == len(await broker.ends(names.state(GROUP, events)))


async def test_what_was_not_flushed_is_in_no_file(broker: Broker, topic: NewTopic, tmp_path: Path) -> None:
    """Its records were not committed either: they come again, and must be heard again."""
    events = await source(broker, topic)
    async with member(broker, events, tmp_path, 0) as first:
        first.puts(b"ada", b"1", 5)
        assert b"1" == first.has(b"ada")

    async with member(broker, events, tmp_path, 0) as again:
        assert again.has(b"ada") is None
        assert again.puts(b"ada", b"1", 5)


async def test_a_member_that_comes_back_reads_only_what_it_missed(
    broker: Broker, topic: NewTopic, tmp_path: Path
) -> None:
    """Its file says how far it had come."""
    events = await source(broker, topic)
    async with member(broker, events, tmp_path / "one", 0) as first:
        first.puts(b"ada", b"1", 5)
        first.puts(b"bob", b"1", 6)
        await first.state.flush()
    async with member(broker, events, tmp_path / "two", 0) as other:
        other.puts(b"ada", b"2", 7)
        await other.state.flush()

    of_the_file_alone(tmp_path / "one", events, b"eve")

    async with member(broker, events, tmp_path / "one", 0) as again:
        assert (b"2", b"1") == (again.has(b"ada"), again.has(b"bob"))
        assert again.has(b"eve"), "the file was made anew"


@pytest.mark.parametrize("most, filed", [(2, [b"bob", b"eve"]), (100, [])])
async def test_the_file_may_be_behind_and_a_crash_loses_nothing(
    broker: Broker, topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, filed: list[bytes]
) -> None:
    """What changes often is written once; the changelog has what the file has not."""
    monkeypatch.setattr(states, "MOST_UNFILED", most)
    events = await source(broker, topic)
    async with member(broker, events, tmp_path / "one", 0) as first:
        first.puts(b"bob", b"1", 5)
        await first.state.flush()
        first.puts(b"eve", b"1", 6)
        await first.state.flush()
        first.puts(b"bob", b"2", 7, tag=b"tag")
        await first.state.flush()
        copytree(tmp_path / "one", tmp_path / "crashed")
        assert (b"2", b"1") == (first.has(b"bob"), first.has(b"eve"))
        assert [((events, 0), b"bob")] == first.state.tagged(b"tag")
    with sqlite3.connect(tmp_path / "crashed" / GROUP / f"{events}-0.sqlite") as file:
        assert filed == [key for (key,) in file.execute("SELECT key FROM entries ORDER BY key")]
    file.close()

    async with member(broker, events, tmp_path / "crashed", 0) as again:
        assert (b"2", b"1") == (again.has(b"bob"), again.has(b"eve"))
    async with member(broker, events, tmp_path / "one", 0) as again:
        assert 1 == again.state.count((events, 0), b"b")


async def test_a_file_of_a_changelog_that_was_made_anew_is_read_anew(own_broker: Broker, tmp_path: Path) -> None:
    """Names are the same; the records it remembers are not there."""
    await own_broker.create("events")
    await own_broker.produce("events", [b"{}"] * 100)
    async with member(own_broker, "events", tmp_path, 0) as first:
        first.puts(b"bob", b"1", 5)
        await first.state.flush()
    of_the_file_alone(tmp_path, "events", b"eve", late=1)

    async with member(own_broker, "events", tmp_path, 0) as again:
        assert (None, b"1") == (again.has(b"eve"), again.has(b"bob"))


def of_the_file_alone(folder: Path, topic: str, key: bytes, *, late: int = 0) -> None:
    """Put an entry into a file that its changelog never had; *late*: of a last record so many ms later."""
    file = StateFile(folder / GROUP / f"{topic}-0.sqlite", whose=f"{names.state(GROUP, topic)}/0")
    file.apply([(key, Entry(b"1", 1))], position=file.position, stamp=file.stamp + late)
    file.close()


async def test_a_late_word_of_a_former_owner_does_not_hide_what_others_wrote(
    broker: Broker, topic: NewTopic, tmp_path: Path
) -> None:
    """It was suspended, and wrote after the next owner: its file is not taken for complete."""
    events = await source(broker, topic)
    async with member(broker, events, tmp_path / "one", 0) as suspended:
        suspended.puts(b"ada", b"1", 5)
        await suspended.state.flush()
        suspended.puts(b"bob", b"late", 6)
        async with member(broker, events, tmp_path / "two", 0) as owner:
            owner.puts(b"ada", b"2", 7)
            await owner.state.flush()
        await suspended.state.flush()

    async with member(broker, events, tmp_path / "one", 0) as again:
        assert b"2" == again.has(b"ada")


async def test_many_changes_are_read_back_in_pieces(broker: Broker, topic: NewTopic, tmp_path: Path) -> None:
    """More of them than are written, or read, in one go."""
    events = await source(broker, topic)
    async with member(broker, events, tmp_path / "one", 0) as first:
        for number in range(5000):
            first.puts(b"row:%d" % number, b"x" * 100, number)
        await first.state.flush()
        assert 5000 == first.state.count((events, 0), b"row:") == len(list(first.state.items((events, 0), b"row:")))

    async with member(broker, events, tmp_path / "two", 0) as second:
        assert 5000 == sum(second.has(b"row:%d" % number) is not None for number in range(5000))


async def test_flushing_waits_for_the_broker(own_broker: Broker, tmp_path: Path) -> None:
    """While it hangs nothing may be committed; nothing is lost by it."""
    await own_broker.create("events")
    await own_broker.produce("events", [b"{}"] * 100)
    async with member(own_broker, "events", tmp_path, 0) as first:
        first.puts(b"ada", b"1", 5)
        own_broker.pause()
        with pytest.raises(CommitFailed, match="what is to be remembered cannot be written"):
            await first.state.flush()
        assert b"1" == first.has(b"ada")
        own_broker.unpause()
        await asyncio.sleep(1)
        await first.state.flush()

    assert (b"ada", b"1") in await changelog(own_broker, "events")


async def test_offsets_of_a_source_that_was_made_anew_mean_nothing(
    broker: Broker, topic: NewTopic, tmp_path: Path
) -> None:
    """What is remembered stays, and the new records may replace it."""
    events = await source(broker, topic)
    async with member(broker, events, tmp_path, 0) as first:
        first.puts(b"ada", b"1", 500_000)
        await first.state.flush()

    async with member(broker, events, tmp_path, 0) as again:
        assert b"1" == again.has(b"ada")
        assert again.puts(b"ada", b"2", 0)


async def test_erasures_are_known_before_the_first_record_and_followed(broker: Broker, topic: NewTopic) -> None:
    """What another process lifts, or erases, is heard."""
    erasures = await topic(cleanup_policy="compact")
    key = b"secret"
    ada, bob = person(key, "ada@example.com"), person(key, "bob@example.com")
    early = Erasure.model_validate({"erased_at": "2026-06-06T12:00:00Z"})
    await broker.produce(erasures, [Sent(early.model_dump_json().encode(), key=ada.encode())])

    async with Producer(at(broker)) as producer:
        table = Erasures(producer, topic=erasures, key=key, lift_on_consent=True)
        ready, heard = asyncio.Event(), asyncio.Event()
        following = asyncio.create_task(table.follow(at(broker), ready))
        try:
            await asyncio.wait_for(ready.wait(), 30)
            assert table.erased([ada], 1.0)
            assert not table.erased([bob], 1.0)
            table.subscribe(lambda _person, _erasure: heard.set())
            await broker.produce(erasures, [Sent(early.model_dump_json().encode(), key=bob.encode())])
            await asyncio.wait_for(heard.wait(), 30)
            assert table.erased([bob], 1.0)
        finally:
            following.cancel()
