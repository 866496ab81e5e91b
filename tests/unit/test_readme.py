"""What README shows is true: its configuration loads, its commands exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app
from stream.settings import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_configuration_loads(tmp_path: Path) -> None:
    """The block under "Use it" is a whole file."""
    [block] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "crmstream.yaml"
    file.write_text(block)

    settings = load(file, {"ATTIO_API_KEY": "a-key"})

    assert {"attio"} == settings.destinations.keys()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`crmstream (\w+)", README))))
def test_each_command_it_names_exists(command: str) -> None:
    """Whoever copies a line from it gets an answer."""
    result = CliRunner().invoke(app, [command, "--help"])

    assert 0 == result.exit_code


@pytest.mark.parametrize("command", re.findall(r"\./dev (\w+)", README))
def test_each_dev_command_it_names_exists(command: str) -> None:
    """`./dev` lists it."""
    assert f"./dev {command}" in (ROOT / "dev").read_text(encoding="utf-8")
