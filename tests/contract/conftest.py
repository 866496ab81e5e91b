"""On which event loop the contract suites run."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from stream.runtime import new_loop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The product's for our own transport: what it says of a lost connection is not what asyncio's says."""
    if item.path.stem == "test_http_direct":
        return {"as used": new_loop}
    return {"asyncio": asyncio.new_event_loop}
