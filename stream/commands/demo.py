"""`crmstream demo`: the whole job with nothing installed, and the balance at the end."""

from typing import Annotated

import typer


def demo(
    events: Annotated[int, typer.Option(min=1, metavar="N", help="How many events to generate.")] = 5000,
    keep_open: Annotated[
        bool, typer.Option("--keep-open", help="Leave the vendors' stand-ins up until Ctrl-C.")
    ] = False,
) -> int:
    """Run everything on an embedded broker and stand-ins for the vendors, then show that nothing was lost."""
    from stream.demo import Demo
    from stream.runtime import run_until_signalled
    from stream.telemetry import logs

    logs.configure(quiet=True)
    show = Demo(events, keep_open=keep_open)
    run_until_signalled(show.run(), stop=show.stop)
    return show.exit_code
