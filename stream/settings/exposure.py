"""Keys and logins that a configuration sends unencrypted. Allowed, for stand-ins and what runs beside us; but said."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from stream.kafka.settings import KafkaSettings
from stream.settings.model import Settings


def exposed(settings: Settings) -> Iterator[str]:
    """A sentence for each vendor's address and each login where others could read along, with what to do."""
    yield from _login(settings.kafka)
    for name, destination in settings.destinations.items():
        for key, url in destination if destination.enabled else ():
            if key.endswith("_url") and url and urlsplit(url).scheme == "http" and not _here(urlsplit(url).hostname):
                yield (
                    f"destinations.{name}.{key} is http: its keys and people's data can be read on the way. "
                    "Write https, unless it is a stand-in or runs beside crmstream"
                )


def _login(kafka: KafkaSettings) -> Iterator[str]:
    security = kafka.security
    if security is None or security.protocol != "SASL_PLAINTEXT":
        return
    if not all(_here(server.rpartition(":")[0] or server) for server in kafka.bootstrap_servers):
        how = "be read" if security.mechanism == "PLAIN" else "be guessed at from what is read"
        yield (
            f"kafka.security.protocol SASL_PLAINTEXT does not encrypt: on the way, events can be read and the password "
            f"can {how}. Use SASL_SSL where the broker offers it"
        )


def _here(host: str | None) -> bool:
    """Whether what is sent there does not leave this machine."""
    name = (host or "").strip("[]").lower()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
