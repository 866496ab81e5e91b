"""`crmstream status`: state, lag and what holds each position back. Where that is read is in `positions.py`."""

from typing import Annotated, Any

import typer

from stream.commands import CONFIG, ConfigFile, warn


def status(
    config: ConfigFile = CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="The shape of /state.json.")] = False,
) -> None:
    """Show how each destination is doing: from the running server, else what Kafka knows."""
    import asyncio
    import json

    from stream.commands.positions import address, from_kafka, from_server
    from stream.settings import load
    from stream.telemetry import logs

    async def ask() -> dict[str, Any]:
        return await from_server(settings) or await from_kafka(settings)

    settings = load(config)
    logs.configure(quiet=True)
    state = asyncio.run(ask())
    if state["source"] == "kafka":
        where = f" at {address(settings.server)}" if address(settings.server) else ""
        warn(f"no server of this configuration answers{where}; this is what Kafka knows")
    if as_json:
        typer.echo(json.dumps(state, ensure_ascii=False))
        return
    for name, destination in state["destinations"].items():
        for line in _lines(name, destination):
            typer.echo(line)


def _lines(name: str, destination: dict[str, Any]) -> list[str]:
    """A destination for people: what it is about first, then each partition."""
    since = f" since {destination['since']}" if destination["since"] else ""
    counts = {"lag": destination["lag"], "pending": destination["pending"], "in flight": destination["in_flight"]}
    told = "  ".join(f"{word} {count:,}" for word, count in counts.items() if count is not None)
    return [
        f"{name}  {destination['state']}{since}  {told}",
        *([f"  {destination['reason']}"] if destination["reason"] else []),
        *(f"  {_partition(partition)}" for partition in destination["partitions"]),
    ]


def _partition(partition: dict[str, Any]) -> str:
    place = f"{partition['topic']}/{partition['partition']}"
    held = partition["holding"]
    why = f"  held at {held['offset']}: {held['reason']}" if held else ""
    return f"{place}  position {partition['position']}  end {partition['end']}  lag {partition['lag']}{why}"
