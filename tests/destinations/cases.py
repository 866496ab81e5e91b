"""Cases as files: an event, what the configuration says, and the calls the vendor gets. Each cites its source.

`source` · `settings`: keys besides those of the stand-in · `event`: as it stands in the topic · `sends`: a call or
several, each `method`, `path` and `body` · or `filtered` or `rejected`: the reason · `notes`
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.core.records import Batch
from stream.destinations.base import Calls, DestinationSettings
from stream.http import Request
from stream.messages import Messages
from stream.settings import mapping_of
from tests.unit.partition import LogRecord

HERE = Path(__file__).parent
KEYS = {"source", "settings", "event", "sends", "filtered", "rejected", "notes"}


def cases_of(names: Iterable[str]) -> list[Any]:
    """Parameters: the destination and each of its cases, named by the file."""
    return [
        pytest.param(name, yaml.safe_load(file.read_text(encoding="utf-8")), id=f"{name}-{file.stem}")
        for name in names
        for file in sorted((HERE / name / "cases").glob("*.yaml"))
    ]


def became(calls: Calls, settings: DestinationSettings, event: str) -> dict[str, Any]:
    """What becomes of an event, in the words of the cases."""
    make = Messages(
        calls.type,
        mapping=mapping_of(calls.type, settings),
        destination=calls,
        dialect="datafly",
        wall=time.time,
    )
    made = make(LogRecord(value=event.encode(), timestamp=int(time.time() * 1000)), OffsetTracker("events", 0, 0))
    if isinstance(made, Rejected):
        return {"rejected": made.reason}
    if isinstance(made, Filtered):
        return {"filtered": made.reason}
    notes = [note for note in made.notes if note != "timestamp_replaced"]  # most cases carry no timestamp
    return {"sends": [shown(request) for request in calls.requests(Batch([made]))], "notes": notes}


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """What a case wants, in the same words."""
    for outcome in ("rejected", "filtered"):
        if outcome in case:
            return {outcome: case[outcome]}
    sends = case["sends"] if isinstance(case["sends"], list) else [case["sends"]]
    return {
        "sends": [call | {"body": orjson.loads(call["body"])} for call in sends],
        "notes": case.get("notes", []),
    }


def shown(request: Request) -> dict[str, Any]:
    """A request in the words of the cases."""
    assert request.body is not None
    return {"method": request.method, "path": request.path, "body": orjson.loads(request.body)}
