"""What a configuration may say of Splio contacts. The mapping is in `preset.yaml` and `mapping.py`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from stream.core.strict import Strict
from stream.core.units import Concurrency, Rate
from stream.destinations.base import CONCURRENCY, BatchSettings, DestinationSettings
from stream.destinations.splio_contacts.mapping import SUBSCRIBED, contact_mapping, custom_field
from stream.destinations.values import Country, WebAddress, one_word, without_default
from stream.mapping import Maps, Preset

CONTACTS, OTHER = "contacts", "other"
"""The names of Splio's two limits: on `/data/contacts` and what is under it, and on everything else (2.8)."""

BULK_ITEMS = 1000  # contacts in one call at most (2.9)
BULK = BatchSettings(items=BULK_ITEMS, linger=0.2)


class RateSettings(Strict):
    """Splio's two limits, counted by the client's address: 20 and 10 requests a second (2.8)."""

    contacts: Rate | None = Field(15.0, description="calls about contacts; Splio takes 20 a second; null: no limit")
    other: Rate | None = Field(8.0, description="all other calls; Splio takes 10 a second; null: no limit")


class UniqueField(Strict):
    """A custom field as the universe's unique key."""

    field: str = Field(min_length=1, description="the custom field's id, as it is sent")
    source: str = Field(alias="from", description="expression of its value")


def _host_only(url: str) -> str:
    """Paths are ours: what was copied from a documentation page with its `/data/…` works too."""
    return re.sub(r"(/(data|authenticate)(/.*)?)?/*$", "", url)


DataApi = Annotated[WebAddress, AfterValidator(_host_only)]
"""The address of Splio's Data API."""

Secret = Annotated[SecretStr, AfterValidator(one_word("copy it again"))]


