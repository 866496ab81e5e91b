"""The seam to HTTP: what destinations see of a call, and the three ways in which one can fail without an answer.

Nothing here retries. Redirects are answers like any other. `stream.http.client.Client` is what destinations hold.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

BODY_LIMIT = 1024 * 1024  # bytes of a response's body that are read; what follows is left on the wire


class NotSent(Exception):
    """The vendor certainly did not get the request: no connection was made."""


class Unanswered(Exception):
    """The request may or may not have reached the vendor: no complete answer came back."""


class CertificateRefused(Exception):
    """The vendor's certificate is not trusted; nothing was sent and nothing will be until someone acts."""


@dataclass(slots=True)  # not frozen: that makes it five times as dear, and there is one for each event
class Request:
    """One call. Headers name what the client does not set by itself; they and the body are never shown.

    *path* begins with a slash and is relative to the destination's `base_url`, or a whole URL at one of its addresses.
    *limit* names the vendor's limit that the call counts against, where it has several.
    """

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    limit: str = ""


class Response(Protocol):
    """An answer. The body is complete up to BODY_LIMIT bytes."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...

    def header(self, name: str) -> str | None:
        """The named header, whatever its case; None where absent or not readable as text."""

    def json(self) -> Any:
        """The body's JSON; None where it is not JSON, or nested too deep to be worked with."""


class Transport(Protocol):
    """One HTTP library, wrapped. A failed call raises NotSent, Unanswered or CertificateRefused, and nothing else."""

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        """The answer to one request, which is over (answered, failed or abandoned) within *timeout* seconds."""

    async def close(self) -> None: ...
