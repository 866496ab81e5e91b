"""The stand-ins of a run, each with a ledger of what it took."""

from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import unquote

from stream.destinations.customerio.sandbox import CustomerioSandbox
from stream.destinations.sandbox import Entry
from stream.destinations.splio_contacts.sandbox import SplioContactsSandbox
from stream.destinations.splio_contacts.universe import Contact, Json, Universe
from tests.chaos.collecting import Watched, WatchedAttio, WatchedSms
from tests.chaos.plan import ATTIO, CONTACTS, PRIVACY, TEXTS

LIST = 25  # that contacts are subscribed to


class WatchedContacts(Watched, SplioContactsSandbox):
    """A universe. The events' number within the contact is in the custom field `number`."""

    def __init__(self) -> None:
        super().__init__()
        self.noted = defaultdict[int, list[tuple[str, int]]](list)  # by the number of the call
        self.universe = _Noting(self)

    def items(self, entry: Entry) -> Iterable[tuple[str, int]]:
        """Those of its contacts that were created or changed."""
        return self.noted[entry.number]

    def limit(self, entry: Entry) -> str:
        """Calls about contacts have a limit of their own."""
        return "contacts" if entry.target.startswith("/data/contacts") else "other"


class _Noting(Universe):
    """A universe that tells what is changed in it."""

    def __init__(self, vendor: WatchedContacts) -> None:
        super().__init__("email", {LIST: "Customers"}, {"number": "text"})
        self._vendor = vendor

    def change(self, contact: Contact, sent: Json) -> None:
        super().change(contact, sent)
        for each in sent.get("custom_fields", ()):
            event = str(contact.fields["email"]), int(each["value"])
            self._vendor.noted[self._vendor.log[-1].number].append(event)


class WatchedPrivacy(Watched, CustomerioSandbox):
    """A workspace that is asked to forget people. A removal is the first and only event of its request."""

    def __init__(self) -> None:
        self.whose: dict[str, str] = {}  # identifiers to email addresses
        super().__init__()
        self.holds.clear()

    def add(self, email: str) -> None:
        """Hold somebody."""
        person = self.holds.add(email)
        self.whose |= {person.id: email, f"cio_{person.cio_id}": email}

    def items(self, entry: Entry) -> Iterable[tuple[str, int]]:
        """The person."""
        identifier = unquote(entry.target.partition("?")[0].rsplit("/", 1)[-1])
        return [(request_about(self.whose[identifier]), 1)]

    def limit(self, entry: Entry) -> str:
        """Each API has its own."""
        return "app" if entry.target.startswith("/v1/") else "track"


def request_about(email: str) -> str:
    """What a deletion request is known by in the ledger: no contact of the events."""
    return f"request about {email}"


VENDORS: dict[str, type[Watched]] = {
    ATTIO: WatchedAttio,
    CONTACTS: WatchedContacts,
    TEXTS: WatchedSms,
    PRIVACY: WatchedPrivacy,
}
