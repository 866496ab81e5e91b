"""`crmstream transforms`: what mapping expressions can call."""

import typer


def transforms() -> None:
    """List the functions that mapping expressions can use."""
    from stream.transforms import listing

    for listed in listing():
        typer.echo(f"{listed.signature}\n    {listed.sentence}\n    {listed.example}\n")
