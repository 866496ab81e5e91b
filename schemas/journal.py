"""What the journal says of calls that must not be repeated, keyed by the call's id; and how that id is made."""

import hashlib
import json
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Word: TypeAlias = Literal["intent", "withdrawn", "sent"]


class Entry(BaseModel):
    """One word on a call. An intent that no other word follows is a call of which nobody knows whether it was made."""

    model_config = ConfigDict(frozen=True)

    word: Word = Field(description="about to be made; certainly not made, so it may be made again; taken by the vendor")
    offset: int = Field(ge=0, description="of the record it is for, in the source partition of the same number")
    rule: str = Field("", description="which of the calls that one event may lead to")
    at: AwareDatetime
    vendor: dict[str, str | int] | None = Field(None, description="what the vendor said of a call that it took")


def call_id(message_id: str | None, place: tuple[str, int, int], *, rule: str, replay: str) -> bytes:
    """The 16 bytes that name a call: of its event, its *rule* and the *replay* it came by (empty: none).

    The event's messageId stands for it, or else its *place*: topic, partition and offset. Both are hashed: what a
    producer takes for an id may be personal.
    """
    parts = json.dumps([message_id or place, rule, replay])
    return hashlib.sha256(parts.encode()).digest()[:16]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an entry."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Entry.model_json_schema()
