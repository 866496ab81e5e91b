"""The event as it crosses the source topic, and its JSON Schema. Reading bytes is `stream.decoding`."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

IDENTIFIED = "Identified"
"""The name of an identify call, which has none of its own; a track of this name is the same event."""

Kind = Literal["track", "identify", "page", "group"]
Json = dict[str, Any]

NOTHING: Json = {}
"""No remembered traits. Nobody writes into it."""


@dataclass(slots=True)
class Event:
    """A decoded, valid record. Nobody changes it: frozen, it would take several times as long to make.

    *event* is the name: a track's own, `Identified` for an identify, empty for pages and groups, which nobody takes.
    *timestamp* is seconds since the epoch; in JSON it is ISO 8601. *notes* are words of `schemas.reasons.NOTES`.
    *remembered*: traits of the same user that earlier events brought; no producer sends them.
    """

    __pydantic_config__ = ConfigDict(
        title="Event",
        json_schema_extra={
            "description": "A customer event as produced to the source topic.",
            "additionalProperties": True,
            "if": {"properties": {"type": {"const": "track"}}},
            "then": {"required": ["event"]},
        },
    )

    type: Annotated[Kind, Field(description="the call that made it; pages and groups are read and filtered")]
    event: Annotated[str, Field(description="the name of a track, such as `Signed Up`")] = ""
    user_id: Annotated[str | None, Field(alias="userId", description="absent before the contact is known")] = None
    anonymous_id: Annotated[str | None, Field(alias="anonymousId", description="the browser or device")] = None
    timestamp: Annotated[
        float,
        Field(description="when it happened; the record's own time is used where this is missing or implausible"),
        WithJsonSchema({"type": "string", "format": "date-time"}),
    ] = 0.0
    message_id: Annotated[str | None, Field(alias="messageId", description="tells repeats of one event")] = None
    traits: Annotated[Json, Field(description="who it is: email, phone, first_name, …")] = field(default_factory=dict)
    properties: Annotated[Json, Field(description="what happened")] = field(default_factory=dict)
    context: Annotated[
        Json, Field(description="locale, traits of a bare track, and `consent.canonical`: {category: true} grants")
    ] = field(default_factory=dict)
    notes: SkipJsonSchema[tuple[str, ...]] = ()
    remembered: SkipJsonSchema[Json] = field(default_factory=lambda: NOTHING)

    def filled(self, remembered: Json) -> "Event":
        """The same event, with the traits that earlier ones brought to look into last."""
        return Event(
            self.type,
            self.event,
            self.user_id,
            self.anonymous_id,
            self.timestamp,
            self.message_id,
            self.traits,
            self.properties,
            self.context,
            self.notes,
            remembered,
        )

    @property
    def email(self) -> str | None:
        """Whom it is about, as far as its traits tell: its own, those in its context, or those remembered."""
        for traits in (self.traits, self.context.get("traits"), self.remembered):
            if type(traits) is dict:
                email = traits.get("email")
                if type(email) is str and email and not email.isspace():
                    return email
        return None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an event on the source topic; what it does not ask for is tolerated."""
    schema = TypeAdapter(Event).json_schema(by_alias=True)
    for described in schema["properties"].values():
        described.pop("default", None)  # ours, when the key is absent: nothing a producer should send
        described.pop("title", None)  # the key, misspelt
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
