"""How each client reaches the broker: address, encryption, login. Why one was refused is explained in `admin`."""

import ssl
from pathlib import Path
from typing import Any

from stream.errors import Exit, UserError
from stream.kafka.settings import KafkaSettings, SecuritySettings


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


def _encryption(security: SecuritySettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if security.ca_file:
        context = _read("ca_file", security.ca_file, lambda: ssl.create_default_context(cafile=security.ca_file))
    if cert_file := security.cert_file:
        # Without a password given here, OpenSSL would ask for one on the terminal and wait.
        _read(
            "key_file" if security.key_file else "cert_file",
            security.key_file or cert_file,
            lambda: context.load_cert_chain(cert_file, security.key_file, password=""),
        )
    return context


def _read(key: str, file: Path, load: Any) -> Any:
    try:
        return load()
    except ssl.SSLError:
        problem = "holds nothing that can be used: PEM is expected, a key without a passphrase and of its certificate"
    except OSError as error:
        problem = f"cannot be read: {(error.strerror or 'no reason given').lower()}"
    raise UserError(f"kafka.security.{key}: {file} {problem}", exit_code=Exit.BAD_FILE)
