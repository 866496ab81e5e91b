"""What a dead letter says of itself: the headers beside the original key and value, written and read back."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.times import moment, rfc3339

CONNECT = "__connect.errors."
OURS = "crmstream."

STAGES = {"undecodable": "VALUE_CONVERTER", "unmappable": "TRANSFORMATION"}
"""Kafka Connect's word for where a reason arises; all others arise at the vendor: `TASK_PUT`."""

_UUID = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
_VARYING = re.compile(rf""""[^"]*"|'[^']*'|`[^`]*`|{_UUID}|\d+""")

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a record was buried.

    *detail* is masked text; *first_failed_at* is seconds since the epoch, of which milliseconds are kept.
    """

    destination: str
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    attempts: int
    first_failed_at: float
    status: int | None = None  # of the vendor's last answer, where there was one

    @property
    def identity(self) -> str:
        """What tools de-duplicate by: one record is buried once for each destination."""
        return f"{self.destination}/{self.topic}/{self.partition}/{self.offset}"

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits shared by failures that differ only in numbers and quoted parts."""
        alike = _VARYING.sub("_", self.detail)
        return hashlib.sha256(f"{self.destination}\n{self.reason}\n{alike}".encode()).hexdigest()[:12]

    def headers(self) -> Headers:
        """Kafka Connect's error headers, then our own; `crmstream.status` only where there is one."""
        values = {
            f"{CONNECT}topic": self.topic,
            f"{CONNECT}partition": str(self.partition),
            f"{CONNECT}offset": str(self.offset),
            f"{CONNECT}connector.name": self.destination,
            f"{CONNECT}stage": STAGES.get(self.reason, "TASK_PUT"),
            f"{CONNECT}exception.class.name": f"{OURS}{self.reason}",
            f"{CONNECT}exception.message": self.detail,
            f"{OURS}destination": self.destination,
            f"{OURS}reason": self.reason,
            f"{OURS}detail": self.detail,
            f"{OURS}attempts": str(self.attempts),
            f"{OURS}first_failed_at": rfc3339(self.first_failed_at),
            f"{OURS}fingerprint": self.fingerprint,
        }
        if self.status is not None:
            values[f"{OURS}status"] = str(self.status)
        return [(name, value.encode()) for name, value in values.items()]

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes | None]]) -> "DeadLetter":
        """The letter these headers tell of, whatever else is among them.

        Raises ValueError, without their content, where one is missing or unreadable: not a letter of ours.
        """
        found = {name: value for name, value in headers if value is not None}
        try:
            return cls(
                destination=found[f"{OURS}destination"].decode(),
                topic=found[f"{CONNECT}topic"].decode(),
                partition=_count(found[f"{CONNECT}partition"]),
                offset=_count(found[f"{CONNECT}offset"]),
                reason=found[f"{OURS}reason"].decode(),
                detail=found[f"{OURS}detail"].decode(),
                attempts=_count(found[f"{OURS}attempts"]),
                first_failed_at=moment(found[f"{OURS}first_failed_at"].decode()),
                status=int(found[f"{OURS}status"]) if f"{OURS}status" in found else None,
            )
        except KeyError as missing:
            raise ValueError(f"not a dead letter: no header {missing.args[0]}") from None
        except ValueError:
            raise ValueError("not a dead letter: a header is unreadable") from None


def _count(text: bytes) -> int:
    """A number that counts something: from 0."""
    if not text.isdigit():
        raise ValueError("not a count")
    return int(text)
