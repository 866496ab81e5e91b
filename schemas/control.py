"""An operator's command as it lies in the control topic, keyed by the destination's name."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Command(BaseModel):
    """What an operator wants of a destination, since when and why."""

    model_config = ConfigDict(frozen=True)

    action: Literal["pause", "resume"]
    at: AwareDatetime
    reason: str = Field("", description="shown to whoever asks why it stands")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a command."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Command.model_json_schema()
