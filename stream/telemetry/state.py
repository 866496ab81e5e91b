"""What `/state.json`, the metrics and `crmstream status` say of a destination: one value, made by its pipeline."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holding:
    """What keeps a position from moving."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One assigned partition. *end* is the log's end as last seen, *lag* = end - position."""

    topic: str
    partition: int
    position: int
    end: int
    lag: int
    holding: Holding | None = None


@dataclass(frozen=True, slots=True)
class DestinationState:
    """One destination on this member."""

    state: str  # running, throttled, suspended, blocked, paused, draining; unassigned before the first assignment
    reason: str | None  # a sentence for people; None while all is well
    since: str  # RFC 3339, when this state began
    assigned: (
        bool  # False: not yet a member with an assignment (a member for which nothing was left counts as assigned)
    )
    lag: int
    pending: int
    in_flight: int
    concurrency: int
    oldest_pending_seconds: float
    seconds_since_turn: float  # since the pipeline's loop last turned
    partitions: tuple[PartitionState, ...] = ()
