"""Commands that would talk to others, as far as they go without a broker: usage, bad input, what is masked."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from stream.commands.dlq.shown import masked_body
from stream.commands.positions import address
from stream.commands.produce import CONTACT, Events
from stream.errors import Exit
from stream.telemetry.settings import ServerSettings
from tests.unit.configurations import DESTINATIONS, SOURCE, written

NO_BROKER = "kafka:\n  bootstrap_servers: 127.0.0.1:1\n"
NO_SERVER = "server: {port: null}\n"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as an address to listen on


def crmstream(*arguments: str, config: Path | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    given = [*arguments, "-c", str(config)] if config else [*arguments]
    ran = subprocess.run([sys.executable, "-m", "stream", *given], capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose broker is not there."""
    return written(tmp_path, NO_BROKER + SOURCE + NO_SERVER + DESTINATIONS + "    base_url: http://127.0.0.1:1\n")


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_an_unknown_destination_is_told_with_the_nearest(command: str, config: Path) -> None:
    """Exit 2, before anyone is asked."""
    code, out, err = crmstream(command, "atio", config=config)

    assert (Exit.BAD_FILE, "") == (code, out)
    assert "crmstream: there is no destination atio\n  did you mean attio?\n" == err


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["pause", "attio"], ["dlq", "ls"]])
def test_a_broker_that_is_not_there_is_told(arguments: list[str], config: Path) -> None:
    """Exit 1, with the reason and what to look at; the client's own complaints are not shown."""
    code, out, err = crmstream(*arguments, config=config)

    assert (Exit.FAILURE, "") == (code, out)
    assert [
        "crmstream: no Kafka broker at 127.0.0.1:1: the connection was refused",
        "  is it running? see kafka.bootstrap_servers",
    ] == err.splitlines()


def test_a_connection_test_without_broker_goes_on_to_the_vendors(config: Path) -> None:
    """Exit 3; each line has four columns, and a vendor that cannot be reached is a line too."""
    code, out, _ = crmstream("check", "--connect", config=config)

    assert Exit.REFUSED == code
    lines = [line.split("\t") for line in out.splitlines()]
    assert [["refused", "kafka", "broker"], ["refused", "attio", "connection"]] == [line[:3] for line in lines]
    assert [4, 4] == [len(line) for line in lines]


def test_a_connection_test_as_json_says_what_to_do(config: Path) -> None:
    """Design section 10."""
    code, out, _ = crmstream("check", "--connect", "--json", config=config)

    assert Exit.REFUSED == code
    broker, vendor = map(json.loads, out.splitlines())
    assert {
        "destination": "kafka",
        "check": "broker",
        "ok": False,
        "text": "no Kafka broker at 127.0.0.1:1: the connection was refused",
        "hint": "is it running? see kafka.bootstrap_servers",
    } == broker
    assert ("attio", "connection", False) == (vendor["destination"], vendor["check"], vendor["ok"])


def test_a_check_without_network_can_be_json_too(config: Path) -> None:
    """The same lines."""
    code, out, _ = crmstream("check", "--json", config=config)

    text = "attio at http://127.0.0.1:1"
    expected = {"destination": "attio", "check": "settings", "ok": True, "text": text, "hint": ""}
    assert (Exit.OK, expected) == (code, json.loads(out))


@pytest.mark.parametrize(
    "line, said",
    [('{"type":', "line 3 of {} is not JSON, at column 9"), ("[1]", "line 3 of {} is not a JSON object")],
)
def test_a_line_that_is_no_event_is_named(line: str, said: str, config: Path, tmp_path: Path) -> None:
    """Exit 2 before a broker is asked: nothing of the file is produced."""
    file = tmp_path / "events.jsonl"
    file.write_text('{"type": "identify"}\n\n' + line + "\n")

    code, out, err = crmstream("produce", str(file), config=config)

    assert (Exit.BAD_FILE, "") == (code, out)
    assert err.startswith(f"crmstream: {said.format(file)}\n")


def test_events_that_are_not_there_are_told(config: Path, tmp_path: Path) -> None:
    """Exit 2."""
    code, _, err = crmstream("produce", str(tmp_path / "none.jsonl"), config=config)

    assert Exit.BAD_FILE == code
    assert "none.jsonl cannot be read: No such file or directory" in err


def keys(folder: Path, event: object, *paths: str) -> bytes | None:
    """The key of an event."""
    file = folder / "event.jsonl"
    file.write_text(json.dumps(event))
    [(key, value)] = Events(file, paths or CONTACT)
    assert json.dumps(event).encode() == value
    return key


def test_the_key_is_the_contact(tmp_path: Path) -> None:
    """userId, else anonymousId (README, Producers), else none."""
    assert b"u-1" == keys(tmp_path, {"userId": "u-1", "anonymousId": "a-1"})
    assert b"a-1" == keys(tmp_path, {"anonymousId": "a-1"})
    assert keys(tmp_path, {"userId": "", "anonymousId": None}) is None


