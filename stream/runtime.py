"""How a command runs its event loop, and ends on a signal."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run_until_signalled(
    main: Coroutine[Any, Any, None], *, stop: Callable[[], None], leave: Callable[[], None] | None = None
) -> None:
    """Run *main*. The first SIGTERM or SIGINT calls *stop*; a second one calls *leave* and ends the process at once."""

    async def with_signals() -> None:
        loop = asyncio.get_running_loop()
        heard: list[int] = []

        def on_signal(number: int) -> None:
            if heard:
                if leave is not None:
                    leave()
                os._exit(128 + number)
            heard.append(number)
            stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal, number)
        gc.freeze()  # what was imported stays: no need to look through it again and again
        gc.set_threshold(20_000, 20, 20)  # events come and go by reference counts; cycles are few
        await main

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(with_signals())
