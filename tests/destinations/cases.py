"""Cases as files: an event, what the configuration says, and the calls the vendor gets. Each cites its source.

`source` · `settings`: keys besides those of the stand-in · `before`: an event that came earlier, of which traits are
remembered · `event`: as it stands in the topic · `sends`: a call or
several, each `method`, `path` and `body` · or `filtered` or `rejected`: the reason · `notes`
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

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
from stream.topics.traits import Traits
from stream.topics.users import InMemory
from tests.unit.partition import LogRecord

HERE = Path(__file__).parent
KEYS = {"source", "settings", "before", "event", "sends", "filtered", "rejected", "notes"}


def cases_of(names: Iterable[str]) -> list[Any]:
    """Parameters: the destination and each of its cases, named by the file."""
    return [
        pytest.param(name, yaml.safe_load(file.read_text(encoding="utf-8")), id=f"{name}-{file.stem}")
        for name in names
        for file in sorted((HERE / name / "cases").glob("*.yaml"))
    ]


def is_plain(name: str) -> bool:
    """Whether its cases are as described here. A destination that needs more to be said runs its own."""
    return not (HERE / name / "test_cases.py").exists()


def became(calls: Calls, settings: DestinationSettings, event: str, before: str | None = None) -> dict[str, Any]:
    """What becomes of an event, in the words of the cases."""
    mapping = mapping_of(calls.type, settings)
    traits = Traits(InMemory(), mapping.traits, destination=calls.type)
    traits.take_on([("events", 0)])
    make = Messages(calls.type, mapping=mapping, destination=calls, dialect="datafly", wall=time.time, traits=traits)
    for offset, text in enumerate([event] if before is None else [before, event]):
        record = LogRecord(offset, text.encode(), timestamp=int(time.time() * 1000))
        made = make(record, OffsetTracker("events", 0, 0))
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
    return {"method": request.method, "path": request.path, "body": _content(request.body, request.content_type)}


def _content(body: bytes, content_type: str) -> Any:
    """The JSON of a body; a form as an object, as `preview` shows it (design 10)."""
    if content_type != "application/x-www-form-urlencoded; charset=utf-8":
        return orjson.loads(body)
    form: dict[str, Any] = dict(parse_qsl(body.decode(), strict_parsing=True))
    return form | {"rcpts": orjson.loads(form["rcpts"])}
