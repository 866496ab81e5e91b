"""Secrets and people stay out of everything that is shown: each secret there is, each command, each kind of failure.

A secret is found by walking the models of the configuration, so that a new one is covered by itself.
"""

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any, TypeAlias, get_args

import orjson
import pytest
import typer
from pydantic import BaseModel

from stream.cli import app, run
from stream.destinations import REGISTRY
from stream.destinations.base import secrets
from stream.settings import Settings, load
from stream.telemetry import logs
from tests.e2e.members import Member, free_port, until
from tests.kafka.broker import Broker

Command: TypeAlias = Callable[..., tuple[int, str]]

CRMSTREAM = (sys.executable, "-m", "stream", "--debug")
REFUSED = "127.0.0.1:1"
FORMS = {"proxy": f"http://crm:{{}}@{REFUSED}"}  # of secrets that are not one word
OTHERS: dict[str, dict[str, Any]] = {  # what each type needs besides its secrets
    "attio": {},
    "splio_contacts": {"default_list_id": "25"},
    "customerio": {},
    "splio_sms": {"universe": "acme", "rules": [{"event": "Signed Up", "message": "6tJglf8zd", "to": "traits.phone"}]},
    "splio_files": {
        "universe": "acme",
        "host": "127.0.0.1",
        "port": 1,
        "host_key": "SHA256:" + "A" * 43,
        "custom_attributes": ["tier"],
        "every": "1s",
    },
}
PERSON = {
    "email": "recogny.sabel@example.com",
    "first_name": "Recognysabel",
    "last_name": "Confidenzia",
    "name": "Recognysabel Confidenzia",
    "phone": "+33698765432",
    "city": "Geheimstadt",
    "company": "Verschwiegen",
    "title": "Stillegeheimrat",
    "birthday": "1987-06-05",
}
TRACES = [
    "ecogny",
    "onfidenzia",
    "698765432",
    "98 76 54",
    "eheim",
    "erschwiegen",
    "1987-06-05",
    "user-r4711",
    "anon-r4711",
]


def of_model(model: type[BaseModel], steps: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every secret of a model and of the blocks in it."""
    for name, field in model.model_fields.items():
        if "SecretStr" in repr(field.annotation):
            yield (*steps, field.alias or name)
        for block in _blocks(field.annotation):
            yield from of_model(block, (*steps, field.alias or name))


def _blocks(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _blocks(each)


def with_secrets(bootstrap: str, wrong: Any = None, **blocks: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A configuration with every destination and a secret (in a *wrong* form) wherever one may be, and the secrets."""
    tree: dict[str, Any] = {
        "kafka": {"bootstrap_servers": bootstrap},
        "source": {"topics": ["crm.events"]},
        "privacy": {"requests": "crm.requests", "results": "crm.results"},
        "server": {"port": free_port()},
        "http": {"timeout": "2s"},
        "destinations": {name: {"type": name, **other} for name, other in OTHERS.items()},
    }
    login = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "crm"}
    tree["kafka"]["security"] = login
    tree = {name: {**tree.get(name, {}), **blocks.get(name, {})} for name in {**tree, **blocks}}
    places = [steps for steps in of_model(Settings) if steps[0] != "destinations"]
    places += [("destinations", name, *steps) for name in REGISTRY for steps in of_model(REGISTRY[name].settings)]
    numbers, made = count(1), []
    for steps in places:
        block = tree
        for step in steps[:-1]:
            block = block.setdefault(step, {})
        if block is not None and steps[-1] not in block:
            made.append(f"cAnArY{next(numbers)}sEcReT")
            form = orjson.dumps(wrong or FORMS.get(steps[-1], "{}")).decode()
            block[steps[-1]] = orjson.loads(form.replace("{}", made[-1]))
    return tree, made


def file_of(folder: Path, tree: Mapping[str, Any]) -> Path:
    """The configuration as a file."""
    path = folder / "crmstream.yaml"
    path.write_bytes(orjson.dumps(tree))
    return path


def commands(config: Path, events: Path) -> Iterator[list[str]]:
    """Each command that reads the file and ends by itself, and those that tell what there is."""
    for words in (
        "check|check --json|check --connect|status|status --json|verify|pause attio|resume attio|dlq ls|dlq show --all"
        f"|dlq replay --all|dlq discard --all|privacy access a@example.com|preview {events}|produce {events}"
    ).split("|"):
        yield [*words.split(), "-c", str(config)]
    yield from (["schema"], ["transforms"], ["version"])


