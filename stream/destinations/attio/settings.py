"""What a configuration may say of an Attio destination. The mapping is in `preset.yaml`."""

import re
from typing import Literal

from pydantic import Field, field_validator

from stream.core.units import Concurrency, Rate
from stream.destinations.base import CONCURRENCY, BatchSettings, DestinationSettings
from stream.destinations.values import Country, Key, WebAddress

ATTRIBUTES = {
    "email": "email_addresses",
    "first_name": "name",
    "last_name": "name",
    "name": "name",
    "phone": "phone_numbers",
    "job_title": "job_title",
    "description": "description",
}
"""The preset's fields to the slugs of the attributes they are written to. Any other field is a slug itself."""


class AttioSettings(DestinationSettings):
    """An Attio workspace, which the key belongs to."""

    type: Literal["attio"] = Field("attio", description="Attio")
    api_key: Key = Field(
        description="API key or OAuth access token with record_permission:read-write and object_configuration:read"
    )
    base_url: WebAddress = Field("https://api.attio.com", description="Attio's address")
    rate_limit: Rate | None = Field(20.0, description="HTTP requests of the whole group; Attio takes 25 a second")
    concurrency: Concurrency = Field(32, description=CONCURRENCY)
    phone_mode: Literal["overwrite", "only_if_empty", "omit"] = Field(
        "overwrite",
        description="overwrite: the event's number replaces all numbers of the person; "
        "only_if_empty: reads first and leaves existing numbers alone; omit: never sends one",
    )
    default_region: Country | None = Field(
        None, description="country (FR, US, …) of phone numbers without country code; null: those are left out"
    )

    @field_validator("base_url")
    @classmethod
    def _host_only(cls, url: str) -> str:
        """Paths are ours: what was copied from a documentation page with its `/v2/…` works too."""
        return re.sub(r"(/v2(/.*)?)?/*$", "", url)

    @field_validator("batch")
    @classmethod
    def _one_person_a_call(cls, batch: BatchSettings) -> BatchSettings:
        if batch.items != 1:
            raise ValueError("items must be 1: Attio has no call for several people")
        return batch

    @field_validator("fields")
    @classmethod
    def _no_second_writer(cls, fields: dict[str, object]) -> dict[str, object]:
        """`email_addresses` as a field of its own would replace what the field `email` writes."""
        for field, slug in ATTRIBUTES.items():
            if slug in fields and slug not in ATTRIBUTES:
                raise ValueError(f"{slug} is written by the field `{field}`: change that one")
        if fields.get("email", "") is None:
            raise ValueError("email cannot be removed: Attio matches people by it")
        return fields
