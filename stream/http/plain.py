"""Calls by httpx, the transport people know: slower, and held to the same contract suite as the fast one."""

import asyncio
import logging
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from stream.http import BODY_LIMIT, CertificateRefused, NotSent, Response, Unanswered
from stream.http.connections import Connections, not_made
from stream.http.responses import Answer, among

for name in ("httpx", "httpcore"):  # they log addresses and headers, which hold personal data and secrets
    logging.getLogger(name).setLevel(logging.WARNING)

# Said in our words: httpx's may quote what the vendor sent, or which address was called.
NOT_SENT = {
    httpx.ConnectTimeout: "connecting took too long",
    httpx.ProxyError: "the proxy made no connection",
}
UNANSWERED = {
    httpx.ReadError: "the connection was lost before the answer was complete",
    httpx.RemoteProtocolError: "the answer was cut off, or is not HTTP",
    httpx.WriteError: "the connection was lost while sending",
}


class HttpxTransport:
    """A `Transport` on httpx and anyio."""

    def __init__(self, connections: Connections) -> None:
        self._client = httpx.AsyncClient(
            verify=connections.tls(),
            trust_env=False,
            follow_redirects=False,
            proxy=connections.proxy,
            headers={"User-Agent": connections.user_agent, "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(None, connect=connections.connect_timeout),
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=None if connections.keep_alive else 0,
                keepalive_expiry=connections.idle,
            ),
        )

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        """The answer to one request, which is over (answered, failed or abandoned) within *timeout* seconds."""
        try:
            async with (
                asyncio.timeout(timeout),
                self._client.stream(method, url, headers=headers, content=body) as response,
            ):
                return Answer(response.status_code, await _beginning(response), partial(among, response.headers.raw))
        except TimeoutError:
            failure: NotSent | Unanswered | CertificateRefused = Unanswered("operation timed out")
        except httpx.TransportError as error:
            failure = _failure(error)
        raise failure  # out here it drags no cause along, whose text may quote what was sent

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()


async def _beginning(response: httpx.Response) -> bytes:
    """The body as sent, up to BODY_LIMIT bytes."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= BODY_LIMIT:
            break
    return bytes(body[:BODY_LIMIT])


def _failure(error: httpx.TransportError) -> NotSent | Unanswered | CertificateRefused:
    if isinstance(error, httpx.ConnectError):
        return not_made(_root(error))
    if text := NOT_SENT.get(type(error)):
        return NotSent(text)
    return Unanswered(UNANSWERED.get(type(error), "no answer"))


def _root(error: BaseException) -> BaseException:
    """What *error* began with."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
