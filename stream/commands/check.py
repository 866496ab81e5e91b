"""`crmstream check`: reads the file and says whether it is fine. What `--connect` asks of others: `connections.py`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from stream.commands import CONFIG, ConfigFile, warn
from stream.errors import Exit

if TYPE_CHECKING:
    from stream.destinations.base import Check
    from stream.settings import Settings

WORDS = {True: "ok", False: "refused", None: "skipped"}


def check(
    config: ConfigFile = CONFIG,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also ask the broker and the vendors: topics, keys, scopes, attributes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, with what to do.")] = False,
) -> int:
    """Read the file and say what is wrong in it. Without network, unless told to connect."""
    from stream.destinations.base import Check
    from stream.settings import examine, exposed

    settings, written = examine(config)
    for place in written:
        warn(f"{place} is a secret in the file itself: ${{NAME}} or ${{file:PATH}} keeps it out")
    for sentence in exposed(settings):
        warn(sentence)
    if connect:
        return _connect(settings, as_json=as_json)
    for name, destination in settings.destinations.items():
        text = f"{destination.type} at {destination.address}" if destination.enabled else "not enabled"
        _show(name, Check("settings", True if destination.enabled else None, text), as_json=as_json)
        for reminder in destination.reminders if destination.enabled else ():
            _show(name, Check("reminder", None, reminder), as_json=as_json)
    return Exit.OK


def _connect(settings: "Settings", *, as_json: bool) -> Exit:
    import asyncio

    from stream.commands.connections import connections
    from stream.telemetry import logs

    async def test() -> Exit:
        refused = False
        async for line in connections(settings):
            _show(line.destination, line.check, as_json=as_json)
            refused |= line.check.ok is False
        return Exit.REFUSED if refused else Exit.OK

    logs.configure(quiet=True)
    return asyncio.run(test())


def _show(destination: str, check: "Check", *, as_json: bool) -> None:
    """One line on stdout; what is to be done about it on stderr, where it is not in the line."""
    if as_json:
        shown = {"destination": destination, "check": check.name, "ok": check.ok}
        typer.echo(json.dumps(shown | {"text": check.text, "hint": check.hint}, ensure_ascii=False))
        return
    typer.echo("\t".join([WORDS[check.ok], destination, check.name, " ".join(check.text.split())]))
    if check.hint:
        warn(f"{destination}, {check.name}: {check.hint}")
