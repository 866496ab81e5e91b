"""`crmstream sandbox`: serves the stand-ins for the vendors. What they do is in `stream.destinations.sandbox`."""

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.commands import known
from stream.errors import UserError

if TYPE_CHECKING:
    import asyncio

Types = Annotated[list[str] | None, typer.Argument(metavar="[TYPE]...", help="Types of destination; without any: all.")]

ANYWHERE = {"0.0.0.0": "localhost", "::": "localhost"}  # noqa: S104 - addresses to listen on, and how to call them


def sandbox(
    types: Types = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on it; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="N", help="Of the first; others follow. 0: any free ones.")
    ] = 8090,
) -> None:
    """Serve stand-ins for the vendors until Ctrl-C, and say how to reach and to break them."""
    import asyncio

    from stream.destinations import REGISTRY
    from stream.runtime import run_until_signalled

    wanted = [known(name, REGISTRY, "type") for name in dict.fromkeys(types or REGISTRY)]
    stopped = asyncio.Event()
    run_until_signalled(_serve(wanted, host, port, stopped), stop=stopped.set)


async def _serve(types: list[str], host: str, port: int, stopped: "asyncio.Event") -> None:
    from stream.destinations import REGISTRY
    from stream.destinations.sandbox import serve

    async with AsyncExitStack() as stack:
        for number, name in enumerate(types):
            vendor = REGISTRY[name].sandbox()
            wanted = port + number if port else 0
            try:
                address = await stack.enter_async_context(serve(vendor, host, wanted))
            except OSError as error:
                what = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such address"
                raise UserError(f"cannot serve on {host}:{wanted}: {what}", "choose another --port or --host") from None
            url = _reached(address, host)
            typer.echo(_introduction(name, url, vendor.settings(url)))
        await stopped.wait()


def _reached(address: str, host: str) -> str:
    """The address as a client of this machine writes it."""
    name = ANYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{address.rpartition(':')[2]}"


def _introduction(name: str, url: str, settings: dict[str, Any]) -> str:
    """What to write into a configuration, and the calls that show and break it."""
    keys = ", ".join(f"{key}: {value}" for key, value in settings.items())
    faults = f"{url}/_sandbox/faults"
    return (
        f"{name}: {{type: {name}, {keys}}}\n"
        f"  look    {url}/ in a browser, or curl {url}/_sandbox/people and {url}/_sandbox/log\n"
        f'  break   curl -X PUT {faults} -d \'{{"fail": [{{"status": 503, "share": 0.1}}]}}\'\n'
        f'          curl -X PUT {faults} -d \'{{"down": true, "seconds": 30}}\'\n'
        f"  mend    curl -X PUT {faults} -d '{{}}'   (GET shows all faults there are)\n"
        f"  empty   curl -X DELETE {url}/_sandbox"
    )
