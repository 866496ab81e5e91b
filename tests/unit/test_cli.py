"""The command line as people meet it: what is printed where, and the exit code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from stream.cli import main, run
from stream.commands.init import configuration
from stream.destinations import REGISTRY
from stream.errors import Exit, UserError
from stream.settings import load
from tests.unit.configurations import SMALLEST, written

EXAMPLE = Path(__file__).parents[2] / "crmstream.example.yaml"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def crmstream(*arguments: str) -> int:
    """The exit code of one command."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return int(left.value.code or 0)


def test_a_good_file_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each destination."""
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    text = (
        SMALLEST.replace("s3cret", "${file:key}") + "  later: {type: attio, api_key: '${file:key}', enabled: false}\n"
    )
    path = written(tmp_path, text)

    assert Exit.OK == crmstream("check", "-c", str(path))
    out, err = capsys.readouterr()
    assert [
        "ok\tattio\tsettings\tattio at https://api.attio.com",
        "skipped\tlater\tsettings\tnot enabled",
    ] == out.splitlines()
    assert "" == err


def test_a_bad_file_is_told_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Place and nearest key in one line, then what to do; no traceback."""
    path = written(tmp_path, SMALLEST + "sorce: {}\n")

    assert Exit.BAD_FILE == crmstream("check", "-c", str(path))
    out, err = capsys.readouterr()
    assert "" == out
    assert [
        f"crmstream: {path}:9:1: sorce is not a known key: did you mean source?",
        "  `crmstream schema` describes every key",
    ] == err.splitlines()


def test_a_file_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Without -c it is crmstream.yaml."""
    assert Exit.BAD_FILE == crmstream("check")
    assert capsys.readouterr().err.startswith("crmstream: crmstream.yaml: no such file\n")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["chek"], "No such command 'chek'"),
        (["check", "--foo"], "No such option: --foo"),
        (["check", "-c"], "requires an argument"),
        (["check", "extra"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with where to find more."""
    assert Exit.BAD_FILE == crmstream(*arguments)
    first, hint = capsys.readouterr().err.splitlines()
    assert first.startswith("crmstream: ")
    assert said in first
    assert "--help` shows what there is" in hint


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, also for a bare call."""
    assert Exit.OK == crmstream(*arguments)
    out = capsys.readouterr().out
    assert not [name for name in ("init", "check", "schema", "transforms", "version") if f"\n  {name} " not in out]


def test_output_may_be_cut_short() -> None:
    """As `head` does: no traceback."""
    command = f"{sys.executable} -c 'from stream.cli import main; main([\"schema\"])' | head -1"

    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30)

    assert ("{\n", "") == (shown.stdout, shown.stderr)


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """For editors."""
    assert Exit.OK == crmstream("schema")
    assert "crmstream configuration" == json.loads(capsys.readouterr().out)["title"]


def test_transforms_are_listed_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Signature, sentence, example."""
    assert Exit.OK == crmstream("transforms")
    assert re.search(r"^trim\n    \S.*\n    .* gives ", capsys.readouterr().out, re.MULTILINE)


def test_version_names_the_destinations(capsys: pytest.CaptureFixture[str]) -> None:
    """And the version of Python, for reports."""
    assert Exit.OK == crmstream("version")
    assert re.fullmatch(r"crmstream \S+\nPython 3\.\S+\ndestinations .*attio.*\n", capsys.readouterr().out)


def test_init_writes_a_file_that_loads(tmp_path: Path) -> None:
    """With what it names in the environment."""
    assert Exit.OK == crmstream("init", "attio")

    settings = load(tmp_path / "crmstream.yaml", {"ATTIO_API_KEY": "s3cret"})

    assert ["attio"] == list(settings.destinations)


def test_init_without_types_offers_all(tmp_path: Path) -> None:
    """One of each."""
    assert Exit.OK == crmstream("init")
    assert not [name for name in REGISTRY if f"\n    type: {name}\n" not in (tmp_path / "crmstream.yaml").read_text()]


def test_init_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there may be somebody's work."""
    path = written(tmp_path, SMALLEST)

    assert Exit.FAILURE == crmstream("init")
    assert SMALLEST == path.read_text()
    assert capsys.readouterr().err.startswith("crmstream: crmstream.yaml exists already\n")


def test_init_knows_its_types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written for one that there is not."""
    assert Exit.BAD_FILE == crmstream("init", "atio")
    assert "crmstream: there is no type atio\n  did you mean attio?\n" == capsys.readouterr().err
    assert not (tmp_path / "crmstream.yaml").exists()


def test_every_line_that_is_off_can_be_switched_on(tmp_path: Path) -> None:
    """Each `#key` of the file is valid as it stands."""
    text = re.sub(r"^( *)#(?! |$)", r"\1", configuration(list(REGISTRY)), flags=re.MULTILINE)
    text = re.sub(r"^( *)#(  +\S)", r"\1\2", text, flags=re.MULTILINE)
    environ = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", text), "x") | {"SPLIO_FILES_HOST_KEY": f"SHA256:{'x' * 43}"}

    settings = load(written(tmp_path, text), environ)

    assert settings.kafka.security
    assert {"*": "marketing"} == settings.destinations["attio"].consent


def test_the_example_is_what_init_writes() -> None:
    """crmstream.example.yaml never falls behind: `crmstream init attio` writes it anew."""
    assert configuration(["attio"]) == EXAMPLE.read_text("utf-8")


def failing(error: Exception, *, debug: bool = False) -> int:
    """The exit code of a command that raises *error*."""
    program = typer.Typer(add_completion=False)

    @program.command()
    def fail() -> None:
        raise error

    return run([], debug=debug, program=program)


def test_errors_of_a_task_group_are_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """And the greatest exit code wins."""
    inner = ExceptionGroup("", [UserError("two", "do it", Exit.REFUSED)])

    assert Exit.REFUSED == failing(ExceptionGroup("", [UserError("one"), inner]))
    assert "crmstream: one\ncrmstream: two\n  do it\n" == capsys.readouterr().err


def test_a_bug_is_told_without_what_it_held(capsys: pytest.CaptureFixture[str]) -> None:
    """Its text could hold personal data: only its kind and place are shown."""
    assert Exit.FAILURE == failing(KeyError("jane@example.com"))
    err = capsys.readouterr().err
    assert err.startswith("crmstream: unexpected KeyError at test_cli.py:")
    assert "jane" not in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Anywhere in the line, and the plain line after it."""
    assert Exit.BAD_FILE == crmstream("check", "--debug")
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "\ncrmstream: crmstream.yaml: no such file\n" in err
