"""Whom a stand-in for Splio holds, and its rules for what contacts are made of (destinations 2.4, 2.5, 2.9)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Id = int | str

TEXTS = ("email", "firstname", "lastname", "cellphone", "language", "creation_date")
KEYS = frozenset((*TEXTS, "lists", "custom_fields", "double_optin", "tracking_consent"))

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ| \d\d:\d\d:\d\d)", re.ASCII)
_TYPES: dict[str, tuple[type, ...]] = {"text": (str, int, float), "int": (int,), "double": (int, float), "date": (str,)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of an error."""

    key: str
    word: str
    sentence: str

    def json(self, under: str = "") -> Json:
        """As Splio writes it; *under*: which contact of a bulk call it is about."""
        return {"error_key": under + self.key, "error": self.word, "error_description": self.sentence}


@dataclass(slots=True, eq=False)
class Contact:
    """One contact. Custom fields and lists by their ids."""

    number: int
    fields: Json
    custom: dict[Id, Any] = field(default_factory=dict)
    lists: dict[Id, None] = field(default_factory=dict)


class Universe:
    """Contacts, told apart by one key; *lists*: ids to names; *fields*: ids of custom fields to their types."""

    def __init__(self, unique_key: str, lists: Mapping[Id, str], fields: Mapping[Id, str]) -> None:
        self.unique_key = unique_key
        self.lists = dict(lists)
        self.fields = dict(fields)
        self.contacts: list[Contact] = []
        self._by_key: dict[str, Contact] = {}

    def clear(self) -> None:
        """Nobody."""
        self.contacts.clear()
        self._by_key.clear()

    def faults(self, sent: Any, *, partial: bool = False) -> Iterator[Fault]:
        """What is wrong with a contact's shape; *partial*: it need not say who it is."""
        if not isinstance(sent, dict):
            yield Fault("payload", "invalid_json", "A contact must be an object")
            return
        for key in sent.keys() - KEYS:
            yield Fault(key, "unknown_key", f"The key {key} is not one of a contact")
        for key in TEXTS:
            if key in sent and type(sent[key]) is not str:
                yield Fault(key, "wrong_type", f"The {key} given should be a string")
        if "email" in sent and not _EMAIL.fullmatch(str(sent["email"])):
            yield Fault("email", "wrong_email", "The email given should have the right format")
        if "creation_date" in sent and not _DATE.fullmatch(str(sent["creation_date"])):
            yield Fault("creation_date", "wrong_format", "The date given should have the right format")
        yield from self._custom_faults(sent.get("custom_fields", []))
        yield from self.list_faults(sent.get("lists", []))
        if not partial and self.key_of(sent) is None:
            yield Fault(self.unique_key, "wrong_contact_key", "The contact key is missing")

    def _custom_faults(self, given: Any) -> Iterator[Fault]:
        if not isinstance(given, list):
            yield Fault("custom_fields", "wrong_type", "custom_fields should be a list")
            return
        for place, each in enumerate(given):
            field_id = each.get("id") if isinstance(each, dict) else None
            if not isinstance(field_id, int | str) or field_id not in self.fields:
                yield Fault("custom_fields", "wrong_value", f"Custom field not found for id {field_id}")
            elif type(each.get("value")) not in _TYPES[self.fields[field_id]]:
                yield Fault(f"custom_fields[{place}].value", "wrong_type", f"It should be {self.fields[field_id]}")

    def list_faults(self, given: Any) -> Iterator[Fault]:
        """What is wrong with lists to be on."""
        for each in given if isinstance(given, list) else [None]:
            list_id = each.get("id") if isinstance(each, dict) else None
            if not isinstance(list_id, int | str) or list_id not in self.lists:
                yield Fault("list_id", "wrong_value", f"The list {list_id} does not exist")

    def key_of(self, sent: Json) -> str | None:
        """The unique key in what was sent."""
        value = sent.get(self.unique_key)
        if value is None:
            value = next((each["value"] for each in sent.get("custom_fields", ()) if self._is_key(each)), None)
        return None if value in (None, "") else str(value).lower()

    def find(self, key: str) -> Contact | None:
        """The contact with this unique key."""
        return self._by_key.get(key.lower())

    def create(self, sent: Json) -> Contact | None:
        """A new contact; None where its key is taken: creating never updates."""
        key = str(self.key_of(sent))
        if key in self._by_key:
            return None
        contact = Contact(len(self.contacts) + 1, {})
        self._by_key[key] = contact
        self.contacts.append(contact)
        self.change(contact, sent)
        return contact

    def change(self, contact: Contact, sent: Json) -> None:
        """What is sent is what there is, of lists all: those not sent are left. Other custom fields stay."""
        contact.fields |= {key: value for key, value in sent.items() if key not in ("lists", "custom_fields")}
        contact.custom |= {each["id"]: each["value"] for each in sent.get("custom_fields", ())}
        if "lists" in sent:
            contact.lists = dict.fromkeys(each["id"] for each in sent["lists"])

    def delete(self, key: str) -> None:
        """Forget a contact."""
        contact = self._by_key.pop(key.lower())
        self.contacts.remove(contact)

    def shown(self, contact: Contact) -> Json:
        """A contact as Splio answers it."""
        custom = [
            {"id": each, "name": str(each), "value": value, "data_type": self.fields[each]}
            for each, value in contact.custom.items()
        ]
        lists = [{"id": each, "name": self.lists[each]} for each in contact.lists]
        return {"id": contact.number} | contact.fields | {"custom_fields": custom, "lists": lists}

    def _is_key(self, custom: Json) -> bool:
        return self.unique_key in (str(custom.get("id")), f"c{custom.get('id')}")
