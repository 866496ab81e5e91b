"""Topics of our own beside the source's: each with as many partitions, from the start on and when the source grows.

What is in them is the affair of those who write there: see `state` and `journal`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stream.core.offsets import OffsetTracker
from stream.errors import UserError
from stream.kafka.admin import Admin


@dataclass(frozen=True, slots=True)
class Kind:
    """What our topics of one kind are like. *name* gives ours by the source topic's; the rest as in `Admin.ensure`."""

    name: Callable[[str], str]
    compacted: bool = False
    retention: float | None = None


class Beside:
    """A topic of one kind beside each source topic. A companion of the pipeline, before those that need its topics."""

    crowded = False

    def __init__(self, admin: Admin, kind: Kind, *, create: bool) -> None:
        self._admin = admin
        self._kind = kind
        self._create = create
        self._counts: dict[str, int] = {}  # partitions that each source topic had at the last look

    async def ensure(self, topics: Iterable[str]) -> None:
        """See to it that each source topic has one of ours. Raises UserError that says what is to be done.

        Where partitions were added to a source topic, ours gets as many: what is in it stays where it is.
        """
        for topic, partitions in (await self._admin.partitions(topics)).items():
            own, kind = self._kind.name(topic), self._kind
            there = await self._admin.ensure(
                own, partitions=partitions, compacted=kind.compacted, create=self._create, retention=kind.retention
            )
            if there < partitions:
                if not self._create:
                    text = f"{own} has {there} partitions, and {topic} has {partitions}"
                    raise UserError(text, f"give {own} as many, or set `kafka.create_topics: true`")
                await self._admin.add_partitions(own, partitions)
            self._counts[topic] = partitions

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        """Look again where a partition is one that was not there at the last look."""
        grown = {tracker.topic for tracker in trackers if tracker.partition >= self._counts.get(tracker.topic, 0)}
        if grown:
            await self.ensure(sorted(grown))

    async def flush(self) -> None:
        """Nothing: others write there."""

    async def revoked(self) -> None:
        """Nothing: the topics stay."""