def names_of_commands(program: typer.Typer) -> Iterator[list[str]]:
    """Each command and group of commands there is."""
    for command in program.registered_commands:
        assert command.callback
        yield [command.name or command.callback.__name__]
    for group in program.registered_groups:
        assert group.typer_instance
        yield [str(group.name)]
        yield from ([str(group.name), *name] for name in names_of_commands(group.typer_instance))


async def ran(*arguments: str) -> tuple[int, str]:
    """Exit code, and all that a command said."""
    process = await asyncio.create_subprocess_exec(
        *CRMSTREAM, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return int(process.returncode or 0), out.decode()


def shown(text: str, hidden: list[str]) -> list[str]:
    """What of *hidden* is in the text, in whatever letters."""
    return [each for each in hidden if each.lower() in text.lower()]


def test_every_secret_is_covered(tmp_path: Path) -> None:
    """The walk finds as many as the loaded settings hold, and none of them is in what these look like."""
    tree, made = with_secrets(REFUSED)

    settings = load(file_of(tmp_path, tree))

    found = [*secrets(settings), *(each for own in settings.destinations.values() for each in secrets(own))]
    assert sorted(made) == sorted(re.sub(r".*:(\w+)@.*", r"\1", each) for each in found)
    assert len(made) >= 14
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert [] == shown(text, made)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Runs a command in this process, with `--debug`: its exit code, and all that it said."""

    def run_it(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(arguments, debug=True)
        return code, "".join(capsys.readouterr())

    before = logging.getLogger().handlers, {name: logging.getLogger(name).level for name in ("", *logs.LOUD)}
    yield run_it
    logging.getLogger().handlers = before[0]
    for name, level in before[1].items():
        logging.getLogger(name).setLevel(level)


def test_no_command_shows_a_secret(tmp_path: Path, command: Command) -> None:
    """Where broker and vendors refuse, with the traceback of each error."""
    tree, made = with_secrets(REFUSED)
    config, events = file_of(tmp_path, tree), tmp_path / "events.jsonl"
    events.write_bytes(orjson.dumps({"type": "track", "event": "Signed Up", "traits": PERSON}) + b"\n")
    lines = list(commands(config, events))
    others = {"run", "init", "demo", "sandbox"}
    assert {name for name, *_ in names_of_commands(app)} == {line[0] for line in lines} | others

    found = {" ".join(line[:3]): command(*line) for line in lines}
    ran = subprocess.run([*CRMSTREAM, "run", "-c", str(config)], capture_output=True, text=True, timeout=60)
    found["run"] = ran.returncode, ran.stdout + ran.stderr

    assert {} == {line: leaks for line, (_, said) in found.items() if (leaks := shown(said, made))}
    assert {0, 1, 3} == {code for code, _ in found.values()}, found  # 2: nothing was tried
    assert sum("Traceback" in said for _, said in found.values()) > 5


def test_no_help_shows_a_secret(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """Nor takes a default from the environment."""
    for name in ("ATTIO_API_KEY", "KAFKA_PASSWORD", "CRMSTREAM_TOKEN", "CRMSTREAM_PRIVACY_KEY"):
        monkeypatch.setenv(name, "cAnArY0sEcReT")

    for words in [[], *names_of_commands(app)]:
        code, said = command(*words, "--help")
        assert (0, []) == (code, shown(said, ["cAnArY0sEcReT"]))


@pytest.mark.parametrize("wrong", ["{} {}", [["{}"]], {"a": "{}"}, "\n{}\n\u0001", "é{}"], ids=repr)
def test_no_mistake_in_a_secret_shows_it(wrong: Any, tmp_path: Path, command: Command) -> None:
    """Each secret there is, in one wrong form after the other."""
    tree, made = with_secrets(REFUSED, wrong=wrong)

    code, said = command("check", "-c", str(file_of(tmp_path, tree)))

    assert (2, []) == (code, shown(said, made))
    assert "Traceback" in said


class Malicious:
    """A vendor that fails in every way there is, and repeats in each answer all that it was sent."""

    WAYS: tuple[int | str, ...] = (422, 500, "cut", 400, "garbage", 409, 503, 408, 429, 404, 403, 401, 302)

    def __init__(self) -> None:
        self.failed: set[int | str] = set()
        self._ways = cycle(self.WAYS)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Its port, while it serves."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = next(self._ways)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            sent = head + await reader.readexactly(int(length[1]) if length else 0)
            if way == "garbage":
                writer.write(sent)
            elif way != "cut":
                self._refuse(writer, int(way), sent.decode())
            await writer.drain()
            self.failed.add(way)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @staticmethod
    def _refuse(writer: asyncio.StreamWriter, status: int, sent: str) -> None:
        words = {
            "message": f"refused: {sent}",
            "error": sent,
            "code": "bad",
            "type": sent,
            "detail": sent,
            "title": sent,
        }
        body = orjson.dumps({**words, "errors": [words], "status": "error", "error_description": sent})
        location = "Location: https://evil.example.com/\r\n" if status == 302 else ""
        head = f"HTTP/1.1 {status} {' '.join(sent.split())[:200]}\r\nContent-Type: application/json\r\n{location}"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


async def fill(broker: Broker, topic: str, requests: str) -> None:
    """Events of a person in every field, many contacts with the same name, and privacy requests of that person."""
    await broker.create(topic)
    await broker.create(requests)
    named = {
        "userId": "user-r4711",
        "anonymousId": "anon-r4711",
        "context": {"consent": {"canonical": {"marketing": True}}},
    }
    events = [
        {"type": "track", "event": "Signed Up", **named, "traits": {**PERSON, "email": f"n{n}.{PERSON['email']}"}}
        for n in range(60)
    ]
    broken = [b"not JSON: " + orjson.dumps(PERSON), orjson.dumps({"type": "track", "event": 7, "traits": [PERSON]})]
    await broker.produce(topic, [*map(orjson.dumps, events), *broken])
    request = {"kind": "deletion", "identity": {"email": PERSON["email"]}, "requested_at": "2026-06-06T10:30:00Z"}
    await broker.produce(requests, [orjson.dumps({**request, "request_id": f"r{n}"}) for n in range(3)] + broken[:1])


@pytest.mark.timeout(240)
async def test_no_failure_shows_a_person_or_a_secret(broker: Broker, tmp_path: Path) -> None:
    """Vendors fail in every way and repeat what they were sent: log, state, metrics, letters, commands."""
    topic, requests, vendors = "secrets.events", "secrets.requests", {name: Malicious() for name in OTHERS}
    await fill(broker, topic, requests)
    async with AsyncExitStack() as stack:
        ports = {name: await stack.enter_async_context(vendor.serving()) for name, vendor in vendors.items()}
        keys = {"rate_limit": None, "retry": {"base": "10ms", "max": "100ms", "attempts": 3}}
        own = {name: {"type": name, **OTHERS[name], **keys, **_at(name, ports[name])} for name in OTHERS}
        tree, made = with_secrets(
            broker.bootstrap,
            kafka={"security": None, "session_timeout": "6s"},
            source={"topics": [topic], "group": "secrets", "drain": "3s"},
            dead_letters={"topic": "secrets.dead", "stop_above": None},
            privacy={"requests": requests, "results": "secrets.results"},
            control={"topic": "secrets.control"},
            receipts={"topic": "secrets.receipts"},
            http={"proxy": None, "timeout": "2s"},
            server={"port": free_port(), "token": "cAnArY0sEcReT"},
            state={"folder": str(tmp_path / "state")},
            destinations=own,
        )
        made.append("cAnArY0sEcReT")
        config = file_of(tmp_path, tree)
        member = Member(config, tmp_path / "out", [], destination="attio", door="", port=tree["server"]["port"])
        stack.callback(member.end)
        await until(lambda: _all_ways(vendors), member, timeout=120, what="every way to fail")
        pages = await asyncio.gather(*(_page(member, path) for path in ("metrics", "state.json", "health/ready")))
        hidden = [*made, *TRACES]
        title = Path(f"/proc/{member._process.pid}/cmdline").read_text()  # noqa: ASYNC240 - not a disk's
        line = ["-c", str(config)]
        told = await asyncio.gather(*(ran(*each, *line) for each in (["dlq", "ls"], ["dlq", "show", "--all"])))
        member.terminate()
        await until(lambda: '"attio", "event": "stopped"' in member.output, what="the end of it")

    assert [] == shown(member.output, hidden), member.output
    for page in (*pages, title):
        assert [] == shown(page, hidden), page
    for _, text in told:
        assert [] == shown(text, hidden), text
    letters = await broker.read_all("secrets.dead")
    assert len(letters) > 3
    ours = [value.decode() for each in letters for name, value in each.headers if name.startswith(("__c", "crm"))]
    assert [] == shown("\n".join(ours), hidden), ours


def _at(name: str, port: int) -> dict[str, Any]:
    """The keys that lead a destination to its vendor."""
    url = f"http://127.0.0.1:{port}"
    return {"base_url": url} | ({"port": port} if name == "splio_files" else {})


def _all_ways(vendors: Mapping[str, Malicious]) -> bool:
    return set(Malicious.WAYS) <= vendors["attio"].failed and all(vendor.failed for vendor in vendors.values())


async def _page(member: Member, path: str) -> str:
    answer = await member.get(f"/{path}?token=cAnArY0sEcReT")
    assert answer is not None
    assert answer.status_code in (200, 503)
    return answer.text
