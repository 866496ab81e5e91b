"""Many contacts in one call: what became of each, and whom to blame where the call failed as a whole (2.9)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from stream.core.outcomes import DELIVERED, Outcome, Refused, Rejected, Retry
from stream.core.records import Message
from stream.destinations.splio_contacts.bodies import Bodies, together
from stream.destinations.splio_contacts.settings import CONTACTS
from stream.destinations.splio_contacts.verdicts import Problem, fault, problems, refusal, unexpected
from stream.http import NotSent, Request, Response, Unanswered
from stream.http.client import Client

PATH = "/data/contacts/bulk"

Exists = Literal["exists"]
EXISTS: Exists = "exists"
"""Splio has the contact: nothing was written, and it is for another call to change it."""

Found = dict[Message, Outcome | Exists]


def bulk_request(messages: Sequence[Message]) -> Request:
    """The call that creates these contacts."""
    return Request("POST", PATH, together([message.body for message in messages]), limit=CONTACTS)


class Bulk:
    """The bulk calls of one universe."""

    def __init__(self, http: Client, bodies: Bodies) -> None:
        self._http = http
        self._bodies = bodies

    async def send(self, messages: Sequence[Message], deadline: float) -> Found:
        """What became of each message. Raises like `Client.send` where not even the first call was answered.

        A call that is refused for some contacts goes out again without them, at once. One that Splio chokes on for the
        second time is halved until the contact that it chokes on stands alone.
        """
        found: Found = {}
        try:
            if choking := await self._try(messages, deadline, found):
                await self._search(choking, deadline, found)
        except (NotSent, Unanswered) as error:
            if not found:
                raise
            for message in messages:
                found.setdefault(message, Retry(f"no answer to a later part of the call: {error}"))
        return found

    async def _try(self, messages: Sequence[Message], deadline: float, found: Found) -> "Choking | None":
        """Send until none is refused that can be named; the rest of them where Splio broke down over it."""
        rest = list(messages)
        while rest:
            response = await self._http.send(bulk_request(rest), deadline)
            if response.status >= 500:
                return Choking(rest, refusal(response, time.time()))
            judged = self._judge(rest, response)
            found |= judged
            rest = [message for message in rest if message not in judged]
        return None

    async def _search(self, choking: "Choking", deadline: float, found: Found) -> None:
        """The half that gets through shows that the fault is in the other. Both failing: an outage, or several faults.

        Splio answers 503 to a whole call for one bad contact, so that trying again would never end (2.9).
        """
        rest = choking.messages
        if any(message.failures for message in rest):
            while len(rest) > 1:
                middle = len(rest) // 2
                halves = [await self._try(half, deadline, found) for half in (rest[:middle], rest[middle:])]
                failed = [half.messages for half in halves if half is not None]
                rest = [message for half in failed for message in half]
                if len(failed) != 1:
                    break
            for message in rest:
                message.company = max(1, len(rest) // 2)
        found |= dict.fromkeys(rest, choking.outcome)

    def _judge(self, messages: list[Message], response: Response) -> Found:
        """Those whose fate an answer other than 5xx tells: all, or those for whom alone the call was refused."""
        if 200 <= response.status < 300:
            return self._by_item(messages, response)
        named = {
            problem.index: problem
            for problem in reversed(problems(response))
            if problem.index is not None and problem.index < len(messages)
        }
        if response.status == 400 and named:
            return {messages[index]: _of(400, problem) for index, problem in named.items()}
        outcome = refusal(response, time.time())
        if isinstance(outcome, Rejected) and len(messages) > 1:
            raise Refused(outcome)
        return dict.fromkeys(messages, outcome)

    def _by_item(self, messages: list[Message], response: Response) -> Found:
        """By the unique key that an item names, else by its place."""
        content = response.json()
        items = content.get("items") if isinstance(content, dict) else None
        if not isinstance(items, list):
            return dict.fromkeys(messages, unexpected(response, "a verdict on each contact"))
        found: Found = dict.fromkeys(messages, Retry("no verdict on this contact", response.status))
        keys = [(self._bodies.unique_key(message.fields) or "").lower() for message in messages]
        by_key = dict(zip(keys, messages, strict=True))
        for place, item in enumerate(items):
            if not isinstance(item, dict):
                continue
            key = str(item.get("contact_id")).lower()
            by_place = len(items) == len(messages) and (keys[place] == key or key not in by_key)
            message = messages[place] if by_place else by_key.get(key)
            if message is not None:
                found[message] = _verdict(item)
        return found


@dataclass(slots=True)
class Choking:
    """The contacts of a call that Splio answered with 5xx."""

    messages: list[Message]
    outcome: Outcome = field(repr=False)


def _verdict(item: dict[str, Any]) -> Outcome | Exists:
    code, sentence = item.get("code"), item.get("description")
    if type(code) is not int:
        return Retry("no verdict on this contact")
    if 200 <= code < 300:
        return DELIVERED
    return _of(code, Problem(sentence=sentence if isinstance(sentence, str) else ""))


def _of(code: int, problem: Problem) -> Outcome | Exists:
    return EXISTS if code == 400 and problem.taken else fault(code, [problem])
