"""The `http` block of the configuration, and the transport that it asks for."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from stream.core.strict import Strict
from stream.core.units import Duration
from stream.http import Transport
from stream.http.connections import Connections


class HttpSettings(Strict):
    """How vendors are called; the same for all destinations."""

    transport: Literal["fast", "httpx"] = Field("fast", description="the library that makes the calls")
    timeout: Duration = Field(10.0, gt=0, description="how long one call may take, from connecting to the last byte")
    http2: bool = Field(
        False,
        description="speak HTTP/2 where a vendor offers it and calls may be repeated; it bounds the calls in flight",
    )
    proxy: SecretStr | None = Field(None, description="http://user:password@host:port; the environment's is not used")
    ca_file: Path | None = Field(None, description="PEM file of authorities to trust besides the usual ones")
    cert_file: Path | None = Field(None, description="PEM file of our own certificate, where a vendor wants one")
    key_file: Path | None = Field(None, description="PEM file of that certificate's key")

    @field_validator("proxy")
    @classmethod
    def _is_address(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            parts = urlsplit(proxy.get_secret_value())
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                raise ValueError("it must be an address like http://proxy.example.com:3128")
        return proxy

    @model_validator(mode="after")
    def _can_speak(self) -> "HttpSettings":
        if self.http2 and self.transport != "fast":
            raise ValueError("http2 needs transport: fast")
        return self

    @model_validator(mode="after")
    def _in_pairs(self) -> "HttpSettings":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self

    def connections(self, *, keep_alive: bool = True) -> Connections:
        """The same for a transport. A connection gets half of the timeout, 3 s at most.

        So one that is never made is told from an answer that never came.
        """
        return Connections(
            connect_timeout=min(3.0, self.timeout / 2),
            keep_alive=keep_alive,
            http2=self.http2 and keep_alive,
            proxy=self.proxy.get_secret_value() if self.proxy else None,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )


def open_transport(settings: HttpSettings, *, keep_alive: bool = True) -> Transport:
    """A transport as the configuration asks for; close it when done. Raises UserError for unreadable files.

    *keep_alive* False for destinations that are not repeatable; they do without HTTP/2 too, as the library sends what
    the other side refused once more by itself.
    """
    connections = settings.connections(keep_alive=keep_alive)
    if settings.transport == "httpx":
        from stream.http.plain import HttpxTransport

        return HttpxTransport(connections)
    if connections.http2 or connections.proxy:
        from stream.http.reqwest import ReqwestTransport

        return ReqwestTransport(connections)
    from stream.http.direct import DirectTransport

    return DirectTransport(connections)
