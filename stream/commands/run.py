"""`crmstream run`: delivers until it is told to stop."""

from typing import Annotated

import typer

from stream.commands import CONFIG, ConfigFile


def run(
    config: ConfigFile = CONFIG,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Run this destination alone; repeatable.")
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="End when what the topics hold now is settled.")] = False,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Go on where retention has deleted what was never delivered, and count it."),
    ] = False,
) -> None:
    """Deliver events until stopped: SIGTERM and Ctrl-C finish what is in flight, a second one leaves at once."""
    from stream.app import App
    from stream.commands.progress import deliver
    from stream.runtime import run_until_signalled
    from stream.settings import load
    from stream.telemetry import logs

    settings = load(config)
    logs.configure()
    app = App(settings, only=only or (), accept_loss=accept_loss)
    run_until_signalled(deliver(app, drain=drain), stop=app.stop)
