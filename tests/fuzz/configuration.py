"""Configuration files, however wrong: settings, or one complaint with places that shows no secret."""

import atexit
import math
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from stream.core import units
from stream.destinations import REGISTRY
from stream.destinations.base import secrets
from stream.errors import Exit, UserError
from stream.settings import Settings, load, mapping_of
from tests.fuzz.events import destination
from tests.fuzz.target import Target, unshown
from tests.fuzz.values import broken, json_value, text

ROOT = Path(__file__).parents[2]
ENVIRON = {
    "ATTIO_API_KEY": "v3rysecret",
    "EMPTY": "",
    "N": "12",
    "CRMSTREAM_TOKEN": "t0psecret",
    "TWO_LINES": "v3rysecret\nb: c",
    "SELF": "${SELF}",
    "BYTES": "v3rysecret\udcff",
}
CORPUS = (Path(__file__).with_name("everything.yaml").read_bytes(), (ROOT / "crmstream.example.yaml").read_bytes())
TOKENS = (
    *(
        b":",
        b": ",
        b"\n",
        b"\n  ",
        b"- ",
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"'",
        b"#",
        b"|",
        b">",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!",
    ),
    *(
        b"!!int ",
        b"!!python/object:os.system ",
        b"---\n",
        b"%YAML 9.9\n",
        b"\t",
        b"\x00",
        b"\xff",
        b"\xe2\x80\xa8",
        b"? ",
    ),
    *(
        b"${N}",
        b"${",
        b"}",
        b"$${",
        b"${NOT_SET}",
        b"${NOT_SET:-}",
        b"${EMPTY:-x}",
        b"${SELF}",
        b"${TWO_LINES}",
        b"${BYTES}",
    ),
    *(
        b"${file:crmstream.yaml}",
        b"${file:/}",
        b"${file:\x00}",
        b"${file:none}",
        b"null",
        b"true",
        b"~",
        b"NO",
        b"0x1F",
    ),
    *(b"1e400", b"-1", b"9" * 5000, b"5s", b"-5s", b"999999999d", b"0/s", b"101% of 1", b"0% of 0", b'"\\uD800"'),
    *(b'"\\UFFFFFFFF"', b'"\\x00"', b"a: " * 100, b"[" * 400, b"type: attio", b"enabled: false"),
)
WORDS = (*("5s", "20/s", "50% of 1000", "8MiB", "attio", "customerio", "traits.a | trim", "a@b", "http://x:0", "null"),)
SECRETS = ("v3rysecret", "t0psecret")


@dataclass(frozen=True, slots=True)
class Measure:
    """Text where a duration, rate, size or share is wanted."""

    kind: str
    text: str


@cache
def _folder() -> Path:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder)
    return folder


def draw_file(random: Random) -> bytes:
    """A good file with something wrong in its text, or in its tree."""
    content = random.choice(CORPUS)
    if random.random() < 0.5:
        return broken(random, content, TOKENS)
    tree = yaml.load(content, yaml.BaseLoader)  # noqa: S506 - our own text
    names = (
        *tree,
        *tree["destinations"],
        "type",
        "api_key",
        "rules",
        "rate_limit",
        "retry",
        "topics",
        "port",
        "[0]",
        "a b",
    )
    for _ in range(random.choice((1, 1, 2, 4))):
        tree = _changed(random, tree, names)
    return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace")


def _changed(random: Random, tree: Any, names: tuple[str, ...]) -> Any:
    if isinstance(tree, dict) and tree and random.random() < 0.9:
        key = random.choice(list(tree))
        match random.randint(0, 5):
            case 0:
                return {name: value for name, value in tree.items() if name != key}
            case 1:
                return tree | {random.choice(names): _value(random, names)}
            case _:
                return tree | {key: _changed(random, tree[key], names)}
    return _value(random, names)


def _value(random: Random, names: tuple[str, ...]) -> Any:
    if random.random() < 0.5:
        return random.choice(
            (*WORDS, "${N}", "${EMPTY}", "${BYTES}", "-1", "0", "1e400", "9" * 20, "9" * 5000, True, None, [], {})
        )
    return json_value(random, names, 2)


def loads_or_complains(content: bytes) -> None:
    """A complaint has exit code 2 and a place for each mistake; settings can be worked with. No secret is shown."""
    path = _folder() / "crmstream.yaml"
    path.write_bytes(content)
    (path.parent / "hosts").touch()
    settings = _loaded(path)
    if isinstance(settings, UserError):
        _complains(settings, str(path), content)
        return
    unshown([repr(settings)], *SECRETS)
    for name, each in settings.destinations.items():
        assert mapping_of(name, each) is not None
        assert all(secret.encode() for secret in secrets(each))
        assert all(rate is None or rate > 0 for rate in each.rates.values())
        with suppress(UserError):  # of keys that are in no such file
            assert REGISTRY[each.type].calls(each, destination("attio")[1].http)


def _loaded(path: Path) -> Settings | UserError:
    try:
        return load(path, ENVIRON)
    except UserError as error:
        return error


def _complains(error: UserError, path: str, content: bytes) -> None:
    said = str(error)
    assert Exit.BAD_FILE == error.exit_code
    assert said.encode().startswith(path.encode())
    assert all(line.removeprefix(f"{path}:").strip() for line in said.splitlines() if line.startswith(path))
    unshown([said], *(secret for secret in SECRETS if secret.encode() not in content))


def draw_measure(random: Random) -> Measure:
    kind = random.choice(("duration", "rate", "size", "share"))
    number = random.choice(("0", "1", "250", "0.5", "1e3", "-1", "٣", "9" * 9, "9" * 10, "9.999999999", "", " 1"))
    unit = random.choice(
        ("ms", "s", "d", "/s", "/h", "B", "KiB", "GiB", "% of 1000", " % of 0", "%of 1", "\n", text(random))
    )
    return Measure(kind, number + unit)


def is_read_or_refused(given: Measure) -> None:
    """A finite number that is not negative, or a ValueError that shows the form."""
    found = _read(given)
    if isinstance(found, ValueError):
        assert "write it like" in str(found) or "hundred years" in str(found)
        return
    if isinstance(found, units.ShareOf):
        assert 0 < found.percent <= 100
        assert found.of > 0
        return
    assert math.isfinite(found)
    assert found >= 0
    if given.kind == "duration":
        assert math.isclose(found, units.duration(units.written(found)), rel_tol=1e-5, abs_tol=1e-9)
    if given.kind == "size":
        assert found == units.size(units.written_size(found))


def _read(given: Measure) -> Any:
    try:
        return getattr(units, given.kind)(given.text)
    except ValueError as error:
        return error


TARGETS = [
    Target("configuration", draw_file, loads_or_complains),
    Target(
        "configuration bytes",
        lambda random: broken(random, random.choice(CORPUS), TOKENS),
        loads_or_complains,
        raw=True,
    ),
    Target("measures", draw_measure, is_read_or_refused),
]
