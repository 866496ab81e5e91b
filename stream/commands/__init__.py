"""One module for each command. They import what they need when they run: `--help` must not wait for it."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ConfigFile: TypeAlias = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]

CONFIG = Path("crmstream.yaml")
"""The file a command reads where none is named."""


def warn(text: str) -> None:
    """A line on stderr that is not an error."""
    typer.echo(f"crmstream: {text}", err=True)
