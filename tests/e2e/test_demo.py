"""`crmstream demo` as whoever tries crmstream first runs it. It needs no Docker."""

import asyncio
import signal
import sys
from collections.abc import Callable

import pytest

from stream.demo.samples import TAKEN, samples
from stream.destinations import REGISTRY


async def demo(*arguments: str, interrupt: Callable[[str], bool] = lambda _: False) -> tuple[int, str]:
    """Exit code and what was said; Ctrl-C as soon as a line fits *interrupt*."""
    command = (sys.executable, "-m", "stream", "demo", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(120):
        async for line in process.stderr:
            said += line.decode()
            if interrupt(line.decode()):
                process.send_signal(signal.SIGINT)
        return await process.wait(), said


async def test_the_demo_ends_with_an_even_balance() -> None:
    """For every destination there is."""
    code, said = await demo("--events", "400")

    assert 0 == code, said
    assert f"The balance is even: 400 events, {len(REGISTRY)} destinations" in said
    assert [] == [name for name in REGISTRY if f"\n {name} " not in said]
    assert "Traceback" not in said


async def test_the_demo_ends_early_when_it_is_told_to() -> None:
    """Without a balance, and without a word too many."""
    code, said = await demo("--events", "20000", interrupt=lambda line: line.startswith("Delivering"))

    assert 1 == code, said
    assert "Stopped before the end" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("destination", sorted(TAKEN))
def test_the_demo_has_events_of_every_outcome(destination: str) -> None:
    """Else an even balance would say little."""
    assert {"delivered", "filtered", "dead_lettered"} == {sample.expected(destination) for sample in samples(400)}
