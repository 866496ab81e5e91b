"""Splio Trigger SMS: the calls and their bodies. What answers mean is in `verdicts.py`, who gets one in `rules.py`."""

import time
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import orjson
import structlog

from stream.core.outcomes import Delivered, Outcome, Retry, Unknown
from stream.core.records import Batch, Fields, Message
from stream.destinations.base import Calls, Check
from stream.destinations.splio_sms.checks import checks
from stream.destinations.splio_sms.rules import NUMBER, Rule
from stream.destinations.splio_sms.settings import SplioSmsSettings
from stream.destinations.splio_sms.verdicts import Reply, read, verdict
from stream.http import Request, Unanswered
from stream.http.client import Client

SEND = "/api/triggersms/nph-4.pl"
FORM = "application/x-www-form-urlencoded; charset=utf-8"

log = structlog.get_logger()


class SplioSms(Calls):
    """The text messages of a universe: one call for each event, which names every number once."""

    type = "splio_sms"
    settings: SplioSmsSettings
    repeatable = False  # a second call is a second text, and costs again (destinations 3.4)

    def __init__(self, settings: SplioSmsSettings, http: Client) -> None:
        super().__init__(settings, http)
        self._rules = {rule.event: rule for rule in settings.rules}
        self._texted = False  # whether the test number had its text: one is enough for a start

    def key(self, fields: Fields) -> str:
        """The first number."""
        return str(_recipients(fields)[0][NUMBER])

    def encode(self, fields: Fields) -> bytes:
        """The recipients, as the parameter `rcpts` has them."""
        return orjson.dumps(_recipients(fields))

    def gate(self, message: Message, now: float) -> str | None:  # noqa: ARG002
        """Quiet hours; `max_age` is judged for every destination."""
        quiet = self.settings.quiet_hours
        return "quiet_hours" if quiet is not None and quiet.cover(now) else None

    def intent(self, message: Message) -> str:
        """The name of the rule's event. Not the design: another one is no reason to send an event's text again."""
        return str(message.fields["rule"])

    def requests(self, batch: Batch) -> list[Request]:
        """The one call."""
        [message] = batch
        return [self._request(self._rules[self.intent(message)], message.body)]

    async def send(self, batch: Batch) -> list[Outcome]:
        """The verdict on the one text of the batch; see `Calls.send`."""
        [message] = batch
        [request] = self.requests(batch)
        try:
            response = await self.http.send(request, deadline=batch.deadline)
        except Unanswered as error:
            return [self._unknown(Unknown(f"no answer: {error}"))]
        reply = read(response)
        outcome = verdict(response, reply, numbers=len(_recipients(message.fields)), now=time.time())
        if isinstance(outcome, Delivered):
            _note(message, self.intent(message), reply, outcome)
        return [self._unknown(outcome) if isinstance(outcome, Unknown) else outcome]

    async def check(self) -> AsyncIterator[Check]:
        """The access, and where the configuration asks for them a text to a number and the credit left."""
        texted, self._texted = self._texted, True  # delivery probes by this test, and a text costs
        async for check in checks(self.http, self.settings, self._request, texted=texted):
            yield check

    def _request(self, rule: Rule, rcpts: bytes) -> Request:
        """A call as destinations 3.2 has it: a form, of which only the recipients are JSON."""
        parameters = {
            "universe": self.settings.universe,
            "key": self.settings.key.get_secret_value(),
            "message": rule.message,
            "rcpts": rcpts.decode(),
        }
        if rule.opcode is not None:
            parameters["opcode"] = rule.opcode if isinstance(rule.opcode, str) else orjson.dumps(rule.opcode).decode()
        if rule.category is not None:
            parameters["category"] = rule.category
        body = urlencode(parameters, quote_via=quote, safe="").encode()
        return Request(self.settings.method, SEND, body, FORM)

    def _unknown(self, outcome: Unknown) -> Unknown | Retry:
        """A text that may have been sent, as the configuration wants it."""
        return Retry(outcome.detail, outcome.status) if self.settings.on_unknown == "resend" else outcome


def _recipients(fields: Fields) -> list[dict[str, str]]:
    found = fields["rcpts"]
    assert isinstance(found, list)  # noqa: S101 - for the type checker
    return found


def _note(message: Message, rule: str, reply: Reply, outcome: Delivered) -> None:
    """What Splio's statistics go by, with the record that it came of; nothing here is personal."""
    say = log.warning if outcome.notes else log.info
    say(
        "text_taken",
        type=SplioSms.type,
        rule=rule,
        topic=message.record.topic,
        partition=message.record.partition,
        offset=message.record.offset,
        campaign_id=reply.campaign_id,
        todo=reply.todo,
        done=reply.done,
        inserted=reply.inserted,
        notes=list(outcome.notes),
    )
