"""What would be sent unencrypted is said: it may be meant, and it may be a letter that is missing."""

from pathlib import Path

import pytest

from stream.settings import exposed
from tests.unit.configurations import DESTINATIONS, KAFKA, SMALLEST, SOURCE, loaded, written
from tests.unit.test_cli_offline import crmstream

AWAY = "kafka:\n  bootstrap_servers: {servers}\n  security: {{protocol: {protocol}, {login}}}\n"
LOGIN = "username: crm, password: s3cret, mechanism: "


@pytest.mark.parametrize(
    "url, said",
    [
        ("https://api.attio.com", False),
        ("http://api.attio.com", True),
        ("HTTP://api.attio.com/v2", True),
        ("http://sandbox:8090", True),
        ("http://10.0.0.7", True),
        ("http://localhost.example.com", True),
        ("http://localhost:8090", False),
        ("http://127.0.0.1:8090", False),
        ("http://[::1]:8090", False),
    ],
)
def test_an_address_without_encryption_is_named(url: str, said: bool, tmp_path: Path) -> None:
    """By its key; what stays on this machine is nobody's business."""
    found = [*exposed(loaded(tmp_path, f"{SMALLEST}    base_url: {url}\n"))]

    assert ["destinations.attio.base_url"] * said == [sentence.partition(" ")[0] for sentence in found]


def test_every_address_is_looked_at(tmp_path: Path) -> None:
    """A destination may have several; one that is not enabled sends nothing."""
    keys = "app_api_key: a, site_id: b, tracking_api_key: c, track_url: http://track.example.com"
    privacy = "privacy: {requests: asked, results: answered, key: s3cret-of-16-bytes}\n"
    text = f"{KAFKA}{SOURCE}{privacy}destinations:\n  cio: {{type: customerio, {keys}}}\n"

    assert 1 == len([*exposed(loaded(tmp_path, text))])
    assert [] == [*exposed(loaded(tmp_path, text.replace("customerio,", "customerio, enabled: false,")))]


@pytest.mark.parametrize(
    "servers, protocol, login, said",
    [
        ("kafka:9092", "SASL_PLAINTEXT", LOGIN + "PLAIN", "can be read."),
        ("kafka:9092", "SASL_PLAINTEXT", LOGIN + "SCRAM-SHA-512", "can be guessed at"),
        ("'localhost:9092,kafka:9092'", "SASL_PLAINTEXT", LOGIN + "PLAIN", "can be read."),
        ("'localhost:9092,[::1]:9092,127.0.0.1'", "SASL_PLAINTEXT", LOGIN + "PLAIN", ""),
        ("kafka:9092", "SASL_SSL", LOGIN + "PLAIN", ""),
        ("kafka:9092", "SSL", "", ""),
        ("kafka:9092", "PLAINTEXT", "", ""),
    ],
)
def test_a_login_without_encryption_is_named(
    servers: str, protocol: str, login: str, said: str, tmp_path: Path
) -> None:
    """With what becomes of the password. A broker open to everyone has none to lose."""
    found = [
        *exposed(loaded(tmp_path, AWAY.format(servers=servers, protocol=protocol, login=login) + SOURCE + DESTINATIONS))
    ]

    assert bool(said) == bool(found)
    assert said in "".join(found)


def test_run_and_check_say_it(tmp_path: Path) -> None:
    """On stderr, before anything is connected to."""
    kafka = "kafka:\n  bootstrap_servers: 127.0.0.1:1\n"
    config = written(tmp_path, kafka + SOURCE + DESTINATIONS + "    base_url: http://vendor.invalid\n")

    code, out, err = crmstream("check", config=config)
    assert (0, 1) == (code, err.count("destinations.attio.base_url is http"))
    assert "destinations.attio.base_url" not in out
    code, _, err = crmstream("run", config=config)
    assert (1, 1) == (code, err.count("destinations.attio.base_url is http"))
