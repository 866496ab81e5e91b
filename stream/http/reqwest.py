"""Calls by pyreqwest: HTTP/2 and proxies. What its errors mean was probed at 0.15.1, the pinned version."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import RequestError
from pyreqwest.proxy import ProxyBuilder

from stream.http import BODY_LIMIT, CertificateRefused, NotSent, Response, Unanswered
from stream.http.connections import WITH_BODY, Connections
from stream.http.responses import Answer


class ReqwestTransport:
    """A `Transport`. A call whose task is cancelled is abandoned, not stopped: only *timeout* bounds it."""

    def __init__(self, connections: Connections) -> None:
        builder = (
            ClientBuilder()
            .follow_redirects(False)
            .referer(False)
            .no_proxy()  # else the environment's, even for loopback
            .gzip(False)  # BODY_LIMIT would bound what is read, not what it unpacks to
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .user_agent(connections.user_agent)
            .connect_timeout(timedelta(seconds=connections.connect_timeout))
            .pool_idle_timeout(timedelta(seconds=connections.idle))
        )
        if connections.http2:  # all calls share a connection, so one that is dead must be found out by asking
            every = timedelta(seconds=connections.connect_timeout)
            builder = builder.http2(True).http2_keep_alive_interval(every).http2_keep_alive_timeout(every)
        else:
            builder = builder.http1_only()
        if not connections.keep_alive:
            builder = builder.pool_max_idle_per_host(0)
        if connections.proxy:
            builder = builder.proxy(ProxyBuilder.all(connections.proxy))
        for certificate in connections.authorities():
            builder = builder.add_root_certificate_pem(certificate)
        if identity := connections.identity():
            builder = builder.identity_pem(identity)
        self._client = builder.build()

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        """The answer to one request, which is over (answered, failed or abandoned) within *timeout* seconds."""
        request = self._client.request(method, url).headers(headers).timeout(_timedelta(timeout))
        if body:
            request = request.body_bytes(body)
        elif method in WITH_BODY:
            request = request.header("Content-Length", "0")
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            async with request.build_streamed() as response:
                content = await response.body_reader.read(BODY_LIMIT)
                body = b"" if content is None else bytes(content)
                outcome: Response | Exception = Answer(response.status, body, response.get_header)
        except RequestError as error:
            outcome = _failure(error)
        if task and task.cancelling() > cancels:  # pyreqwest swallows a cancel that meets the answer (0.15.1)
            raise asyncio.CancelledError
        if isinstance(outcome, Exception):
            raise outcome  # out here it drags no cause along: pyreqwest's text holds the URL, which may name a person
        return outcome

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()
        await asyncio.sleep(0.05)  # its own thread still ends: Python aborts where the process is gone before (0.15.1)


@lru_cache(maxsize=1024)
def _tenths(number: int) -> timedelta:
    return timedelta(seconds=number / 10)


def _timedelta(seconds: float) -> timedelta:
    """Rounded down to tenths, which are made once; exact where that would be nothing."""
    return _tenths(int(seconds * 10)) if seconds >= 1 else timedelta(seconds=seconds)


def _failure(error: RequestError) -> NotSent | Unanswered | CertificateRefused:
    """What *error* means. Its type misleads (a reset after sending is a `ConnectError`); its causes do not."""
    causes = [cause["message"] for cause in error.details["causes"] or ()]
    text = _last_without_url(causes)
    if "client error (Connect)" not in causes:
        return Unanswered(text)
    if text.startswith("invalid peer certificate"):
        return CertificateRefused(text)
    return NotSent(text)


def _last_without_url(causes: Iterable[str]) -> str:
    return next((text for text in reversed([*causes]) if " for url " not in text), "no answer")
