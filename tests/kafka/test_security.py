"""Encryption, login and client certificates, against a broker that insists on all three."""

import asyncio
import datetime
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from aiokafka.errors import UnsupportedSaslMechanismError
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from stream.destinations.sandbox import serve
from stream.errors import Exit, UserError
from stream.kafka.admin import Admin, BrokerUnavailable, explain
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings, SecuritySettings
from tests.e2e.members import attio_at, configuration, contacts, event, free_port
from tests.e2e.sms_kills import BLOCKS, Texts, ordered
from tests.e2e.test_cli_operators import crmstream, file_of
from tests.e2e.vendor import Vendor
from tests.kafka.broker import Broker, running_broker
from tests.old_tls import agreeing_to

SHOWN = "s3cret-of-plain"
HASHED = "s3cret-of-scram"
MECHANISMS = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
PAST = [datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2019, 2020)]


@dataclass(frozen=True)
class Guarded:
    """A broker behind SASL_SSL, and the files that open it."""

    broker: Broker
    authority: trustme.CA
    folder: Path

    def security(self, **changes: Any) -> dict[str, Any]:
        """What a user would configure, but for *changes*."""
        given = {
            "protocol": "SASL_SSL",
            "mechanism": "SCRAM-SHA-512",
            "username": "crm",
            "password": HASHED,
            "ca_file": str(self.folder / "ca.pem"),
            "cert_file": str(self.folder / "client.pem"),
            "key_file": str(self.folder / "client.key"),
        }
        return {key: value for key, value in (given | changes).items() if value is not None}

    def settings(self, **changes: Any) -> KafkaSettings:
        """The same, read."""
        return KafkaSettings(
            bootstrap_servers=[self.broker.bootstrap],
            security=SecuritySettings.model_validate(self.security(**changes)),
        )

    def certificate(self, name: str, issuer: trustme.CA, **times: Any) -> dict[str, str]:
        """The files of another certificate of ours."""
        files = {"cert_file": self.folder / f"{name}.pem", "key_file": self.folder / f"{name}.key"}
        leaf = issuer.issue_cert("crm.example.com", **times)
        leaf.private_key_pem.write_to_path(files["key_file"])
        leaf.cert_chain_pems[0].write_to_path(files["cert_file"])
        return {key: str(file) for key, file in files.items()}


