"""`crmstream version`: what this is, and what it can deliver to."""

import platform

import typer

from stream import __version__


def version() -> None:
    """Print the version and the types of destination."""
    from stream.destinations import REGISTRY

    typer.echo(f"crmstream {__version__}\nPython {platform.python_version()}\ndestinations {', '.join(REGISTRY)}")
