"""One module for each command. They import what they need when they run: `--help` must not wait for it."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from stream.errors import Exit, UserError

ConfigFile: TypeAlias = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]

CONFIG = Path("crmstream.yaml")
"""The file a command reads where none is named."""


def warn(text: str) -> None:
    """A line on stderr that is not an error."""
    typer.echo(f"crmstream: {text}", err=True)


def known(name: str, names: Iterable[str], what: str) -> str:
    """*name*, which is one of *names*. Raises UserError with the nearest one where it is not."""
    names = list(names)
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
    raise UserError(f"there is no {what} {name}", hint, Exit.BAD_FILE)
