"""From a request to the calls Customer.io gets and the result they make. Each case cites what it is typed from."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream.core.outcomes import Blocked, Delivered, Outcome, Retry, Throttled, Unfinished
from stream.core.records import Batch
from stream.http import Response
from stream.http.responses import Answer
from tests.destinations.customerio.account import JANE, NotedDesk, destination_of, request, settings_of

CASES = Path(__file__).parent / "cases"
HOSTS = {"app_url": "https://app", "track_url": "https://track"}


class Script:
    """A transport that answers as a case says, and notes what it was asked."""

    def __init__(self, exchanges: list[dict[str, Any]]) -> None:
        self._answers = iter(exchanges)
        self.calls: list[str] = []

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        assert body is None
        host = "https://track" if "/api/" in url else "https://app"
        self.calls.append(f"{method} {re.sub('_ts=[0-9]+', '_ts=*', url.removeprefix(host))}")
        answer = next(self._answers)
        content = answer.get("body", "")
        given = {name.lower(): value for name, value in answer.get("headers", {}).items()}
        return Answer(
            answer.get("status", 200),
            content.encode() if isinstance(content, str) else orjson.dumps(content),
            given.get,
        )

    async def close(self) -> None: ...


def cases() -> list[Any]:
    """Every file of the folder, named by it."""
    return [
        pytest.param(yaml.safe_load(file.read_text(encoding="utf-8")), id=file.stem)
        for file in sorted(CASES.glob("*.yaml"))
    ]


@pytest.mark.parametrize("case", cases())
async def test_a_request_becomes_the_calls_and_the_result_its_case_says(case: dict[str, Any]) -> None:
    """All calls, in order; then the result, or what becomes of the request instead."""
    assert set(case) <= {"source", "settings", "request", "email", "exchanges", "result", "holds", "outcome"}
    script, desk = Script(case["exchanges"]), NotedDesk()
    customerio = destination_of(settings_of(**HOSTS | case.get("settings", {})), script, desk)
    message = request(case["request"], case.get("email", JANE))

    outcome: Outcome = Unfinished()
    while isinstance(outcome, Unfinished):
        [outcome] = await customerio.send(Batch([message]))

    assert [exchange["call"] for exchange in case["exchanges"]] == script.calls
    if "outcome" in case:
        assert case["outcome"] == shown(outcome)
        assert [] == desk.results
        return
    assert Delivered() == outcome
    [result] = desk.results
    content = orjson.loads(re.sub(r'"\d{4}-\d\d-\d\d"', '"*"', result.model_dump_json(exclude_none=True)))
    assert case["result"] == {name: content.get(name) for name in {"status": 0, "records_found": 0} | case["result"]}
    for name, items in case.get("holds", {}).items():
        assert items == content["data"]["profiles"][0][name]
    assert len(script.calls) == len(result.steps)


def shown(outcome: Outcome) -> dict[str, Any]:
    """An outcome in the words of the cases."""
    match outcome:
        case Blocked():
            assert outcome.hint
            return {"blocked": outcome.detail}
        case Throttled():
            return {"throttled": outcome.after}
        case Retry():
            return {"retry": outcome.detail}
    raise AssertionError(f"no case for {outcome}")
