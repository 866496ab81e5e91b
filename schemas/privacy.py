"""Requests for access and deletion, and what became of them, as they cross their topics."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Kind: TypeAlias = Literal["access", "deletion"]
Status: TypeAlias = Literal["completed", "no_records", "partial", "failed", "not_configured"]
Json: TypeAlias = dict[str, Any]

Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=320, pattern=r"^[^\s@]+@[^\s@]+$")]


class Identity(BaseModel):
    """Who it is about."""

    model_config = ConfigDict(frozen=True)

    email: Email = Field(description="the person's email address")


class PrivacyRequest(BaseModel):
    """A request of one person, made once the person is known to be who it is. Other keys are tolerated."""

    model_config = ConfigDict(frozen=True)

    request_id: str = Field(min_length=1, max_length=200, description="the key of its results")
    kind: Kind = Field(description="access: all that a vendor holds; deletion: remove it there")
    identity: Identity
    requested_at: AwareDatetime


class Step(BaseModel):
    """One vendor call, for the audit: no personal values but the vendor's own id of a profile."""

    model_config = ConfigDict(frozen=True)

    step: str = Field(description="find, attributes, segments, messages, activities, delete, suppress or verify")
    at: AwareDatetime
    endpoint: str = Field(description="method and path, without what identifies the person")
    status: int | str = Field(description="the vendor's, or `not_sent` or `unanswered`")
    cio_id: str | None = Field(None, description="the profile's id at the vendor")
    count: int | None = Field(None, description="how many records the answer held")
    detail: str | None = Field(None, description="what the vendor said where it refused")


class PrivacyResult(BaseModel):
    """What became of a request at one destination. One that is larger than a record comes in parts, in order.

    completed: all was read, or removed and seen to be gone. no_records: the vendor knows nobody of that address.
    partial: `detail` and `steps` say what is missing. failed: nothing was read or removed. not_configured: the
    destination has no credentials for it.
    """

    model_config = ConfigDict(frozen=True)

    request_id: str
    destination: str = Field(description="its name in the configuration")
    kind: Kind
    status: Status
    records_found: int = Field(0, ge=0, description="profiles of that address")
    data: Json | None = Field(None, description="of an access: `profiles` with what each holds")
    detail: str | None = Field(None, description="why it is not complete")
    steps: tuple[Step, ...] = ()
    part: int | None = Field(None, ge=1, description="which of `parts` this is; `data.profiles` and `steps` add up")
    parts: int | None = Field(None, ge=1)


def request_schema() -> Json:
    """The JSON Schema of a request."""
    return _schema(PrivacyRequest)


def result_schema() -> Json:
    """The JSON Schema of a result."""
    return _schema(PrivacyResult)


def _schema(model: type[BaseModel]) -> Json:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema()
