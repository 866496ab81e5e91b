"""What the settings add to the preset: custom fields, the unique key, the date's form, and who is subscribed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.events import Event
from stream.core.outcomes import Filtered
from stream.mapping import FieldRule, Mapped, Maps, Preset, compile_expression, compile_mapping, granted
from stream.mapping.expressions import ROOTS, did_you_mean
from stream.mapping.grammar import Path, Source, parse

if TYPE_CHECKING:
    from stream.destinations.splio_contacts.settings import SplioContactsSettings

SUBSCRIBED = "subscribed"
"""The field, always true where it is there, of contacts that are to be on the list."""

CATEGORY = "marketing"
"""The consent that a subscription needs (seed 000, Consent)."""

DATETIME = "timestamp | date('%Y-%m-%d %H:%M:%S')"  # as Splio's own specification wants creation dates (2.5)
FIELD_IGNORED = "field_ignored"


def custom_field(field_id: str) -> str:
    """The name that a custom field has among a message's fields."""
    return f"custom_fields.{field_id}"


class ContactMapping:
    """A mapping that also says whether the contact is to be subscribed, and if not, why."""

    __slots__ = ("_custom", "_fields", "_listed", "_subscribe")

    def __init__(self, fields: Maps, custom: frozenset[str], *, listed: bool, subscribe: bool) -> None:
        self._fields = fields
        self._custom = custom
        self._listed = listed
        self._subscribe = subscribe

    @property
    def traits(self) -> frozenset[str]:
        """The names of the traits that it reads."""
        return self._fields.traits

    def takes(self, event: Event) -> bool:
        """Whether events of this name are for the destination."""
        return self._fields.takes(event)

    def map(self, event: Event) -> Mapped | Filtered:
        """The event's fields, with `subscribed`: true for marketing consent alone, which is boolean true alone."""
        mapped = self._fields.map(event)
        if isinstance(mapped, Filtered):
            return mapped
        fields, notes = mapped.fields, mapped.notes
        for name in self._custom & fields.keys():
            if type(fields[name]) is dict or type(fields[name]) is list:  # Splio has texts, numbers and dates (2.5)
                del fields[name]
                notes = (*notes, FIELD_IGNORED) if FIELD_IGNORED not in notes else notes
        if not self._subscribe:
            return Mapped(fields, notes)
        if not granted(event, CATEGORY):
            return Mapped(fields, (*notes, "not_subscribed_no_consent"))
        if not self._listed:
            return Mapped(fields, (*notes, "not_subscribed_no_list"))
        fields[SUBSCRIBED] = True
        return Mapped(fields, notes)


def contact_mapping(
    settings: "SplioContactsSettings", preset: Preset, *, config: Mapping[str, object], place: str
) -> ContactMapping:
    """The preset as the settings change it. Raises UserError with *place* for an expression that is wrong."""
    custom = {
        custom_field(field_id): FieldRule(value=expression(text, f"{place}.custom_fields.{field_id}", config))
        for field_id, text in settings.custom_fields.items()
    }
    identity = list(preset.identity)
    if not isinstance(settings.unique_key, str):
        unique = expression(settings.unique_key.source, f"{place}.unique_key.from", config)
        custom[settings.unique_field] = FieldRule(value=unique)
        identity.append(settings.unique_field)
    fields = preset.fields | custom
    if settings.creation_date_format == "datetime":
        fields["creation_date"] = fields["creation_date"].model_copy(update={"value": DATETIME})
    compiled = compile_mapping(
        preset.model_copy(update={"fields": fields, "identity": identity}),
        events=settings.events,
        fields=settings.fields,
        consent=settings.consent,
        config=config,
        place=place,
    )
    listed = settings.default_list_id is not None
    return ContactMapping(compiled, frozenset(custom), listed=listed, subscribe=settings.subscribe)


def expression(text: str, place: str, config: Mapping[str, object]) -> str:
    """The whole expression where only what stands after `traits.` was written; checked, so that *place* is told."""
    for term in reversed(parse(Source(text, place)).terms):
        if isinstance(term, Path) and _is_trait(term):
            text = f"{text[: term.column]}traits.{text[term.column :]}"
    compile_expression(text, place=place, config=config)
    return text


def _is_trait(path: Path) -> bool:
    """Whether a path begins with a trait's name: not with a root, nor with what looks like one misspelt."""
    return path.root not in ROOTS and not (path.keys and did_you_mean(path.root, list(ROOTS)))
