"""One of the processes of `run --workers`, started by `stream.workers` and by nobody else; no command of the user's."""

import asyncio
import os
import pickle
import sys
from typing import Any

import orjson

from stream.app import App
from stream.errors import Exit, causes
from stream.runtime import run_until_signalled
from stream.telemetry import logs
from stream.telemetry.together import report
from stream.workers.process import Order, last_words

REPORT_SECONDS = 0.5
TURN_SECONDS = 0.01  # before more of a report is written that the pipe had no room for
END_SECONDS = 2.0  # for the last of it: the parent may stand still, or be gone
STDIN, STDOUT, STDERR = 0, 1, 2


def main() -> int:
    """Do what stdin says; the exit code."""
    order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent wrote it
    reports = Reports()
    logs.configure(worker=order.number)
    app = App(order.settings, only=order.only, accept_loss=order.accept_loss)
    try:
        run_until_signalled(work(app, reports, drain=order.drain), stop=app.stop)
    except Exception as error:
        told = list(causes(error))
        asyncio.run(reports.end(last_words(told)))
        return max(each.exit_code for each in told)
    return Exit.OK


async def work(app: App, reports: "Reports", *, drain: bool) -> None:
    """Deliver, and report; the end of stdin is the parent's word, or its death: then end."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if not os.read(STDIN, 1024):
            loop.remove_reader(STDIN)
            app.stop()

    loop.add_reader(STDIN, heard)
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(reports.tell_regularly(app))
        await app.run(drain=drain)
        telling.cancel()
    await reports.end(report(app.snapshots()))


class Reports:
    """Our stdout, which the parent alone may read. Whatever else writes there says it on stderr."""

    def __init__(self) -> None:
        self._pipe = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
        os.set_blocking(self._pipe, False)  # a parent that stands still keeps us from nothing
        self._left = b""

    async def tell_regularly(self, app: App) -> None:
        """How it is going, for ever."""
        while True:
            self._left = line(report(app.snapshots()))
            await self._write()
            await asyncio.sleep(REPORT_SECONDS)

    async def end(self, words: dict[str, Any]) -> None:
        """What is left of the last report, and this."""
        self._left += line(words)
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._write()
        except TimeoutError:
            pass

    async def _write(self) -> None:
        while self._left:
            try:
                self._left = self._left[os.write(self._pipe, self._left) :]
            except BlockingIOError:
                await asyncio.sleep(TURN_SECONDS)
            except BrokenPipeError:
                self._left = b""


def line(words: dict[str, Any]) -> bytes:
    """A report as it is written."""
    return orjson.dumps(words) + b"\n"


if __name__ == "__main__":
    sys.exit(main())
