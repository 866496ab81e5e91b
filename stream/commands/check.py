"""`crmstream check`: reads the file and says whether it is fine."""

import typer

from stream.commands import CONFIG, ConfigFile, warn


def check(config: ConfigFile = CONFIG) -> None:
    """Read the file and say what is wrong in it. Without network."""
    from stream.settings import load, not_yet

    settings = load(config)
    for line in not_yet(settings):
        warn(line)
    for name, destination in settings.destinations.items():
        text = f"{destination.type} at {destination.base_url}" if destination.enabled else "not enabled"
        typer.echo(f"{'ok' if destination.enabled else 'skipped'}\t{name}\tsettings\t{text}")
