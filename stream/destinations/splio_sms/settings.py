"""What a configuration may say of a Splio Trigger SMS destination. How its rules become texts is in `rules.py`."""

import re
from collections.abc import Mapping
from datetime import datetime, time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from stream.core.strict import Strict
from stream.core.units import Concurrency, Duration, Rate
from stream.destinations.base import CONCURRENCY, BatchSettings, DestinationSettings
from stream.destinations.splio_sms.rules import RecipientFields, Rule, compile_rules
from stream.destinations.values import Country, Key, WebAddress
from stream.mapping import Maps, Preset

HOUR = 3600.0
NUMBER = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)

TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class QuietHours(Strict):
    """When no text may go out. Over midnight where `to` is the earlier one."""

    start: TimeOfDay = Field(alias="from", description="first minute of quiet, such as 21:00")
    to: TimeOfDay = Field(description="when texts may go out again, such as 08:00")
    timezone: str = Field(description="whose clock it is, such as Europe/Paris")

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):  # by what is wrong with it: unknown, a folder's, no path
            raise ValueError("it must be a name such as Europe/Paris") from None
        return name

    @model_validator(mode="after")
    def _some_time_is_left(self) -> "QuietHours":
        if self.start == self.to:
            raise ValueError("from and to must differ: no text could ever go out")
        return self

    def cover(self, now: float) -> bool:
        """Whether it is quiet at *now*, seconds since the epoch, by the clock of the time zone."""
        clock = datetime.fromtimestamp(now, ZoneInfo(self.timezone)).time()
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.to)
        return start <= clock < end if start < end else clock >= start or clock < end


class SplioSmsSettings(DestinationSettings):
    """A universe's access to Splio Trigger SMS, and what is sent when."""

    unused = frozenset({"batch", "coalesce"})

    type: Literal["splio_sms"] = Field("splio_sms", description="Splio Trigger SMS")
    universe: str = Field(pattern=r"^\S+$", description="id of the universe at Splio")
    key: Key = Field(description="its SMS API key, which is not the Data API key; Splio gives it out on request")
    rules: list[Rule] = Field(
        min_length=1,
        description="which event leads to which text, one rule for an event",
        examples=[[{"event": "Signed Up", "message": "6tJglf8zd"}]],
    )
    base_url: WebAddress = Field("https://s3s.fr", description="Splio's address, by where the universe lives")
    events: list[str] | None = Field(
        None, description="of the rules only those of these events; null: all", examples=[["Signed Up"]]
    )
    fields: RecipientFields = Field(
        {},
        description="expressions: change or add fields of the preset for all rules; null removes one",
        examples=[{"c0": "traits.customer_id"}],
    )
    method: Literal["PUT", "POST"] = Field("PUT", description="how texts are sent; PUT is what Splio documents")
    on_unknown: Literal["park", "resend"] = Field(
        "park",
        description="a text of which nobody knows whether it was sent: park writes a dead letter, "
        "resend sends it again, perhaps twice",
    )
    max_age: Duration | None = Field(HOUR, description="older events are filtered as expired")
    quiet_hours: QuietHours | None = Field(
        None,
        description="events whose turn comes then are filtered, not held",
        examples=[{"from": "21:00", "to": "08:00", "timezone": "Europe/Paris"}],
    )
    default_region: Country | None = Field(
        None, description="country (FR, US, …) of numbers without country code; null: those get no text"
    )
    rate_limit: Rate | None = Field(5.0, description="HTTP requests of the whole group; Splio publishes no limit")
    concurrency: Concurrency = Field(4, description=CONCURRENCY)
    test_number: str | None = Field(
        None, repr=False, description="the connection test sends the first rule's text to it: one for each start"
    )
    data_api_key: Key | None = Field(
        None, description="Data API key, with which the connection test reads how much credit is left"
    )
    data_api_url: WebAddress = Field("https://api.splio.com", description="address of the Data API")

    @field_validator("base_url")
    @classmethod
    def _host_only(cls, url: str) -> str:
        """Paths are ours: what was copied from Splio's documentation works too."""
        return re.sub(r"(/api(/triggersms(/nph-\w+\.pl)?)?)?/*$", "", url)

    @field_validator("rules")
    @classmethod
    def _one_for_an_event(cls, rules: list[Rule]) -> list[Rule]:
        events = [rule.event for rule in rules]
        for event in events:
            if events.count(event) > 1:
                raise ValueError(f"{event!r} has two rules: an event leads to one text, whose `to` may be a list")
        return rules

    @field_validator("test_number")
    @classmethod
    def _international(cls, number: str | None) -> str | None:
        if number is not None and not NUMBER.fullmatch(number):
            raise ValueError("it must be written with + and country code, without spaces")
        return number

    @field_validator("batch")
    @classmethod
    def _one_event_a_call(cls, batch: BatchSettings) -> BatchSettings:
        if batch.items != 1:
            raise ValueError("items must be 1: Splio does not say which of several texts it did not send")
        return batch

    @field_validator("coalesce")
    @classmethod
    def _never_merged(cls, coalesce: bool) -> bool:
        if coalesce:
            raise ValueError("texts are not merged")
        return coalesce

    @model_validator(mode="after")
    def _events_have_rules(self) -> "SplioSmsSettings":
        known = [rule.event for rule in self.rules]
        for event in self.events or ():
            if event not in known:
                raise ValueError(f"events names {event!r}, which has no rule")
        return self

    def mapping(self, preset: Preset, *, config: Mapping[str, object], place: str) -> Maps:
        """Each rule's own mapping, for its event."""
        return compile_rules(
            self.rules,
            preset,
            events=self.events,
            fields=self.fields,
            consent=self.consent,
            region=self.default_region,
            config=config,
            place=place,
        )