class SplioContactsSettings(DestinationSettings):
    """A Splio universe, which the key belongs to."""

    type: Literal["splio_contacts"] = Field("splio_contacts", description="Splio contacts, by the Data API")
    api_key: Secret | None = Field(
        None, description="key of an API user of the universe; mints tokens", json_schema_extra=without_default
    )
    token: Secret | None = Field(
        None,
        description="access token to begin with; without `api_key` it is used until Splio refuses it",
        examples=["${SPLIO_CONTACTS_TOKEN}"],
    )
    base_url: DataApi = Field("https://api.splio.com", description="Splio's address")
    default_list_id: str | None = Field(
        None, description="list that contacts with marketing consent are subscribed to; null: none", examples=["25"]
    )
    default_language: str | None = Field(
        None, description="two letters, for new contacts whose event has no locale", examples=["en"]
    )
    custom_fields: dict[str, str] = Field(
        {"city": "city", "company": "company", "country": "country"},
        description="the custom fields' ids: what stands after `traits.`, or a whole expression",
        examples=[{"city": "city", "company": "company", "country": "country"}],
    )
    unique_key: Literal["email", "cellphone"] | UniqueField = Field(
        "email", description="how the universe tells contacts apart: email, cellphone or {field: c0, from: expression}"
    )
    on_existing: Literal["update", "reject"] = Field("update", description="what becomes of contacts Splio has already")
    bulk: bool = Field(False, description="create up to 1000 contacts in one call")
    subscribe: bool = Field(True, description="false: nobody is put on the list, as for replays of old events")
    creation_date_format: Literal["iso", "datetime"] = Field(
        "iso", description="iso: 2026-06-06T10:30:00Z; datetime: 2026-06-06 10:30:00, as Splio's own documentation has"
    )
    ids_as_numbers: Literal["auto", True, False] = Field(
        "auto", description="how ids of lists and fields are sent: auto makes numbers of those that are all digits"
    )
    default_region: Country | None = Field(
        None, description="country (FR, US, …) of phone numbers without country code; null: those are left out"
    )
    fields: dict[str, Any] = Field(
        {},
        description="expressions: change or add fields of the preset; null removes one",
        examples=[{"firstname": "traits.given_name | trim"}],
    )
    rate_limit: RateSettings | None = Field(  # type: ignore[assignment] # two limits where others have one
        RateSettings(),
        description="HTTP requests of the whole group; null: none",
        examples=[{"contacts": "15/s", "other": "8/s"}],
    )
    concurrency: Concurrency = Field(16, description=CONCURRENCY)

    @property
    def rates(self) -> Mapping[str, float | None]:
        """Both limits, that of contacts first."""
        limits = self.rate_limit or RateSettings(contacts=None, other=None)
        return {CONTACTS: limits.contacts, OTHER: limits.other}

    def mapping(self, preset: Preset, *, config: Mapping[str, object], place: str) -> Maps:
        """The preset with the custom fields, and subscription where consent is given and a list is there."""
        return contact_mapping(self, preset, config=config, place=place)

    def sent_id(self, text: str) -> int | str:
        """A list's or field's id as it is sent (2.5)."""
        return int(text) if self.ids_as_numbers is not False and text.isascii() and text.isdecimal() else text

    @property
    def unique_field(self) -> str:
        """The field of a message that holds the unique key."""
        return custom_field(self.unique_key.field) if isinstance(self.unique_key, UniqueField) else self.unique_key

    @field_validator("default_language")
    @classmethod
    def _a_language(cls, language: str | None) -> str | None:
        if language is not None and not re.fullmatch(r"[A-Za-z]{2}", language):
            raise ValueError("it must be a language's two letters, such as en")
        return language.lower() if language else None

    @field_validator("default_list_id")
    @classmethod
    def _an_id(cls, list_id: str | None) -> str | None:
        if list_id is not None and not list_id.strip():
            raise ValueError("it must be the list's id, or null for none")
        return list_id.strip() if list_id else None

    @field_validator("fields")
    @classmethod
    def _no_second_writer(cls, fields: dict[str, object]) -> dict[str, object]:
        """`lists` in an update would replace every membership of a contact (2.7)."""
        settings = {"lists": "default_list_id", "custom_fields": "custom_fields", SUBSCRIBED: "subscribe"}
        for field, setting in settings.items():
            if field in fields:
                raise ValueError(f"{field} is no plain field: see the setting `{setting}`")
        return fields

    @model_validator(mode="before")
    @classmethod
    def _bulk_batches(cls, given: Any) -> Any:
        """What `bulk` changes of the defaults: as many contacts in a call as Splio takes, and time to gather them."""
        if isinstance(given, dict) and str(given.get("bulk")).lower() == "true":
            batch = given.get("batch") or {}
            if isinstance(batch, dict):
                return given | {"batch": {"items": BULK.items, "linger": BULK.linger} | batch}
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> "SplioContactsSettings":
        if not (self.api_key or self.token):
            raise ValueError("api_key or token is required: api_key is the one that lasts")
        if self.batch.items > (BULK_ITEMS if self.bulk else 1):
            allowed = f"at most {BULK_ITEMS}" if self.bulk else "1, or bulk: true"
            raise ValueError(f"batch.items must be {allowed}: Splio takes no more in a call")
        if self.coalesce and self.on_existing == "reject":
            raise ValueError("coalesce would let through what on_existing: reject refuses: choose one")
        if isinstance(self.unique_key, UniqueField) and self.unique_key.field in self.custom_fields:
            raise ValueError(f"custom_fields.{self.unique_key.field} is the unique_key: name it there alone")
        if isinstance(self.unique_key, str) and self.fields.get(self.unique_key, "") is None:
            raise ValueError(f"fields.{self.unique_key} cannot be removed: it is the unique_key")
        return self._with_numeric_ids()

    def _with_numeric_ids(self) -> "SplioContactsSettings":
        """Itself, where each id that must be a number can be one."""
        ids = [*self.custom_fields, *([self.default_list_id] if self.default_list_id else [])]
        if isinstance(self.unique_key, UniqueField):
            ids.append(self.unique_key.field)
        if self.ids_as_numbers is True and (texts := [each for each in ids if not isinstance(self.sent_id(each), int)]):
            raise ValueError(f"ids_as_numbers: true, but {texts[0]!r} is no number")
        return self
