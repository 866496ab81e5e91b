"""What a destination's events are filled and judged by, put together as the settings say: traits, erasures, state."""

from dataclasses import dataclass

import structlog

from stream.kafka.admin import Admin
from stream.kafka.producer import Producer
from stream.mapping import Maps
from stream.pipeline import Companion
from stream.settings import Settings
from stream.topics import names
from stream.topics.beside import Beside
from stream.topics.erasures import Erasures, Writes
from stream.topics.state import State, changelogs
from stream.topics.traits import Traits

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept for one destination, as far as anything is."""

    beside: Beside | None = None
    state: State | None = None
    traits: Traits | None = None
    erasures: Erasures | None = None

    @property
    def companions(self) -> tuple[Companion, ...]:
        """What lives with the pipeline's partitions, in the order in which it takes them on."""
        return tuple(each for each in (self.beside, self.state, self.traits, self.erasures) if each is not None)


def erasures_of(settings: Settings, producer: Writes) -> Erasures | None:
    """The process's table of erased persons; None where there is no `privacy` block, or no key to know them by."""
    privacy = settings.privacy
    if privacy is None:
        return None
    if privacy.key is None:
        log.warning("erasures_not_applied", hint="set privacy.key: without it nobody knows who was erased")
        return None
    return Erasures(
        producer,
        topic=names.erasures(privacy.requests),
        key=privacy.key.get_secret_value().encode(),
        lift_on_consent=privacy.lift_on_consent,
    )


async def memory_of(
    name: str,
    settings: Settings,
    mapping: Maps,
    *,
    admin: Admin,
    producer: Producer,
    erasures: Erasures | None,
    stateful: bool = False,
) -> Memory:
    """The memory of destination *name*; its topics are made where they are missing. Raises UserError.

    *stateful*: it needs the state for itself, whether traits are remembered or not.
    """
    remembers = settings.source.remember_traits and bool(mapping.traits or erasures)
    if not (remembers or stateful):
        return Memory(erasures=erasures)
    group = settings.source.group_of(name)
    beside = Beside(admin, changelogs(group), create=settings.kafka.create_topics)
    await beside.ensure(settings.source.topics)
    state = State(settings.kafka, admin=admin, producer=producer, folder=settings.state.folder, group=group)
    traits = Traits(state, mapping.traits, destination=name, erasures=erasures) if remembers else None
    return Memory(beside, state, traits, erasures)
