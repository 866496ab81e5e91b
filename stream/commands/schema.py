"""`crmstream schema`: the JSON Schema of the configuration file."""

import json

import typer


def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from stream.settings import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