@pytest.fixture(scope="module")
def guarded(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The shared broker only tells where containers are reached: certificates are made for an address."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    theirs = authority.issue_cert(broker.host)
    chain = b"".join(part.bytes() for part in theirs.cert_chain_pems)
    login = "org.apache.kafka.common.security"
    listener = {
        "SASL_ENABLED_MECHANISMS": MECHANISMS,
        "PLAIN_SASL_JAAS_CONFIG": f'{login}.plain.PlainLoginModule required user_crm="{SHOWN}";',
        "SCRAM___SHA___256_SASL_JAAS_CONFIG": f"{login}.scram.ScramLoginModule required;",
        "SCRAM___SHA___512_SASL_JAAS_CONFIG": f"{login}.scram.ScramLoginModule required;",
        "SSL_CLIENT_AUTH": "required",
        "SSL_KEYSTORE_TYPE": "PEM",
        "SSL_KEYSTORE_KEY": one_line(pkcs8(theirs.private_key_pem.bytes())),
        "SSL_KEYSTORE_CERTIFICATE_CHAIN": one_line(chain),
        "SSL_TRUSTSTORE_TYPE": "PEM",
        "SSL_TRUSTSTORE_CERTIFICATES": one_line(authority.cert_pem.bytes()),
    }
    variables = {f"KAFKA_LISTENER_NAME_PLAINTEXT_{name}": value for name, value in listener.items()}
    variables |= {
        f"KAFKA_{topic}_NUM_PARTITIONS": "1" for topic in ("OFFSETS_TOPIC", "TRANSACTION_STATE_LOG")
    }  # faster
    with running_broker("SASL_SSL", **variables) as strict:
        alter = "kafka-configs --bootstrap-server localhost:9092 --alter --entity-type users --entity-name crm"
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            result = strict.engine.exec_run([*alter.split(), "--add-config", f"{mechanism}=[password={HASHED}]"])
            assert result.exit_code == 0, result.output
        there = Guarded(strict, authority, folder)
        there.certificate("client", authority)
        yield there


def pkcs8(key: bytes) -> bytes:
    """The only form of a key that the broker reads."""
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def one_line(pem: bytes) -> str:
    """For a properties file."""
    return pem.decode().replace("\n", "\\n")


@pytest.mark.parametrize(
    "login",
    [{"mechanism": "PLAIN", "password": SHOWN}, {"mechanism": "SCRAM-SHA-256"}, {"mechanism": "SCRAM-SHA-512"}],
    ids=lambda login: str(login["mechanism"]),
)
async def test_the_right_credentials_get_through(guarded: Guarded, login: dict[str, Any]) -> None:
    """Encryption, our certificate and the login work together, also for the client that reads."""
    async with Admin(guarded.settings(**login)) as admin:
        await admin.ensure("guarded", partitions=1, compacted=False, create=True)
        assert {("guarded", 0): 0} == await admin.end_offsets([("guarded", 0)])


@pytest.mark.alone
async def test_everything_that_talks_to_the_broker_does_so_by_the_rules(guarded: Guarded, tmp_path: Path) -> None:
    """`produce`, `check --connect` and `run --drain`: with a journal, so its transactions too. All arrives, once."""
    people, texts, orders = Vendor(), Texts(), range(12)
    lines = [event(email) for email in contacts(12)] + [bytes(ordered(number).value or b"") for number in orders]
    async with AsyncExitStack() as stack:
        attio = attio_at(await stack.enter_async_context(serve(people)))
        splio = texts.settings(await stack.enter_async_context(serve(texts))) | BLOCKS["destination"]
        destinations = attio | {"sms": {"type": "splio_sms", **splio}}
        config = configured(guarded, tmp_path, "trusted", destinations)
        admin = await stack.enter_async_context(Admin(guarded.settings()))
        await admin.ensure("trusted", partitions=2, compacted=False, create=True)

        for arguments in (("produce", file_of(tmp_path, lines)), ("check", "--connect"), ("run", "--drain")):
            ran = await crmstream(*arguments, config=config)
            assert Exit.OK == ran.code, ran.err[-3000:]
            assert "s3cret" not in ran.out + ran.err

        assert await admin.has("trusted.sms.trusted.journal")

    assert dict.fromkeys(contacts(12), 1) == {delivery.email: delivery.n for delivery in people.ledger}
    assert {str(number): 1 for number in orders} == texts.orders()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "password": ({"password": "s3cret-but-wrong"}, "refused the login .*username and password"),
    "user": ({"username": "nobody"}, "refused the login .*username and password"),
    "authority": ({"ca_file": None}, "certificate is not trusted: .*ca_file must hold the authority"),
    "protocol": (
        {"protocol": "SASL_PLAINTEXT", "ca_file": None, "cert_file": None, "key_file": None},
        "closed the connection .*protocol",
    ),
    "no certificate": ({"cert_file": None, "key_file": None}, "connection .*cert_file"),
}


