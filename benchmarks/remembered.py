"""Remembered traits without a broker: the product's own state and files, with a changelog that takes everything."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from stream.kafka.admin import Admin
from stream.kafka.producer import Producer
from stream.kafka.settings import KafkaSettings
from stream.kafka.source import Partition
from stream.topics.state import Part, State
from stream.topics.state_file import Entry
from stream.topics.users import PREFIX, Known, hashed, written

FAR = 1 << 62  # offsets: no source topic ends before what is remembered
AT_ONCE = 10_000  # entries written in one go


class Changelog:
    """A producer and an admin client, as far as a state needs them."""

    def __init__(self) -> None:
        self._ends: Counter[tuple[str, int]] = Counter()

    async def write(self, topic: str, partition: int, records: Sequence[object]) -> list[int]:
        """The offsets of the records, which are acknowledged at once."""
        first = self._ends[topic, partition]
        self._ends[topic, partition] += len(records)
        return [*range(first, first + len(records))]

    async def end_offsets(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """Where the source's partitions end."""
        return dict.fromkeys(places, FAR)


class Kept(State):
    """The state of a member that has known so many users for long."""

    def __init__(self, folder: Path, users: int) -> None:
        changelog: Any = Changelog()
        settings = cast("KafkaSettings", None)  # only a changelog that is read asks for them
        super().__init__(
            settings,
            admin=cast("Admin", changelog),
            producer=cast("Producer", changelog),
            folder=folder,
            group="growth",
        )
        self._users = users

    async def _restore(self, topic: str, parts: Sequence[Part]) -> None:  # noqa: ARG002 - there is only one
        for part in parts:
            entries = self._entries(part.place[1], len(parts))
            while some := [*islice(entries, AT_ONCE)]:
                part.file.apply(some, position=0, stamp=0)

    def _entries(self, partition: int, partitions: int) -> Iterator[tuple[bytes, Entry]]:
        for user in range(partition, self._users, partitions):
            traits = {"email": f"Contact.{user}@example.com ", "first_name": "Ada", "last_name": "Andersson"}
            known = Known({**traits, "phone": "+15558670000", "job_title": "before"}, since=0.0)
            yield PREFIX + hashed(f"user contact.{user}").encode(), Entry(written(known), -1)
