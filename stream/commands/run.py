"""`crmstream run`: delivers until it is told to stop."""

from typing import Annotated

import typer

from stream.commands import CONFIG, ConfigFile


def run(
    config: ConfigFile = CONFIG,
    workers: Annotated[
        int, typer.Option(min=1, max=256, metavar="N", help="Processes that share the partitions; one a core.")
    ] = 1,
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
    import structlog

    from stream.commands.progress import deliver
    from stream.runtime import run_until_signalled
    from stream.settings import exposed, load
    from stream.telemetry import logs

    settings = load(config)
    logs.configure()
    for sentence in exposed(settings):
        structlog.get_logger().warning("unencrypted", what=sentence)
    if workers == 1:
        from stream.app import App

        app = App(settings, only=only or (), accept_loss=accept_loss)
        run_until_signalled(deliver(app, drain=drain), stop=app.stop)
    else:
        from stream.workers import Workers

        several = Workers(settings, workers, only=only or (), accept_loss=accept_loss)
        run_until_signalled(deliver(several, drain=drain), stop=several.stop, leave=several.leave)