@pytest.mark.parametrize("wrong, said", WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_said(guarded: Guarded, wrong: dict[str, Any], said: str) -> None:
    """Each refusal in its own words, with what to do, none of which is a secret."""
    await assert_refused(guarded.settings(**wrong), said)


@pytest.mark.parametrize("kind", ["expired", "of another authority"])
async def test_a_certificate_of_ours_that_the_broker_does_not_take_is_said(guarded: Guarded, kind: str) -> None:
    """It only closes the connection: the hint names the file to look at."""
    issuer, times = (guarded.authority, {"not_before": PAST[0], "not_after": PAST[1]})
    files = (
        guarded.certificate("bad", issuer, **times) if kind == "expired" else guarded.certificate("bad", trustme.CA())
    )

    await assert_refused(guarded.settings(**files), "connection .*cert_file")


def test_a_way_to_log_in_that_is_not_offered_is_said() -> None:
    """The broker here offers all that there are."""
    assert ("it does not offer this way to log in", "see kafka.security.mechanism") == explain(
        UnsupportedSaslMechanismError()
    )


async def test_a_broker_that_asks_nobody_to_log_in_is_said(broker: Broker) -> None:
    """Somebody configured a login where there is none."""
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-512", "username": "crm", "password": HASHED}
    settings = KafkaSettings(bootstrap_servers=[broker.bootstrap], security=SecuritySettings.model_validate(security))

    await assert_refused(settings, r"asks nobody to log in \(see kafka\.security\.protocol")


@pytest.mark.parametrize("name", ["password", "authority"])
async def test_who_is_refused_is_told_in_a_line(guarded: Guarded, tmp_path: Path, name: str) -> None:
    """`run` ends with 1, `check --connect` with 3, neither with a traceback or a secret."""
    wrong, said = WRONG[name]
    config = configured(guarded, tmp_path, "refused", attio_at("http://127.0.0.1:9"), **wrong)

    run, check = await asyncio.gather(crmstream("run", config=config), crmstream("check", "--connect", config=config))

    assert (1, 3) == (run.code, check.code)
    assert 2 == len(run.err.splitlines())  # what, and what to do
    for ran in (run, check):
        assert re.search(said.replace(" .*", ".*"), ran.out + ran.err, re.DOTALL)
        assert "Traceback" not in ran.out + ran.err
        assert "s3cret" not in ran.out + ran.err


STRANGERS: dict[str, tuple[str, list[datetime.datetime], str]] = {
    "another host": ("other.example.com", [], "IP address mismatch.* must be names that its certificate has"),
    "another time": ("127.0.0.1", PAST, "has expired.* needs a new certificate, or this machine the right time"),
}


@pytest.mark.parametrize("host, times, said", STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_certificate_that_does_not_fit_is_refused(
    guarded: Guarded, host: str, times: list[datetime.datetime], said: str
) -> None:
    """The authority is trusted, the name or the time is wrong: nothing is sent to whoever that is."""
    limits: dict[str, Any] = dict(zip(("not_before", "not_after"), times, strict=False))
    async with stranger(guarded.authority.issue_cert(host, **limits)) as (address, heard):
        await assert_refused(guarded.settings().model_copy(update={"bootstrap_servers": [address]}), said)

    assert [] == heard


async def test_old_encryption_is_refused(guarded: Guarded) -> None:
    """TLS 1.1, which another client agrees to here: whoever lies between must not talk us down to it."""
    async with stranger(guarded.authority.issue_cert("127.0.0.1"), tls=ssl.TLSVersion.TLSv1_1) as (address, heard):
        settings = guarded.settings().model_copy(update={"bootstrap_servers": [address]})
        await assert_refused(settings, "closed the connection .*kafka.security: protocol")
        assert [] == heard

        agreeing_to(ssl.TLSVersion.TLSv1_1, willing := connection(settings)["ssl_context"])
        _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), ssl=willing)
        assert "TLSv1.1" == writer.get_extra_info("ssl_object").version()
        writer.close()


async def assert_refused(settings: KafkaSettings, said: str) -> None:
    """No connection is made, and the error says why in one line."""
    with pytest.raises(BrokerUnavailable, match=said) as refused:
        async with Admin(settings):
            pass

    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def configured(guarded: Guarded, folder: Path, topic: str, destinations: dict[str, Any], **security: Any) -> Path:
    """The file of a configuration that goes to the broker, with *security* changed."""
    blocks = {"kafka": {"security": guarded.security(**security)}, "source": BLOCKS["source"]}
    path = folder / "crmstream.yaml"
    path.write_bytes(orjson.dumps(configuration(guarded.broker.bootstrap, topic, free_port(), destinations, blocks)))
    return path


@asynccontextmanager
async def stranger(
    certificate: trustme.LeafCert, tls: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Where somebody listens who has this certificate, and what was said to them."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    if tls == ssl.TLSVersion.TLSv1_1:
        agreeing_to(tls, context)
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


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
