"""How each client reaches the broker: address, encryption, login; and what it means when one of these is refused."""

import ssl
from pathlib import Path
from typing import Any

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

import stream.kafka.broken  # noqa: F401 - whoever connects needs it
from stream.errors import Exit, UserError
from stream.kafka.settings import KafkaSettings, SecuritySettings

CLOSED = (  # which is all that a broker says to whom it does not like
    "it closed the connection",
    "see kafka.security: protocol, and cert_file where it asks for a certificate, which may have expired",
)
TIME = {9, 10}  # OpenSSL's codes of a certificate that is not valid yet, or not any more
NAME = {62, 64}  # of another host, of another address


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments that every aiokafka client takes.

    Raises UserError where a certificate or key cannot be read.
    """
    arguments: dict[str, Any] = {"bootstrap_servers": settings.bootstrap_servers, "client_id": settings.client_id}
    if (security := settings.security) is None:
        return arguments
    arguments["security_protocol"] = security.protocol
    if security.protocol.endswith("SSL"):
        arguments["ssl_context"] = _encryption(security)
    if security.protocol.startswith("SASL") and security.password is not None:
        arguments["sasl_mechanism"] = security.mechanism
        arguments["sasl_plain_username"] = security.username
        arguments["sasl_plain_password"] = security.password.get_secret_value()
    return arguments


def refusal(error: BaseException) -> tuple[str, str] | None:
    """What was refused and what to do, in plain words without user name and password; None for another failure."""
    match error:
        case SaslAuthenticationFailed():
            return "it refused the login", "see kafka.security.username and password"
        case UnsupportedSaslMechanismError():
            return "it does not offer this way to log in", "see kafka.security.mechanism"
        case IllegalSaslStateError():
            return "it asks nobody to log in", "see kafka.security.protocol"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}", _remedy(error)
        case ssl.SSLError():
            return "it did not agree on an encrypted connection", "see kafka.security: protocol, cert_file and key_file"
        case ConnectionError() | KafkaError() if not getattr(error, "errno", None):
            return CLOSED
    return None


def _encryption(security: SecuritySettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if security.ca_file:  # and nobody else's
        context = _read("ca_file", security.ca_file, lambda: ssl.create_default_context(cafile=security.ca_file))
    if cert_file := security.cert_file:
        # Without a password given here, OpenSSL would ask for one on the terminal and wait.
        _read(
            "key_file" if security.key_file else "cert_file",
            security.key_file or cert_file,
            lambda: context.load_cert_chain(cert_file, security.key_file, password=""),
        )
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever this machine's OpenSSL would agree to
    return context


def _read(key: str, file: Path, load: Any) -> Any:
    try:
        return load()
    except ssl.SSLError:
        problem = "holds nothing that can be used: PEM is expected, a key without a passphrase and of its certificate"
    except OSError as error:
        problem = f"cannot be read: {(error.strerror or 'no reason given').lower()}"
    raise UserError(f"kafka.security.{key}: {file} {problem}", exit_code=Exit.BAD_FILE)


def _remedy(error: ssl.SSLCertVerificationError) -> str:
    """What to do about a broker's certificate that is not trusted."""
    if error.verify_code in TIME:
        return "the broker needs a new certificate, or this machine the right time"
    if error.verify_code in NAME:
        return "kafka.bootstrap_servers, and what the broker advertises, must be names that its certificate has"
    return "kafka.security.ca_file must hold the authority that signed it"
