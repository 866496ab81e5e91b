"""The bodies of Splio's calls, made of a message's fields. Which call is made when is in `client.py`."""

from collections.abc import Mapping
from typing import Any

import orjson

from stream.core.records import Fields
from stream.destinations.splio_contacts.mapping import SUBSCRIBED, custom_field
from stream.destinations.splio_contacts.settings import SplioContactsSettings, UniqueField

CREATION_ONLY = frozenset(("creation_date", SUBSCRIBED))
"""What an update leaves alone: it would rewrite history, or replace every membership of a contact (2.7)."""


class Bodies:
    """What contacts look like in one universe."""

    def __init__(self, settings: SplioContactsSettings) -> None:
        ids = [*settings.custom_fields]
        if isinstance(settings.unique_key, UniqueField):
            ids.append(settings.unique_key.field)
        self.list_id = None if settings.default_list_id is None else settings.sent_id(settings.default_list_id)
        self._custom = {custom_field(each): settings.sent_id(each) for each in ids}
        self._unique = settings.unique_field
        self._language = settings.default_language

    def unique_key(self, fields: Fields) -> str | None:
        """The value by which Splio knows the contact; None where the event has none."""
        value = fields.get(self._unique)
        return None if value is None else str(value)

    def new(self, fields: Fields) -> bytes:
        """A contact to create."""
        contact = self._contact(fields)
        if self._language is not None and "language" not in contact:
            contact["language"] = self._language
        if SUBSCRIBED in fields:
            contact["lists"] = [{"id": self.list_id}]
        return orjson.dumps(contact)

    def changes(self, fields: Fields) -> bytes | None:
        """What is to be changed of a contact that exists; None where that is nothing."""
        left_out = CREATION_ONLY | {self._unique}
        contact = self._contact({name: value for name, value in fields.items() if name not in left_out})
        return orjson.dumps(contact) if contact else None

    def subscription(self) -> bytes | None:
        """The list to subscribe to; None where its id is no number, which that call does not take (2.7)."""
        return orjson.dumps({"list_ids": [self.list_id]}) if isinstance(self.list_id, int) else None

    def memberships(self, lists: list[Mapping[str, Any]]) -> bytes | None:
        """The lists a contact is on and ours, which replace what there is; None where it is on ours already."""
        if any(str(self.list_id) in (str(each.get("id")), each.get("name")) for each in lists):
            return None
        return orjson.dumps({"lists": [*({"id": each["id"]} for each in lists), {"id": self.list_id}]})

    def _contact(self, fields: Fields) -> dict[str, Any]:
        contact: dict[str, Any] = {}
        custom = []
        ids = self._custom
        for name, value in fields.items():
            if name in ids:
                custom.append({"id": ids[name], "value": value})
            elif name != SUBSCRIBED:
                contact[name] = value
        if custom:
            contact["custom_fields"] = custom
        return contact


def together(shares: list[bytes]) -> bytes:
    """One body of several contacts'."""
    return b'{"contacts":[' + b",".join(shares) + b"]}"
