"""Splio contacts: which calls are made for a message. Bodies are in `bodies.py`, what answers mean in `verdicts.py`."""

import time
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from stream.core.outcomes import DELIVERED, Blocked, Delivered, Outcome, Rejected, Retry, Unfinished
from stream.core.records import Batch, Fields, Message
from stream.destinations.base import Calls, Check
from stream.destinations.splio_contacts import tokens
from stream.destinations.splio_contacts.bodies import Bodies
from stream.destinations.splio_contacts.bulk import EXISTS, Bulk, Found, bulk_request
from stream.destinations.splio_contacts.checks import connection_test
from stream.destinations.splio_contacts.mapping import SUBSCRIBED
from stream.destinations.splio_contacts.settings import CONTACTS, SplioContactsSettings
from stream.destinations.splio_contacts.verdicts import SUPPLY_KEY, is_gone, is_taken, unexpected, verdict
from stream.http import Request, Response
from stream.http.client import Client
from stream.http.tokens import Token
from stream.mapping import Mapped

CONTACT = "/data/contacts"


class SplioContacts(Calls):
    """The contacts of a universe: created, or updated where they exist. Each step may be repeated without harm."""

    type = "splio_contacts"
    refusals = frozenset({401, 403})
    settings: SplioContactsSettings
    coalesces = True  # an update leaves alone what it does not name

    def __init__(self, settings: SplioContactsSettings, http: Client) -> None:
        super().__init__(settings, http)
        self._bodies = Bodies(settings)
        self._bulk = Bulk(http, self._bodies) if settings.bulk else None
        self._keys = tuple(dict.fromkeys((settings.unique_field, "email", "cellphone")))

    @classmethod
    def token(cls, settings: SplioContactsSettings) -> Token:
        """Minted and renewed where there is a key; else the given one until Splio refuses it (destinations 2.2)."""
        return tokens.token_of(settings.api_key, settings.token)

    def key(self, fields: Fields) -> str:
        """What the universe tells contacts apart by, else the email address, else the phone number."""
        return next(str(fields[name]) for name in self._keys if name in fields)

    def encode(self, fields: Fields) -> bytes:
        """The contact as it is created."""
        return self._bodies.new(fields)

    def replayed(self, mapped: Mapped) -> Mapped:
        """Nobody is put on the list: who was may have left it since (destinations 2.8)."""
        if SUBSCRIBED not in mapped.fields:
            return mapped
        fields = {name: value for name, value in mapped.fields.items() if name != SUBSCRIBED}
        return Mapped(fields, (*mapped.notes, "not_subscribed_replay"))

    def merged(self, older: Fields, newer: Fields) -> Fields:
        """An update leaves the creation date alone, and nobody is taken off the list."""
        kept = {name: older[name] for name in ("creation_date",) if name in older}
        return older | newer | kept

    def requests(self, batch: Batch) -> list[Request]:
        """The creation; an update follows only where Splio has the contact."""
        if self._bulk is not None and not all(map(self._goes_alone, batch)):
            return [bulk_request([message for message in batch if not self._goes_alone(message)])]
        return [_creation(message) for message in batch]

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """A verdict on each contact; see `Calls.send`."""
        together = [] if self._bulk is None else [each for each in batch if not self._goes_alone(each)]
        if self._bulk is None or not together:
            first, *others = batch
            outcome = await self._alone(first, batch.deadline)
            return [outcome, *(_later(message, [outcome]) for message in others)]
        found = await self._bulk.send(together, batch.deadline)
        return [await self._followed(message, found, batch.deadline) for message in batch]

    def check(self) -> AsyncIterator[Check]:
        """The key, the token, the list, the custom fields (destinations 2.11)."""
        return connection_test(self.settings, self.http)

    def _goes_alone(self, message: Message) -> bool:
        """One without email breaks a whole bulk call (destinations 2.9); others were found to have to."""
        return message.company == 1 or "email" not in message.fields

    async def _followed(self, message: Message, found: Found, deadline: float) -> Outcome:
        """What a bulk call came to for a message that was in it or has to go alone.

        One that exists is updated by a call of its own, which other senders take on: here it would wait for all others.
        """
        outcome = found.get(message)
        if outcome is None:
            return _later(message, [each for each in found.values() if each != EXISTS])
        if outcome != EXISTS:
            return outcome
        message.progress = EXISTS
        if message.parts:  # its parts would be sent one by one
            return await self._alone(message, deadline)
        message.company = 1
        return Unfinished()

    async def _alone(self, message: Message, deadline: float) -> Outcome:
        """Create it, or update it where it exists; one deleted between the two is created after all."""
        if message.progress != EXISTS and (outcome := await self._create(message, deadline)) is not None:
            return outcome
        if (outcome := await self._update(message, deadline)) is not None:
            return outcome
        message.progress = None
        if (outcome := await self._create(message, deadline)) is not None:
            return outcome
        return Retry("the contact exists for one call and not for the next")

    async def _create(self, message: Message, deadline: float) -> Outcome | None:
        """What creating it came to; None where it exists already."""
        response = await self.http.send(_creation(message), deadline)
        return None if is_taken(response) else self._judged(response, message)

    async def _update(self, message: Message, deadline: float) -> Outcome | None:
        """What changing and subscribing it came to; None where it exists no more."""
        if self.settings.on_existing == "reject":
            again = ", perhaps by an earlier attempt that got no answer" if message.failures else ""
            return Rejected(f"the contact already exists{again}, and on_existing is reject", 400)
        key = self._bodies.unique_key(message.fields)
        if key is None:
            text = f"the contact already exists, and the event has no {self.settings.unique_field} to find it by"
            return Rejected(text, 400, reason="no_unique_key")
        path = f"{CONTACT}/{quote(key, safe='')}"
        if (changes := self._bodies.changes(message.fields)) is not None:
            outcome = await self._step(Request("PATCH", path, changes, limit=CONTACTS), message, deadline)
            if not isinstance(outcome, Delivered):
                return outcome
        if SUBSCRIBED not in message.fields:
            return DELIVERED
        if (list_ids := self._bodies.subscription()) is not None:
            return await self._step(
                Request("POST", f"{path}/lists/subscribe", list_ids, limit=CONTACTS), message, deadline
            )
        return await self._join(path, message, deadline)

    async def _join(self, path: str, message: Message, deadline: float) -> Outcome | None:
        """Put it on a list whose id is no number: an update replaces all memberships, so they are read first (2.7)."""
        response = await self.http.send(Request("GET", path, limit=CONTACTS), deadline)
        if response.status >= 300:
            return None if is_gone(response) else self._judged(response, message)
        contact = response.json()
        lists = contact.get("lists") if isinstance(contact, dict) else None
        if not isinstance(lists, list) or not all(isinstance(each, dict) and "id" in each for each in lists):
            return unexpected(response, "the contact's lists")
        if (memberships := self._bodies.memberships(lists)) is None:
            return DELIVERED
        return await self._step(Request("PATCH", path, memberships, limit=CONTACTS), message, deadline)

    async def _step(self, request: Request, message: Message, deadline: float) -> Outcome | None:
        """What a call about an existing contact came to; None where it exists no more."""
        response = await self.http.send(request, deadline)
        return None if is_gone(response) else self._judged(response, message)

    def _judged(self, response: Response, message: Message) -> Outcome:
        outcome = verdict(response, time.time())
        if isinstance(outcome, Blocked) and response.status in self.refusals and self.settings.api_key is None:
            return Blocked(outcome.detail, response.status, SUPPLY_KEY)
        if response.status == 409 and message.status == 409:  # tried again once (destinations 2.6)
            return Rejected(outcome.detail, 409) if isinstance(outcome, Retry) else outcome
        return outcome


def _creation(message: Message) -> Request:
    return Request("POST", CONTACT, message.body, limit=CONTACTS)


def _later(message: Message, told: Sequence[Outcome]) -> Outcome:
    """For a message that goes by a call of its own, the next one: no failure, unless nothing got through."""
    message.company = 1
    if told and not any(isinstance(outcome, Delivered | Rejected | Unfinished) for outcome in told):
        return told[0]
    return Unfinished()
