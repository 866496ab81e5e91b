"""What a configuration file can do to the process that reads it, and where secrets may stand."""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stream.cli import app, main
from stream.errors import Exit, UserError
from stream.settings import load
from stream.settings.yaml_text import MOST_BYTES
from tests.unit.configurations import KAFKA, SMALLEST, SOURCE, loaded, refused, written

FROM_FILE = SMALLEST.replace("s3cret", "${file:key}")


def secret(folder: Path) -> str:
    """A secret that its model takes as it is, read from the file `key`."""
    privacy = loaded(folder, SMALLEST + "privacy: {requests: r, results: s, key: '${file:key}'}\n").privacy
    assert privacy
    assert privacy.key
    return privacy.key.get_secret_value()


# ${file:PATH}


@pytest.mark.parametrize("content", ["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\n\n"])
def test_a_secret_is_read_from_a_file_without_its_lines_end(tmp_path: Path, content: str) -> None:
    """Editors end a line, `kubectl create secret` does not."""
    (tmp_path / "key").write_bytes(content.encode())

    assert "s3cret" == secret(tmp_path)


def test_a_secret_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As from `<(pass show attio)` of a shell: nothing is ever written to a disk."""
    os.mkfifo(tmp_path / "key")
    writer = threading.Thread(target=(tmp_path / "key").write_text, args=("s3cret\n",))
    writer.start()

    assert "s3cret" == secret(tmp_path)
    writer.join()


@pytest.mark.parametrize(
    "content,said",
    [
        (None, "cannot be read: No such file or directory"),
        ("folder", "cannot be read: Is a directory"),
        (b"\x80\x81\xfe", "is not UTF-8"),
        (b"x" * (MOST_BYTES + 1), "is larger than 1 MiB"),
    ],
)
def test_a_file_that_holds_no_secret_is_told_with_its_place(tmp_path: Path, content: Any, said: str) -> None:
    """Exit 2, by the place of the key; nothing of what was read."""
    if content == "folder":
        (tmp_path / "key").mkdir()
    elif content is not None:
        (tmp_path / "key").write_bytes(content)

    assert f"8:14: destinations.attio.api_key: the file key {said}" == refused(tmp_path, FROM_FILE)


def test_a_device_without_end_is_told(tmp_path: Path) -> None:
    """It is not read until memory is full."""
    said = refused(tmp_path, FROM_FILE.replace("file:key", "file:/dev/zero"))

    assert said.endswith("the file /dev/zero is larger than 1 MiB")


# Secrets in the file itself


def test_a_secret_in_the_file_is_warned_of_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its place and what to do; it is no error, and it is not repeated."""
    path = written(tmp_path, SMALLEST + "server: {port: null, token: t0ken}\nprivacy: {requests: r, results: s}\n")

    with pytest.raises(SystemExit) as left:
        main(["check", "-c", str(path)])

    err = capsys.readouterr().err
    assert Exit.OK == left.value.code
    what = "is a secret in the file itself: ${NAME} or ${file:PATH} keeps it out"
    assert {
        f"crmstream: {path}:8:14: destinations.attio.api_key {what}",
        f"crmstream: {path}:9:29: server.token {what}",
    } == set(err.splitlines())


def test_secrets_from_elsewhere_are_not_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is null, nor what comes out empty."""
    (tmp_path / "key").write_text("s3cret\n")
    rest = "server: {port: null, token: '${NOT_SET_AT_ALL:-}'}\nprivacy: {requests: r, results: s, key: null}\n"
    path = written(tmp_path, FROM_FILE + rest)

    with pytest.raises(SystemExit):
        main(["check", "-c", str(path)])

    assert "" == capsys.readouterr().err


# YAML that is out to do harm

LAUGHS = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))


def test_aliases_of_aliases_end_soon(tmp_path: Path) -> None:
    """A billion laughs: 29 lines for 9 to the 29th values."""
    with pytest.raises(UserError, match=r"aliases .* stand for more than 50,000 values") as caught:
        loaded(tmp_path, f"l0: &l0 [ha, ha]\n{LAUGHS}\n{SMALLEST}")

    assert Exit.BAD_FILE == caught.value.exit_code


@pytest.mark.parametrize("levels", [40, 300, 100_000])
@pytest.mark.parametrize("opens,closes", [("[", "]"), ("{a: ", "}")])
def test_blocks_within_blocks_end_soon(tmp_path: Path, levels: int, opens: str, closes: str) -> None:
    """Whatever the depth, an error of one line."""
    text = f"{SMALLEST}    fields: {opens * levels}x{closes * levels}\n"

    assert "blocks within blocks" in refused(tmp_path, text)


@pytest.mark.parametrize("end", ["x" * MOST_BYTES, "- x\n" * (MOST_BYTES // 4)])
def test_a_file_that_is_no_configuration_is_not_read_to_its_end(tmp_path: Path, end: str) -> None:
    """1 MiB is a thousand times what one needs."""
    path = written(tmp_path, f"# {end}")

    with pytest.raises(UserError, match="larger than 1 MiB"):
        load(path, {})
    with pytest.raises(UserError, match="larger than 1 MiB"):
        load(Path("/dev/zero"), {})


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [echo harm]",
        "!!python/name:os.system x",
        "!!python/object/new:subprocess.Popen [[echo, harm]]",
        "!include /etc/passwd",
        "!!binary aGFybQ==",
    ],
)
def test_a_tag_does_nothing(tmp_path: Path, tag: str) -> None:
    """Nothing is made, called or read: a tag is a mistake like any other."""
    said = refused(tmp_path, f"{KAFKA}{SOURCE}destinations:\n  attio:\n    type: attio\n    api_key: {tag}\n")

    assert said.startswith("8:14: destinations.attio.api_key has a YAML tag")


# The command line


def test_no_command_takes_a_secret() -> None:
    """Every process of the machine can read a command line. (`produce --key` names a field.)"""
    taken = {word for option in _options(typer.main.get_command(app)) for word in re.split(r"\W+|_", option)}

    assert taken > {"config", "key"}
    assert set() == taken & {"secret", "token", "password", "passphrase", "credentials", "api", "universe"}


def _options(command: Any) -> Iterator[str]:
    """All that a command, or one of its commands, takes."""
    for parameter in command.params:
        yield from (parameter.name, *parameter.opts, *parameter.secondary_opts)
    for each in getattr(command, "commands", {}).values():
        yield from _options(each)


# What SECURITY.md promises


def test_each_promise_names_a_test_that_there_is() -> None:
    """A promise whose test is gone is none."""
    root = Path(__file__).parents[2]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (root / "SECURITY.md").read_text("utf-8"))

    assert len(named) > 25
    assert [] == [(file, test) for file, test in named if f"def {test}" not in (root / file).read_text("utf-8")]
