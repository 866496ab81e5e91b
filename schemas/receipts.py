"""What a destination has committed of a partition, as it lies in the topic of receipts. `crmstream verify` reads them.

A record's key is the consumer group, the topic and the partition, with a slash between.
"""

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Totals(BaseModel):
    """How many offsets ended how, since the group's counters began."""

    model_config = ConfigDict(frozen=True)

    delivered: int = Field(ge=0, description="taken by the vendor")
    coalesced: int = Field(ge=0, description="taken by the vendor in the call of a newer update")
    filtered: int = Field(ge=0, description="not for this destination")
    dead_lettered: int = Field(ge=0, description="buried, with a reason")
    absent: int = Field(ge=0, description="offsets without a record: compaction and transactions leave gaps")
    lost_to_retention: int = Field(ge=0, description="gone from the log before they were read, and given up")


class Receipt(BaseModel):
    """One commit of one partition. The totals hold what is settled above the position, too."""

    model_config = ConfigDict(frozen=True)

    destination: str
    topic: str
    partition: int = Field(ge=0)
    position: int = Field(ge=0, description="everything below this offset is settled")
    totals: Totals
    settled_above: int = Field(0, ge=0, description="offsets above the position that are settled; left out where none")
    at: AwareDatetime

    def to_json(self) -> bytes:
        """As it is written."""
        return self.model_dump_json(exclude_defaults=True).encode()


def key(group: str, topic: str, partition: int) -> bytes:
    """What a receipt is filed under: one group's share of one partition."""
    return f"{group}/{topic}/{partition}".encode()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a receipt."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Receipt.model_json_schema()
