"""Replays of dead letters: the headers of a record that is written again, and what is remembered of each letter."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.dead_letters import OURS

ADDRESSEE = f"{OURS}destination"  # the one destination that the record is for: all others pass it over
REPLAY = f"{OURS}replay"  # which replay it came by
WRITTEN_AT = f"{OURS}written_at"  # when its event was first in the topic, in milliseconds since the epoch

Word: TypeAlias = Literal["replayed", "discarded"]

_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class ReplayId:
    """Which replay it is: of the event whose first letter has this *identity*, the *number*-th, counted from 1."""

    identity: str
    number: int

    def __str__(self) -> str:
        return f"{self.identity}#{self.number}"

    @property
    def offset(self) -> int:
        """Where the event itself is in the source partition."""
        return int(self.identity.rpartition("/")[2])

    @classmethod
    def of(cls, headers: Iterable[tuple[str, bytes | None]]) -> "ReplayId | None":
        """The one that a record came by; None where it came by none, or by what nobody can read."""
        for name, value in headers:
            if name == REPLAY:
                identity, _, number = (value or b"").decode(errors="replace").rpartition("#")
                if _NUMBER.fullmatch(number) and _NUMBER.fullmatch(identity.rpartition("/")[2]):
                    return cls(identity, int(number))
        return None


class Fate(BaseModel):
    """What an operator did with a dead letter; keyed by the letter's identity in a compacted topic."""

    model_config = ConfigDict(frozen=True)

    word: Word = Field(description="written to its source topic again; or given up")
    at: AwareDatetime
    replay: str | None = Field(None, description="the replay's id, as the record's header has it")
    because: str = Field("", description="why it was discarded, in the operator's words")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of what is remembered of a letter."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Fate.model_json_schema()
