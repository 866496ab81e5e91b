"""How connections are made, whichever library makes them."""

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi

from stream import __version__
from stream.errors import Exit, UserError
from stream.http import CertificateRefused, NotSent

CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)

WITH_BODY = {"POST", "PUT", "PATCH"}  # a request that could have a body says so when it has none (RFC 9110, 8.6)


@dataclass(frozen=True, slots=True)
class Connections:
    """What each transport is told of connections. Times are seconds.

    *keep_alive* False: every call opens its own, for vendors whose calls must not be repeated: an idle one that the
    vendor has closed meanwhile makes calls of unknown fate.
    """

    connect_timeout: float = 3.0
    keep_alive: bool = True
    http2: bool = False  # where the other side offers it under TLS
    idle: float = 15.0  # shorter than vendors and what stands before them wait, so that they seldom close first
    proxy: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def user_agent(self) -> str:
        """Who calls."""
        return f"crmstream/{__version__}"

    def authorities(self) -> list[bytes]:
        """The certificates of `ca_file`, one PEM text each; they are trusted besides the system's."""
        if self.ca_file is None:
            return []
        found = CERTIFICATE.findall(_read(self.ca_file, "ca_file"))
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"".join(found).decode())
        except (ssl.SSLError, ValueError):  # an empty text is a ValueError
            raise UserError("http.ca_file holds no readable PEM certificate", exit_code=Exit.BAD_FILE) from None
        return found

    def tls(self) -> ssl.SSLContext:
        """Whom to trust, and who we are, where Python's TLS is used. Raises UserError for unreadable files."""
        context = ssl.create_default_context()  # the system's authorities
        context.load_verify_locations(certifi.where())  # some systems have none
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever this machine's OpenSSL would agree to
        for certificate in self.authorities():
            context.load_verify_locations(cadata=certificate.decode())
        if self.identity() and self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def identity(self) -> bytes | None:
        """Our own certificate and its key, as one PEM text."""
        if self.cert_file is None or self.key_file is None:
            return None
        pem = _read(self.cert_file, "cert_file") + b"\n" + _read(self.key_file, "key_file")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(self.cert_file, self.key_file, password="")
        except ssl.SSLError:
            text = "http.cert_file and http.key_file are not a PEM certificate and its key without a password"
            raise UserError(text, exit_code=Exit.BAD_FILE) from None
        return pem


def not_made(error: BaseException) -> NotSent | CertificateRefused:
    """What kept a connection from being made, in words that name no address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateRefused(f"invalid peer certificate: {error.verify_message}")
    if isinstance(error, ssl.SSLError):  # an OSError whose number is OpenSSL's own
        return NotSent(f"tls handshake failed: {error.reason or 'no reason given'}")
    number = error.errno if isinstance(error, OSError) else None
    return NotSent(os.strerror(number) if number and number > 0 else "no connection")


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"http.{setting} cannot be read: {error.strerror}", exit_code=Exit.BAD_FILE) from None
