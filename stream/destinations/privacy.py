"""What destinations have in common that answer privacy requests instead of taking events.

How requests and answers cross their topics is `stream.topics.privacy`; it is also the desk that such a destination is
given before its first message.
"""

from typing import Protocol

import orjson

from schemas.erasures import normalised
from schemas.events import Event
from schemas.privacy import PrivacyResult
from stream.core.outcomes import Filtered
from stream.core.records import Fields
from stream.destinations.base import Calls


class Desk(Protocol):
    """Where answers go. Both return once the broker has what they write, however long that takes."""

    async def erase(self, email: str, at: float) -> bool:
        """Note that the person is erased, for what happened up to *at*, seconds since the epoch.

        False where just that was noted before: the request comes a second time, after a restart or for another vendor.
        """

    async def answer(self, result: PrivacyResult) -> None:
        """Write what became of a request."""


class PrivacyCalls(Calls):
    """A destination whose messages are privacy requests, with the fields `request_id`, `kind` and `email`."""

    reads = "privacy_requests"
    at_once = 64  # answers that are kept in memory, all or in part
    name: str  # in the configuration
    desk: Desk  # both are set before the first message; `check` needs neither

    def key(self, fields: Fields) -> str:
        """The email address: requests of one person are answered in their order."""
        return normalised(str(fields["email"]))

    def encode(self, fields: Fields) -> bytes:
        """The request as it came; what is sent depends on what the vendor answers."""
        return orjson.dumps(fields)


class NoEvents:
    """The mapping of a destination that takes none."""

    traits: frozenset[str] = frozenset()

    def takes(self, _: Event) -> bool:
        """No."""
        return False

    def map(self, _: Event) -> Filtered:
        """Nothing."""
        return Filtered("not_this_event")
