"""What an answer to a privacy request still needs, and what it has. Pure: who makes the calls is `client.py`.

An answer is made of parts (to find the person, one collection of one profile, one deletion), and each part of calls. A
part that fails leaves the others alone, and only that part is tried again.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import quote

from schemas.privacy import Status, Step
from stream.destinations.customerio.verdicts import Api

Json: TypeAlias = dict[str, Any]
Part: TypeAlias = tuple[str | None, str]
"""A profile's `cio_id`, and what is done with it."""

FIND = "find"


@dataclass(frozen=True, slots=True)
class Call:
    """One vendor call. *path* comes after the API's host; *endpoint* is the same without what identifies anybody."""

    step: str
    api: Api
    method: str
    path: str
    endpoint: str
    expects: str = ""  # what a good answer's object holds; empty: any object
    cio_id: str | None = None

    @property
    def part(self) -> Part:
        """What of the answer it is about."""
        return self.cio_id, self.step


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to call for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a result says beyond whose it is."""

    status: Status
    records_found: int = 0
    data: Json | None = None
    detail: str | None = None


class Work(ABC):
    """The way to one answer. It begins by finding the profiles of an email address, of which there may be several."""

    def __init__(self, email: str) -> None:
        self.email = email
        self.found: dict[str, Json] | None = None  # profiles by their cio_id; None before anybody has looked
        self.steps: list[Step] = []
        self.refused: dict[Part, str] = {}  # parts that will never succeed, and why
        self._failures = Counter[Part]()

    @abstractmethod
    def next(self, tried: Collection[Part]) -> Call | Pause | None:
        """What to do now, leaving out the parts *tried* in vain; None where nothing else is left."""

    @abstractmethod
    def take(self, call: Call, content: Json) -> int:
        """Keep what a good answer holds; how many records that is. Raises ValueError for what cannot be."""

    @abstractmethod
    def absent(self, call: Call) -> None:
        """The vendor knows nothing of what the call is about (404)."""

    @abstractmethod
    def shorten(self, call: Call) -> bool:
        """Ask for less at once, as the answer was too long to be read; False where that is not possible."""

    @abstractmethod
    def answer(self, trouble: str = "") -> Answer:
        """What can be said now; *trouble*: why no more is to come."""

    def fail(self, call: Call) -> None:
        """The part of this call did not succeed this time: others go first."""
        self._failures[call.part] += 1

    def refuse(self, call: Call, detail: str) -> None:
        """The part of this call can never succeed."""
        self.refused[call.part] = detail

    def note(
        self, call: Call, status: int | str, now: float, *, count: int | None = None, detail: str | None = None
    ) -> None:
        """Write down a call that was made, for the audit. *now* is seconds since the epoch."""
        at = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
        endpoint, cio_id = call.endpoint, call.cio_id
        self.steps.append(
            Step(step=call.step, at=at, endpoint=endpoint, status=status, cio_id=cio_id, count=count, detail=detail)
        )

    def open(self, part: Part, tried: Collection[Part]) -> bool:
        """Whether the part may be tried now."""
        return part not in tried and part not in self.refused

    def failures(self, part: Part) -> int:
        """How often it was tried in vain."""
        return self._failures[part]

    def find(self, step: str = FIND) -> Call:
        """The lookup by email address; without its percent-encoding, one with a plus would be nobody's (6.3)."""
        path = f"/v1/customers?email={quote(self.email, safe='')}"
        return Call(step, "app", "GET", path, "GET /v1/customers", "results")


def profiles(results: Any) -> dict[str, Json]:
    """People as the lookup lists them, by their cio_id. Raises ValueError for what is no such list."""
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise ValueError("no list of people")
    if not all(isinstance(each.get("cio_id"), str) and each["cio_id"] for each in results):
        raise ValueError("a person without cio_id")
    return {each["cio_id"]: each for each in results}
