"""What a configuration may say, and how each mistake in one is told."""

from pathlib import Path

import pytest

from stream.core.units import Adaptive, ShareOf
from stream.destinations import REGISTRY
from stream.destinations.attio.settings import AttioSettings
from tests.unit.configurations import DESTINATIONS, KAFKA, SMALLEST, SOURCE, loaded, refused

NO_ADDRESS = ".base_url: it must be an address like https://api.example.com, without login, query or fragment"
CALLS = "write it like 32, adaptive or {adaptive: 64}"
CONTRACT = Path(__file__).with_name("settings_contract.yaml").read_text("utf-8")


def test_the_contract_loads(tmp_path: Path) -> None:
    """Every key of the contract's example, word for word, gives its value."""
    settings = loaded(tmp_path, CONTRACT, KAFKA_PASSWORD="pw", ATTIO_API_KEY="s3cret")

    assert ["localhost:9092"] == settings.kafka.bootstrap_servers
    assert settings.kafka.security
    assert settings.kafka.security.password
    assert "pw" == settings.kafka.security.password.get_secret_value()
    assert (10_000, 8000, 67_108_864, 0.25, 20.0) == (
        settings.source.window,
        settings.source.buffer,
        settings.source.buffer_bytes,
        settings.source.commit_every,
        settings.source.drain,
    )
    assert ShareOf(50, 1000) == settings.dead_letters.stop_above
    assert settings.privacy
    assert settings.privacy.key is None
    assert settings.server.token is None
    attio = settings.destinations["attio"]
    assert isinstance(attio, AttioSettings)
    assert "s3cret" == attio.api_key.get_secret_value()
    assert (20.0, 0.5, 60.0) == (attio.rate_limit, attio.retry.base, attio.retry.max)
    assert {"job_title": "traits.title | trim"} == attio.fields


def test_the_contract_shows_the_defaults(tmp_path: Path) -> None:
    """A file that leaves out what can be left out says the same as the one that writes it down."""
    full = loaded(tmp_path, CONTRACT, KAFKA_PASSWORD="pw", ATTIO_API_KEY="s3cret")
    smallest = loaded(tmp_path, SMALLEST)

    only_shown = {"security", "receipts", "privacy", "events", "fields"}
    for written, default in [
        (full.kafka, smallest.kafka),
        (full.source, smallest.source),
        (full.destinations["attio"], smallest.destinations["attio"]),
    ]:
        assert written.model_dump(exclude=only_shown) == default.model_dump(exclude=only_shown)
    blocks = {"kafka", "source", "destinations"} | only_shown
    assert full.model_dump(exclude=blocks) == smallest.model_dump(exclude=blocks)


@pytest.mark.parametrize(
    "given, servers",
    [
        ("a:9092", ["a:9092"]),
        ("a:9092, b:9093", ["a:9092", "b:9093"]),
        ("[a:9092, b]", ["a:9092", "b"]),
        ("'[::1]:9092'", ["[::1]:9092"]),
    ],
)
def test_servers_are_a_text_or_a_list(tmp_path: Path, given: str, servers: list[str]) -> None:
    """Both forms of the contract; a port may be left out."""
    settings = loaded(tmp_path, SMALLEST.replace("localhost:9092", given))

    assert servers == settings.kafka.bootstrap_servers


def test_paths_are_meant_from_where_the_file_is(tmp_path: Path) -> None:
    """Wherever the command runs; absolute ones stay."""
    security = "  security: {protocol: SSL, ca_file: certs/ca.pem, cert_file: /etc/client.pem}\n"

    settings = loaded(tmp_path, KAFKA + security + SOURCE + DESTINATIONS)

    assert settings.kafka.security
    assert tmp_path / "certs/ca.pem" == settings.kafka.security.ca_file
    assert Path("/etc/client.pem") == settings.kafka.security.cert_file
    assert tmp_path / ".crmstream" == settings.state.folder


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """Neither the settings nor one of their parts print one."""
    settings = loaded(tmp_path, CONTRACT, KAFKA_PASSWORD="broker-pw", ATTIO_API_KEY="s3cret", CRMSTREAM_TOKEN="t0ken")

    assert not [
        secret for secret in ("broker-pw", "s3cret", "t0ken") if secret in repr(settings) + str(settings.server)
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "localhost", "'::1'"])
def test_a_server_for_this_machine_needs_no_token(tmp_path: Path, host: str) -> None:
    """Loopback in all its forms."""
    assert loaded(tmp_path, SMALLEST + f"server: {{host: {host}}}\n").server.loopback


