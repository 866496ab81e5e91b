"""The stage of an end-to-end test: a topic on a real broker, a vendor, members that end with the test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Protocol, overload

import pytest

from stream.destinations.sandbox import Sandbox
from tests.e2e.members import DESTINATION, Kind, Scene, Stage
from tests.e2e.vendor import Vendor
from tests.kafka.broker import Broker

_numbers = count(1)


class NewStage(Protocol):
    """`await stage(broker, partitions=3)` gives a stage with a fresh topic, for Attio or another *destination*."""

    @overload
    async def __call__(self, broker: Broker, partitions: int = 1) -> Stage: ...
    @overload
    async def __call__(self, broker: Broker, partitions: int = 1, *, vendor: Kind, destination: str) -> Scene[Kind]: ...


@pytest.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NewStage]:
    """Makes a stage; what it starts ends with the test."""
    stem = request.node.name.split("[")[0].removeprefix("test_")[:60]
    async with AsyncExitStack() as exits:

        async def make(
            broker: Broker, partitions: int = 1, *, vendor: Sandbox | None = None, destination: str = DESTINATION
        ) -> Scene[Any]:
            topic = f"{stem}.e2e-{next(_numbers)}"
            await broker.create(topic, partitions)
            return Scene(broker, topic, tmp_path, exits, vendor=vendor or Vendor(), destination=destination)

        yield make
