"""`crmstream preview`: what each event of a file would become, as JSON lines. How that is known: `rehearsal.py`."""

import sys

from stream.commands import CONFIG, ConfigFile
from stream.commands.lines import EventsFile, lines


def preview(events: EventsFile, config: ConfigFile = CONFIG) -> None:
    """Show the requests that would be sent, without network. Personal data is shown, secrets are not."""
    import asyncio

    import orjson

    from stream.commands.rehearsal import rehearsing
    from stream.settings import load

    async def show() -> None:
        async with rehearsing(settings) as rehearsal:
            for line in lines(events):
                for shown in rehearsal.shown(line):
                    sys.stdout.write(orjson.dumps(shown).decode() + "\n")

    settings = load(config)
    asyncio.run(show())