def test_a_server_for_others_needs_a_token(tmp_path: Path) -> None:
    """An empty variable is no token; without a port there is no server to guard."""
    text = SMALLEST + "server:\n  host: 0.0.0.0\n  token: ${CRMSTREAM_TOKEN:-}\n"

    assert "9:1: server: token is required where host is not loopback" == refused(tmp_path, text)
    assert not loaded(tmp_path, text, CRMSTREAM_TOKEN="t0ken").server.loopback
    assert loaded(tmp_path, text + "  port: null\n").server.port is None


@pytest.mark.parametrize(
    "text, said",
    [
        (KAFKA + "sorce: {}\n" + SOURCE + DESTINATIONS, "3:1: sorce is not a known key: did you mean source?"),
        (
            KAFKA + "  sesion_timeout: 10s\n" + SOURCE + DESTINATIONS,
            "3:3: kafka.sesion_timeout is not a known key: did you mean session_timeout?",
        ),
        (
            SMALLEST + "    retry: {atempts: 3}\n",
            "9:13: destinations.attio.retry.atempts is not a known key: did you mean attempts?",
        ),
        (SMALLEST + "    apikey: x\n", "9:5: destinations.attio.apikey is not a known key: did you mean api_key?"),
        (SMALLEST + "    type2: x\n", "9:5: destinations.attio.type2 is not a known key: did you mean type?"),
        (SMALLEST + "receipts: {zzz: 1, topic: r}\n", "9:12: receipts.zzz is not a known key: known here are topic"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_told_with_its_place_and_the_nearest_one(tmp_path: Path, text: str, said: str) -> None:
    """At any depth, also in a destination, by the keys of its type."""
    assert said == refused(tmp_path, text)


@pytest.mark.parametrize(
    "text, said",
    [
        (SOURCE + DESTINATIONS, "1:1: kafka is required"),
        (KAFKA + SOURCE, "1:1: destinations is required"),
        (KAFKA + SOURCE + "destinations: {}\n", "5:15: destinations must not be empty"),
        (KAFKA + SOURCE + "destinations:\n", "5:1: destinations is required, but is empty"),
        (KAFKA + SOURCE + "destinations:\n  attio:\n", "6:3: destinations.attio is empty"),
        (KAFKA + SOURCE + "destinations:\n  a: {type: attio}\n", "6:3: destinations.a.api_key is required"),
        (
            KAFKA + SOURCE + "destinations:\n  a: {api_key: x}\n",
            f"6:3: destinations.a.type is required: one of {', '.join(REGISTRY)}",
        ),
        (KAFKA + "source: {group: g}\n" + DESTINATIONS, "3:1: source.topics is required"),
        (KAFKA + "source: {topics: []}\n" + DESTINATIONS, "3:18: source.topics must not be empty"),
        (SMALLEST + "privacy: {requests: r}\n", "9:1: privacy.results is required"),
    ],
)  # fmt: skip
def test_a_key_that_is_missing_is_told_where_it_belongs(tmp_path: Path, text: str, said: str) -> None:
    """The place is the block around it."""
    assert said == refused(tmp_path, text)


def test_a_required_key_that_comes_out_empty_is_told_with_its_variable(tmp_path: Path) -> None:
    """It looks given in the file."""
    text = SMALLEST.replace("s3cret", "${ATTIO_API_KEY}")

    said = refused(tmp_path, text, {"ATTIO_API_KEY": ""})

    assert "8:5: destinations.attio.api_key is required, but is empty: nothing is in ${ATTIO_API_KEY}" == said


def test_a_missing_variable_is_told_once(tmp_path: Path) -> None:
    """Not also as a missing key."""
    said = refused(tmp_path, SMALLEST.replace("s3cret", "${ATTIO_API_KEY}"))

    assert said.startswith("8:14: destinations.attio.api_key: the environment variable ATTIO_API_KEY is not set")
    assert "\n" not in said


@pytest.mark.parametrize(
    "key, said",
    [
        ("  session_timeout: 10", ".session_timeout: '10' is not a duration: write it like 250ms, 5s, 15m or 1h"),
        ("  session_timeout: 5s", ".session_timeout must be at least 6s"),
        ("  session_timeout: [10s]", ".session_timeout: it is not a duration: write it like 250ms, 5s, 15m or 1h"),
        ("  create_topics: maybe", ".create_topics must be true or false, not 'maybe'"),
        ("  client_id: true", ".client_id must be text: put quotes around true"),
        ("  client_id: [a]", ".client_id must be text"),
        ("  client_id: ''", ".client_id must not be empty"),
        ("  security: SSL", ".security must be a block of keys, not 'SSL'"),
        (
            "  security: {protocol: TLS}",
            ".security.protocol must be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL', not 'TLS'",
        ),
        (
            "  security: {protocol: SASL_SSL, username: crm}",
            ".security: protocol SASL_SSL needs mechanism and password",
        ),
        ("  security: {username: crm}", ".security: username would not be used: protocol PLAINTEXT does not log in"),
        ("  security: {ca_file: ca.pem}", ".security: ca_file would not be used: protocol PLAINTEXT is not encrypted"),
        ("  security: {protocol: SSL, key_file: k}", ".security: key_file needs cert_file"),
    ],
)
def test_a_wrong_value_of_kafka_is_told(tmp_path: Path, key: str, said: str) -> None:
    """In plain words."""
    assert f"kafka{said}" == refused(tmp_path, KAFKA + key + "\n" + SOURCE + DESTINATIONS).partition(": ")[2]


@pytest.mark.parametrize(
    "key, said",
    [
        ("  window: 0", ".window must be at least 1"),
        ("  window: 23601", ".window must be at most 23600"),
        ("  window: many", ".window must be a whole number, not 'many'"),
        ("  buffer: 1.5", ".buffer must be a whole number, not '1.5'"),
        ("  buffer_bytes: 64MB", ".buffer_bytes: '64MB' is not a size: write it like 64KiB or 8MiB"),
        ("  drain: 1m", ".drain must be below 1m"),
        ("  drain: 2s", ".drain must be at least 3s"),
        ("  commit_every: 0s", ".commit_every must be above 0s"),
        ("  commit_every: 3s", ".commit_every must be at most 2500ms, a quarter of kafka.session_timeout"),
        ("  start: now", ".start must be 'earliest' or 'latest', not 'now'"),
        ("  group: my group", ".group must be made of letters, digits, `.`, `_` and `-`"),
        ("  format: avro", ".format: avro is not supported yet: only json is"),
        ("  format: xml", ".format must be 'json', not 'xml'"),
        (
            "  schema_registry: http://localhost:8081",
            ".schema_registry is not supported yet: only json events are read",
        ),
    ],
)
def test_a_wrong_value_of_source_is_told(tmp_path: Path, key: str, said: str) -> None:
    """In plain words."""
    assert f"source{said}" == refused(tmp_path, KAFKA + SOURCE + key + "\n" + DESTINATIONS).partition(": ")[2]


@pytest.mark.parametrize(
    "key, said",
    [
        ("    concurrency: 0", ".concurrency must be at least 1"),
        ("    concurrency: many", ".concurrency: 'many' is not a number of calls: " + CALLS),
        ("    concurrency: true", ".concurrency: it is not a number of calls: " + CALLS),
        ("    concurrency: {most: 64}", ".concurrency: it is not a number of calls: " + CALLS),
        ("    concurrency: {adaptive: 1}", ".concurrency: adaptive needs two calls or more to find out anything"),
        ("    quota: account\n    rate_limit: null", ".quota shares nothing out: it needs a rate_limit"),
        ("    rate_limit: 20", ".rate_limit: '20' is not a rate: write it like 20/s or 600/m"),
        ("    retry: {base: 0s}", ".retry.base must be above 0s"),
        ("    ordering: contact", ".ordering must be 'key' or 'none', not 'contact'"),
        ("    events: Identified", ".events must be a list, like [a, b], not 'Identified'"),
        ("    base_url: api.attio.com", NO_ADDRESS),
        ("    base_url: https://me:pw@api.attio.com", NO_ADDRESS),
    ],
)
def test_a_wrong_value_of_a_destination_is_told(tmp_path: Path, key: str, said: str) -> None:
    """In plain words, by the keys of its type."""
    assert f"destinations.attio{said}" == refused(tmp_path, SMALLEST + key + "\n").partition(": ")[2]


@pytest.mark.parametrize(
    "written, concurrency", [("7", 7), ("adaptive", Adaptive(128)), ("{adaptive: 64}", Adaptive(64))]
)
def test_calls_in_flight_are_a_number_or_found(tmp_path: Path, written: str, concurrency: int | Adaptive) -> None:
    """Design section 5; where nothing is said of it, no more than 128 are tried."""
    settings = loaded(tmp_path, f"{SMALLEST}    concurrency: {written}\n")

    assert concurrency == settings.destinations["attio"].concurrency


ANOTHER = "  people: {type: attio, api_key: s3cret, quota: account%s}\n"
CONTACTS = "  contacts: {type: splio_contacts, api_key: s3cret, quota: account}\n"


@pytest.mark.parametrize(
    "other, said",
    [
        (
            ANOTHER % ", rate_limit: 6/m",
            "destinations.people.quota is shared with destinations.attio: rate_limit must be 20/s as there, not 6/m",
        ),
        (
            ANOTHER % ", rate_limit: null",
            "destinations.people.quota shares nothing out: it needs a rate_limit",
        ),
        (CONTACTS, "destinations.contacts.quota cannot be shared with destinations.attio: other kinds of limits"),
    ],
)
def test_destinations_of_one_quota_have_one_limit(tmp_path: Path, other: str, said: str) -> None:
    """What a type has by default counts too."""
    assert said == refused(tmp_path, SMALLEST + "    quota: account\n" + other).partition(": ")[2]


def test_equal_limits_may_be_one_quota_however_they_are_written(tmp_path: Path) -> None:
    """And one that is not enabled may say what it likes."""
    others = ANOTHER % ", rate_limit: 1200/m" + CONTACTS.replace("}", ", enabled: false}")

    settings = loaded(tmp_path, SMALLEST + "    quota: account\n" + others)

    assert ["account"] * 3 == [each.quota for each in settings.destinations.values()]


def test_a_wrong_type_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    """Types are names of REGISTRY."""
    text = SMALLEST.replace("type: attio", "type: atio")

    assert "7:11: destinations.attio.type is not known: did you mean attio?" == refused(tmp_path, text)


@pytest.mark.parametrize("name", ["'my attio'", "attio/eu", "'${NAME}'"])
def test_a_destinations_name_is_part_of_other_names(tmp_path: Path, name: str) -> None:
    """Group ids and metrics: only what topics may be named."""
    said = refused(tmp_path, SMALLEST.replace("  attio:", f"  {name}:"))

    assert said.endswith("is not a name: use letters, digits, `.`, `_` and `-`")
    assert said.startswith("6:3: ")


@pytest.mark.parametrize("limit", ["0% of 10", "50%", "half"])
def test_a_wrong_burial_limit_is_told(tmp_path: Path, limit: str) -> None:
    """With the form to write."""
    said = refused(tmp_path, SMALLEST + f"dead_letters: {{stop_above: {limit}}}\n")

    assert (
        f"9:28: dead_letters.stop_above: '{limit}' is not a share of the last so many: write it like 50% of 1000"
        == said
    )


def test_the_burial_limit_can_be_off(tmp_path: Path) -> None:
    """null: never."""
    assert loaded(tmp_path, SMALLEST + "dead_letters: {stop_above: null}\n").dead_letters.stop_above is None


def test_topics_of_our_own_are_not_read_as_events(tmp_path: Path) -> None:
    """Dead letters in the source topic would come round again."""
    text = (
        SMALLEST
        + "dead_letters: {topic: crm.events}\ncontrol: {topic: crm.receipts}\nreceipts: {topic: crm.receipts}\n"
    )

    assert [
        "9:23: dead_letters.topic must be a topic of its own, and source.topics has it too",
        "11:19: receipts.topic must be a topic of its own, and control.topic has it too",
    ] == refused(tmp_path, text).splitlines()


def test_a_wrong_expression_is_told_with_its_place_and_a_caret(tmp_path: Path) -> None:
    """Found when the file is read, not when the first event comes."""
    said = refused(tmp_path, SMALLEST + "    fields:\n      role: traits.role | trimm\n").splitlines()

    assert said[0].startswith("10:13: destinations.attio.fields.role: ")
    assert "  traits.role | trimm" == said[1]
    assert said[2].endswith("^")


def test_all_mistakes_are_told_at_once_in_the_files_order(tmp_path: Path) -> None:
    """A line each, whoever found them."""
    text = (
        "kafka: {bootstrap_servers: '${NOT_SET}'}\nsource: {topics: t, window: x}\nextra: 1\n"
        + DESTINATIONS
        + "    type: attio\n"
    )

    assert ["1:28", "2:18", "2:29", "3:1", "8:5"] == [
        line.split(": ")[0] for line in refused(tmp_path, text).splitlines()
    ]


SECRET = "hunter2-9f8e"


@pytest.mark.parametrize(
    "text",
    [
        KAFKA + SOURCE + f"destinations:\n  a: {{type: attio, api_key: '{SECRET} {SECRET}'}}\n",
        KAFKA + SOURCE + f"destinations:\n  a: {{type: attio, api_key: [{SECRET}]}}\n",
        KAFKA + SOURCE + "destinations:\n  a: {type: attio, api_key: x, max_age: '${SECRET}'}\n",
        KAFKA + SOURCE + "destinations:\n  a: {type: attio, api_key: x, base_url: '${SECRET}'}\n",
        KAFKA + SOURCE + "destinations:\n  a: {type: attio, api_key: x, concurrency: '${SECRET}'}\n",
        KAFKA + SOURCE + "destinations:\n  a: {type: attio, api_key: x, ordering: '${SECRET}'}\n",
        KAFKA + SOURCE + "destinations:\n  a: {type: attio, api_key: x, fields: {role: '${SECRET} ??'}}\n",
        KAFKA + SOURCE + "destinations:\n  a: {type: '${SECRET}', api_key: x}\n",
        "kafka: {bootstrap_servers: 'a:1,${SECRET}/x'}\n" + SOURCE + DESTINATIONS,
        KAFKA + "source: {topics: ['${SECRET}!']}\n" + DESTINATIONS,
        SMALLEST + "server: {port: '${SECRET}'}\n",
        SMALLEST + "    api_key: '${SECRET} ${NOT_SET}'\n",
    ],
)
def test_no_mistake_repeats_a_secret(tmp_path: Path, text: str) -> None:
    """What a secret key holds, or what came from outside the file, is never shown."""
    said = refused(tmp_path, text, {"SECRET": SECRET})

    assert SECRET not in said
    assert said
