"""What is judged of messages on their way: which may be sent now, and what several of one contact make together."""

import time
from collections.abc import Callable, Sequence

from stream.core.records import Message
from stream.destinations.base import Calls, Destination
from stream.topics.erasures import Erasures


def gate(
    max_age: float | None, calls: Destination, erasures: Erasures | None = None
) -> Callable[[Message], str | None] | None:
    """Judges each message immediately before each call; None where there is nothing to judge."""
    asks = type(calls).gate is not Destination.gate
    if max_age is None and not asks and erasures is None:
        return None

    def judge(message: Message) -> str | None:
        now = time.time()
        if max_age is not None and now - message.event_time > max_age:
            return "expired"
        if erasures is not None and any(
            erasures.erased(part.persons, part.happened_at) for part in message.parts or (message,)
        ):
            return "erased"
        return calls.gate(message, now) if asks else None

    return judge


def merger(calls: Calls) -> Callable[[Sequence[Message]], Message]:
    """Makes one message of consecutive upserts of a contact, by the vendor's rules on what the newer one replaces."""

    def merge(parts: Sequence[Message]) -> Message:
        fields, notes = parts[0].fields, parts[0].notes
        for part in parts[1:]:
            fields = calls.merged(fields, part.fields)
            notes += part.notes
        last = parts[-1]
        body = calls.encode(fields)
        return Message(last.key, fields, body, last.record, last.tracker, last.event_time, notes, parts=tuple(parts))

    return merge