def test_the_key_can_be_anywhere(tmp_path: Path) -> None:
    """A dotted path; text and whole numbers serve, and what is not there makes no key."""
    assert b"ada@example.com" == keys(tmp_path, {"traits": {"email": "ada@example.com"}}, "traits.email")
    assert b"7" == keys(tmp_path, {"userId": 7}, "userId")
    assert keys(tmp_path, {"userId": "u-1", "traits": "none"}, "traits.email") is None
    assert keys(tmp_path, {"userId": True}, "userId") is None


def test_events_without_key_are_counted(tmp_path: Path) -> None:
    """They are produced all the same, and the command says how many."""
    file = tmp_path / "events.jsonl"
    file.write_text('{"userId": "u-1"}\n{}\n{}\n')
    events = Events(file, CONTACT)

    assert 3 == len([*events])
    assert 2 == events.keyless


def test_a_masked_body_keeps_its_shape() -> None:
    """Names, what is true or false, the kind of event; nothing that says who."""
    body = {
        "type": "track",
        "event": "Signed Up",
        "userId": "ada@example.com",
        "messageId": "m-1",
        "traits": {"first_name": "Ada", "age": 36, "phones": ["+15558675309"], "ada@example.com": None},
        "context": {"consent": {"canonical": {"marketing": True}}},
    }

    assert {
        "type": "track",
        "event": "Signed Up",
        "userId": "***",
        "messageId": "m-1",
        "traits": {"first_name": "***", "age": "***", "phones": ["***"], "[email]": None},
        "context": {"consent": {"canonical": {"marketing": True}}},
    } == masked_body(json.dumps(body).encode())


@pytest.mark.parametrize(
    "value, shown",
    [
        (None, None),
        (b"ada@example.com", "15 bytes that are not JSON"),
        (b"\xff", "1 bytes that are not JSON"),
        (b'"ada@example.com"', "***"),
        (b'["Ada", 1, false]', ["***", "***", False]),
        (b'{"type": {"email": "Ada"}}', {"type": {"email": "***"}}),
        (b"[" * 100_000, "100000 bytes that are not JSON"),
    ],
)
def test_a_masked_body_may_be_anything(value: bytes | None, shown: object) -> None:
    """Dead letters hold what could not be read."""
    assert shown == masked_body(value)


def test_a_reason_that_there_is_not_is_told(config: Path) -> None:
    """With the nearest one: an empty answer would look like good news."""
    code, _, err = crmstream("dlq", "ls", "--reason", "rejectd", config=config)

    assert Exit.BAD_FILE == code
    assert "crmstream: there is no reason rejectd\n  did you mean rejected?\n" == err


def test_a_server_is_asked_where_it_can_be_reached() -> None:
    """Listening everywhere includes loopback; a port that it finds for itself is not known."""
    everywhere = ServerSettings.model_validate({"host": EVERYWHERE, "port": 8080, "token": "t"})

    assert "http://127.0.0.1:8080" == address(everywhere)
    assert "http://[::1]:8080" == address(ServerSettings(host="::1"))
    assert address(ServerSettings(port=0)) is None
    assert address(ServerSettings(port=None)) is None


@contextmanager
def sandbox(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """The process of `crmstream sandbox` and what it prints."""
    command = [sys.executable, "-m", "stream", "sandbox", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


def test_a_sandbox_says_how_to_reach_it_and_ends_on_ctrl_c() -> None:
    """The first line is a destination of a configuration; with what it says the vendor answers."""
    with sandbox("attio", "--host", EVERYWHERE, "--port", "0") as (process, output):
        line = output.readline()
        match = re.fullmatch(r"attio: \{type: attio, base_url: (http://localhost:\d+), api_key: (\S+)\}\n", line)
        assert match
        with httpx.Client(base_url=match[1], trust_env=False) as client:
            me = client.get("/v2/self", headers={"Authorization": f"Bearer {match[2]}"})
            broken = client.put("/_sandbox/faults", json={"throttle_next": 1})
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=10)

    assert (200, True) == (me.status_code, me.json()["active"])
    assert 200 == broken.status_code
    assert 0 == code


def test_a_taken_port_is_told() -> None:
    """Exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = crmstream("sandbox", "attio", "--port", str(port))

    assert Exit.FAILURE == code
    assert err.startswith(f"crmstream: cannot serve on 127.0.0.1:{port}: Address already in use\n")


def test_an_unknown_type_of_sandbox_is_told() -> None:
    """Exit 2, with the nearest one."""
    assert (Exit.BAD_FILE, "", "crmstream: there is no type atio\n  did you mean attio?\n") == crmstream(
        "sandbox", "atio"
    )
