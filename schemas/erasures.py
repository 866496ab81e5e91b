"""Who asked to be erased, as it lies in the topic of erasures, keyed by a hash of the person; and that hash."""

import hashlib
import hmac
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Erasure(BaseModel):
    """A person's erasure: since when, and whether a later consent has ended it."""

    model_config = ConfigDict(frozen=True)

    erased_at: AwareDatetime = Field(description="what happened up to then is never delivered again")
    lifted_at: AwareDatetime | None = Field(None, description="what happened after `erased_at` counts from here on")


def normalised(email: str) -> str:
    """One spelling of an email address: trimmed, in lower case."""
    return email.strip().lower()


def person(key: bytes, email: str) -> str:
    """The name of a person in the topic: hexadecimal HMAC-SHA256, keyed by `privacy.key`, of the normalised email."""
    return hmac.new(key, normalised(email).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an erasure."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Erasure.model_json_schema()
