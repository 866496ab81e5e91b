"""What became of a message: the closed union that destinations return, one for each message of a batch."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from schemas.masking import without

Counted: TypeAlias = Literal["delivered", "coalesced", "filtered", "dead_lettered", "absent", "lost_to_retention"]
"""How a settled offset is counted: metric label, receipt key and commit metadata use these words."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The vendor took it. *facts*: what it said that is worth keeping, such as its own id for it; nothing personal."""

    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str | int], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Filtered:
    """Not for this destination, for a reason word of `schemas.reasons`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed in a way that may pass: the key waits, others go on."""

    detail: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """The vendor took nothing and asks the whole destination to wait *after* seconds (None: it named no time)."""

    after: float | None = None
    detail: str = "throttled"
    status: int | None = 429


@dataclass(frozen=True, slots=True)
class Blocked:
    """Every message would fail until a person acts; *detail* says what the vendor said, *hint* what to do."""

    detail: str
    status: int | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """This message can never succeed."""

    detail: str
    status: int | None = None
    reason: str = "rejected"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The call got on and more is to come, *after* seconds from now: nothing failed, and no attempt is counted.

    What was achieved so far is kept in `Message.progress`.
    """

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Unknown:
    """A call that must not be repeated may or may not have happened."""

    detail: str
    status: int | None = None


Outcome: TypeAlias = Delivered | Filtered | Retry | Throttled | Blocked | Rejected | Unfinished | Unknown
"""*detail* is the vendor's text with personal data masked (`schemas.masking.mask`), at most 500 characters."""

SAYING = (Retry, Throttled, Blocked, Rejected, Unknown)
DELIVERED = Delivered()


class Refused(Exception):
    """The vendor refused a call as a whole; one of several messages is split until the bad one stands alone."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(rejected.detail)
        self.rejected = rejected


def all_delivered(outcomes: Sequence[Outcome]) -> bool:
    """Whether there is nothing else to say of any of them: so it is nearly always."""
    for outcome in outcomes:  # noqa: SIM110 - `all` costs as much as the rest of a call's end
        if type(outcome) is not Delivered:
            return False
    return True


def impersonal(outcomes: Sequence[Outcome], sent: Sequence[Mapping[str, object]]) -> list[Outcome]:
    """The outcomes without the values that were *sent* for each, which vendors like to repeat in what they say.

    What is said of several messages in the same words is about the call, and is rid of the values of all.
    """
    said = Counter([outcome.detail for outcome in outcomes if isinstance(outcome, SAYING)])
    if not said:
        return list(outcomes)
    of_all = {detail: without(detail, set(_texts(sent))) for detail, times in said.items() if times > 1}

    def rid(outcome: Outcome, own: Mapping[str, object]) -> Outcome:
        if not isinstance(outcome, SAYING):
            return outcome
        detail = outcome.detail
        return replace(outcome, detail=of_all[detail] if detail in of_all else without(detail, set(_texts(own))))

    return [rid(outcome, own) for outcome, own in zip(outcomes, sent, strict=True)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
