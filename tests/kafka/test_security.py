"""Encryption, login and client certificates, against a broker that insists on all three."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from stream.errors import Exit, UserError
from stream.kafka.admin import Admin, BrokerUnavailable
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings, SecuritySettings
from tests.kafka.broker import Broker, running_broker

SHOWN = "s3cret-of-plain"
HASHED = "s3cret-of-scram"


@dataclass(frozen=True)
class Guarded:
    """A broker behind SASL_SSL, and the files that open it."""

    broker: Broker
    ca_file: Path
    cert_file: Path
    key_file: Path

    def settings(self, **changes: Any) -> KafkaSettings:
        """What a user would configure, but for *changes*."""
        security = {
            "protocol": "SASL_SSL",
            "mechanism": "PLAIN",
            "username": "crm",
            "password": SecretStr(SHOWN),
            "ca_file": self.ca_file,
            "cert_file": self.cert_file,
            "key_file": self.key_file,
        } | changes
        return KafkaSettings(
            bootstrap_servers=[self.broker.bootstrap],
            security=SecuritySettings.model_validate({key: value for key, value in security.items() if value}),
        )


@pytest.fixture(scope="module")
def guarded(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The shared broker only tells where containers are reached: certificates are made for an address."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    ours = authority.issue_cert("crm.example.com")
    ours.private_key_pem.write_to_path(folder / "client.key")
    for number, part in enumerate(ours.cert_chain_pems):
        part.write_to_path(folder / "client.pem", append=number > 0)
    theirs = authority.issue_cert(broker.host)
    chain = b"".join(part.bytes() for part in theirs.cert_chain_pems)
    login = "org.apache.kafka.common.security"
    listener = {
        "SASL_ENABLED_MECHANISMS": "PLAIN,SCRAM-SHA-512",
        "PLAIN_SASL_JAAS_CONFIG": f'{login}.plain.PlainLoginModule required user_crm="{SHOWN}";',
        "SCRAM___SHA___512_SASL_JAAS_CONFIG": f"{login}.scram.ScramLoginModule required;",
        "SSL_CLIENT_AUTH": "required",
        "SSL_KEYSTORE_TYPE": "PEM",
        "SSL_KEYSTORE_KEY": one_line(pkcs8(theirs.private_key_pem.bytes())),
        "SSL_KEYSTORE_CERTIFICATE_CHAIN": one_line(chain),
        "SSL_TRUSTSTORE_TYPE": "PEM",
        "SSL_TRUSTSTORE_CERTIFICATES": one_line(authority.cert_pem.bytes()),
    }
    variables = {f"KAFKA_LISTENER_NAME_PLAINTEXT_{name}": value for name, value in listener.items()}
    with running_broker("SASL_SSL", **variables) as strict:
        alter = "kafka-configs --bootstrap-server localhost:9092 --alter --entity-type users --entity-name crm"
        result = strict.engine.exec_run([*alter.split(), "--add-config", f"SCRAM-SHA-512=[password={HASHED}]"])
        assert result.exit_code == 0, result.output
        yield Guarded(strict, folder / "ca.pem", folder / "client.pem", folder / "client.key")


def pkcs8(key: bytes) -> bytes:
    """The only form of a key that the broker reads."""
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def one_line(pem: bytes) -> str:
    """For a properties file."""
    return pem.decode().replace("\n", "\\n")


@pytest.mark.parametrize(
    "login",
    [{}, {"mechanism": "SCRAM-SHA-512", "password": SecretStr(HASHED)}],
    ids=["PLAIN", "SCRAM-SHA-512"],
)
async def test_the_right_credentials_get_through(guarded: Guarded, login: dict[str, Any]) -> None:
    """Encryption, our certificate and the login work together, also for the client that reads."""
    async with Admin(guarded.settings(**login)) as admin:
        await admin.ensure("guarded", partitions=1, compacted=False, create=True)
        assert {("guarded", 0): 0} == await admin.end_offsets([("guarded", 0)])


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"password": SecretStr("s3cret-but-wrong")}, "it refused the login"),
        ({"mechanism": "SCRAM-SHA-256"}, "it does not offer this way to log in"),
        ({"ca_file": None}, "its certificate is not trusted"),
        ({"protocol": "SASL_PLAINTEXT", "ca_file": None, "cert_file": None, "key_file": None}, "closed the connection"),
        ({"cert_file": None, "key_file": None}, "encrypted connection|closed the connection"),
    ],
    ids=["password", "mechanism", "authority", "protocol", "no certificate"],
)
async def test_what_is_wrong_is_said(guarded: Guarded, wrong: dict[str, Any], said: str) -> None:
    """Each refusal in its own words, none of which is a secret."""
    with pytest.raises(BrokerUnavailable, match=said) as refused:
        async with Admin(guarded.settings(**wrong)):
            pass

    assert "s3cret" not in str(refused.value)


def test_without_security_only_the_address_is_passed_on() -> None:
    """The client's own defaults are those of an open broker."""
    settings = KafkaSettings(bootstrap_servers=["one:9092", "two:9092"])

    assert {"bootstrap_servers": ["one:9092", "two:9092"], "client_id": "crmstream"} == connection(settings)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_is_missing_or_unusable_is_named(tmp_path: Path, key: str) -> None:
    """A bad file is found when it is read, and the error says under which key it stands."""
    usable = trustme.CA().issue_cert("crm.example.com").private_key_and_cert_chain_pem
    usable.write_to_path(tmp_path / "good.pem")
    good = {"cert_file": tmp_path / "good.pem"} | ({"key_file": tmp_path / "good.pem"} if key == "key_file" else {})
    bad = tmp_path / "bad.pem"

    def files() -> KafkaSettings:
        security = SecuritySettings.model_validate({"protocol": "SSL", **good, key: bad})
        return KafkaSettings(bootstrap_servers=["one:9092"], security=security)

    with pytest.raises(UserError, match=rf"kafka\.security\.{key}: .*bad\.pem cannot be read") as missing:
        connection(files())
    bad.write_text("not a certificate")
    with pytest.raises(UserError, match=rf"kafka\.security\.{key}: .*bad\.pem holds nothing that can be used"):
        connection(files())

    assert Exit.BAD_FILE == missing.value.exit_code
