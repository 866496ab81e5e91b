"""The demo's balance: what each pipeline counted, beside what the generator, the vendor and the topics say."""

from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from rich.table import Table

from stream.app import App
from stream.demo.samples import REQUESTS, TAKEN, Sample
from stream.destinations.sandbox import Sandbox
from stream.kafka.reader import reading
from stream.settings import Settings
from stream.topics.dead_letters import letters


@dataclass(frozen=True, slots=True)
class Line:
    """One destination: each number that was *counted*, with the one *seen* from outside."""

    destination: str
    counted: dict[str, int]
    seen: dict[str, int]
    writes: int  # calls that the vendor took

    @property
    def even(self) -> bool:
        """Whether both sides agree."""
        return self.counted == self.seen


async def balance(settings: Settings, app: App, sandboxes: dict[str, Sandbox], made: list[Sample]) -> list[Line]:
    """A line for each destination."""
    buried: Counter[str] = Counter()
    async with aclosing(letters(settings.kafka, settings.dead_letters.topic)) as found:
        async for letter in found:
            buried[letter.about.destination] += 1
    lines = []
    for name, pipeline in app.pipelines.items():
        totals = pipeline.final_totals
        if name in TAKEN:
            lines.append(_of_events(name, totals, buried[name], sandboxes[name], made))
        else:
            lines.append(_of_requests(name, totals, buried[name], sandboxes[name], await _answers(settings)))
    return lines


def shown(lines: list[Line]) -> Table:
    """The lines for people: a number where both sides agree, else both."""
    table = Table("", "read", "delivered", "filtered", "dead-lettered", "people", "calls taken", box=None)
    for line in lines:
        numbers = [
            f"{line.counted[name]:,}" if line.counted[name] == seen else f"{line.counted[name]:,} ≠ {seen:,}"
            for name, seen in line.seen.items()
        ]
        table.add_row(line.destination, *numbers, f"{line.writes:,}")
    return table


def _of_events(name: str, totals: Counter[str], buried: int, sandbox: Sandbox, made: list[Sample]) -> Line:
    expected = Counter(sample.expected(name) for sample in made)
    whom = Counter(sample.person for sample in made if sample.expected(name) == "delivered")
    held = sandbox.people()
    texts = name == "splio_sms"  # each event is a text of its own; elsewhere it changes a person
    counted = {
        "read": sum(totals.values()),
        "delivered": totals["delivered"] + totals["coalesced"],
        "filtered": totals["filtered"],
        "dead_lettered": totals["dead_lettered"],
        "people": whom.total() if texts else len(whom),
    }
    seen = {
        "read": len(made),
        "delivered": expected["delivered"],
        "filtered": expected["filtered"],
        "dead_lettered": buried,
        "people": len(held),
    }
    return Line(name, counted, seen, len(sandbox.accepted))


def _of_requests(name: str, totals: Counter[str], buried: int, sandbox: Sandbox, answers: list[dict[str, Any]]) -> Line:
    expected = Counter((request.kind, request.status) for request in REQUESTS)
    given = Counter((answer["kind"], answer["status"]) for answer in answers)
    counted = {
        "read": sum(totals.values()),
        "delivered": totals["delivered"],
        "filtered": totals["filtered"],
        "dead_lettered": totals["dead_lettered"],
        "people": sum(request.profiles for request in REQUESTS),
    }
    seen = {
        "read": len(REQUESTS),
        "delivered": (given & expected).total(),
        "filtered": 0,
        "dead_lettered": buried,
        "people": sum(answer["records_found"] for answer in answers),
    }
    return Line(name, counted, seen, len(sandbox.accepted))


async def _answers(settings: Settings) -> list[dict[str, Any]]:
    """The privacy results in their topic, the first part of each."""
    if settings.privacy is None:
        return []
    async with reading(settings.kafka, settings.privacy.results) as reader:
        found = [orjson.loads(record.value) async for record in reader.what_is_there() if record.value]
    return [answer for answer in found if answer.get("part") in (None, 1)]
