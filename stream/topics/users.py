"""One partition's users and devices as a destination remembers them, under hashed ids: nothing in a key tells whom.

What of an event is remembered, and for whom, is decided in `traits`.
"""

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Protocol

import orjson

from schemas.events import NOTHING, Json
from stream.core.records import snug
from stream.kafka.source import Partition
from stream.topics.state_file import Entry

PREFIX = b"traits/"
MOST_BYTES = 16 * 1024  # of one user's traits; the longest are not kept


class Store(Protocol):
    """`State`, as far as it is used here."""

    def get(self, place: Partition, key: bytes) -> bytes | None: ...
    def put(self, place: Partition, key: bytes, value: bytes, offset: int, *, tag: bytes | None = None) -> bool: ...
    def amend(self, place: Partition, key: bytes, value: bytes, *, tag: bytes | None = None) -> None: ...
    def drop(self, place: Partition, key: bytes) -> None: ...
    def tagged(self, tag: bytes) -> list[tuple[Partition, bytes]]: ...
    def untagged(self, place: Partition, prefix: bytes) -> list[bytes]: ...
    def count(self, place: Partition, prefix: bytes) -> int: ...
    def oldest(self, place: Partition, prefix: bytes, most: int) -> list[bytes]: ...


class InMemory:
    """A store that ends with the process."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Partition, bytes], Entry] = {}

    def get(self, place: Partition, key: bytes) -> bytes | None:
        """The value under *key*."""
        entry = self._entries.get((place, key))
        return entry.value if entry else None

    def put(self, place: Partition, key: bytes, value: bytes, offset: int, *, tag: bytes | None = None) -> bool:
        """Keep it, unless a record at this offset or a later one was heard before."""
        known = self._entries.get((place, key))
        if known is not None and known.offset >= offset:
            return False
        self._entries[place, key] = Entry(value, offset, tag)
        return True

    def amend(self, place: Partition, key: bytes, value: bytes, *, tag: bytes | None = None) -> None:
        """Replace the value, and give the tag if there is one."""
        entry = self._entries[place, key]
        self._entries[place, key] = replace(entry, value=value, tag=tag or entry.tag)

    def drop(self, place: Partition, key: bytes) -> None:
        """Forget it."""
        self._entries.pop((place, key), None)

    def tagged(self, tag: bytes) -> list[tuple[Partition, bytes]]:
        """Where there are entries with this tag."""
        return [where for where, entry in self._entries.items() if entry.tag == tag]

    def untagged(self, place: Partition, prefix: bytes) -> list[bytes]:
        """The keys that begin with *prefix* and are found by nothing else."""
        return [key for key in self.oldest(place, prefix, len(self._entries)) if self._entries[place, key].tag is None]

    def count(self, place: Partition, prefix: bytes) -> int:
        """How many keys begin with *prefix*."""
        return len(self.oldest(place, prefix, len(self._entries)))

    def oldest(self, place: Partition, prefix: bytes, most: int) -> list[bytes]:
        """So many keys that begin with *prefix*, those first that were not written for longest."""
        by_offset = sorted(self._entries.items(), key=lambda item: item[1].offset)
        return [key for (at, key), _ in by_offset if at == place and key.startswith(prefix)][:most]


@dataclass(slots=True)
class Known:
    """What is remembered under one id. Nobody changes it: frozen, it would take several times as long to make.

    *since*: when the oldest event spoke that had a part in it, in seconds since the epoch. *user*: of a device, whose
    it turned out to be; what is known of it stands there. *person*: who it is in the topic of erasures, which stays
    when the traits are erased, or the person's next events would not be recognised.
    """

    traits: Json = field(default_factory=lambda: NOTHING)
    since: float = float("inf")
    user: str | None = None
    person: str | None = None


NOBODY = Known()


class Part:
    """One partition's users and devices, by hashed id: those heard of last at hand, all in the store."""

    def __init__(self, place: Partition, store: Store, at_hand: int) -> None:
        self.place = place
        self.count = store.count(place, PREFIX)
        self._at_hand: dict[str, bytes | None] = {}
        self._owners: dict[str, str] = {}  # of devices, by the ids that events bring: most bring the same as before
        self._most = at_hand
        self._store = store

    def known(self, key: str) -> Known:
        """What is remembered under *key*."""
        value = self._at_hand.get(key, b"")
        if value == b"":  # neither something nor known to be nothing
            value = self._at_hand[key] = self._store.get(self.place, PREFIX + key.encode())
            if len(self._at_hand) > self._most:
                del self._at_hand[next(iter(self._at_hand))]
        return read(value)

    def owner(self, device: str) -> str | None:
        """The user whose the device with this id is, where that is known."""
        owner = self._owners.get(device)
        if owner is None and (owner := self.known(key := hashed_device(device)).user):
            self._owners[device] = owner
            self._at_hand.pop(key, None)
            if len(self._owners) > self._most:
                del self._owners[next(iter(self._owners))]
        return owner

    def keep_owner(self, device: str, user: str, since: float, offset: int) -> None:
        """Remember whose the device with this id is."""
        self._owners.pop(device, None)
        self.keep(hashed_device(device), Known(user=user, since=since), offset)

    def keep(self, key: str, new: Known, offset: int) -> None:
        """Remember it, without the longest of its traits where they are too long."""
        value = written(new)
        while len(value) > MOST_BYTES and new.traits:
            longest = max(new.traits, key=lambda name: len(orjson.dumps(new.traits[name])))
            new = replace(new, traits={name: each for name, each in new.traits.items() if name != longest})
            value = written(new)
        tag = (new.user or new.person or "").encode() or None
        if self._store.put(self.place, PREFIX + key.encode(), value, offset, tag=tag):
            self.count += self._at_hand.get(key, b"") is None
            self._at_hand[key] = value

    def look_again(self) -> None:
        """What is at hand may no longer be what the store has."""
        self._at_hand.clear()
        self._owners.clear()


def read(value: bytes | None) -> Known:
    """What a store's value says; nothing where others wrote it, into our topic."""
    if value is None:
        return NOBODY
    try:
        known = Known(**orjson.loads(value))
    except (TypeError, ValueError):
        return NOBODY
    user, person = known.user, known.person
    texts = (user is None or type(user) is str) and (person is None or type(person) is str)
    return known if texts and type(known.traits) is dict and type(known.since) in (float, int) else NOBODY


def written(known: Known) -> bytes:
    """The store's value that says so."""
    said = {"traits": known.traits, "since": known.since, "user": known.user, "person": known.person}
    return snug(orjson.dumps(said))


def hashed_device(anonymous_id: str) -> str:
    """What stands for a device."""
    return hashed("device " + anonymous_id)


def hashed(name: str) -> str:
    """What stands for an id where it is kept. Quicker made anew than found among thousands that were made before."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
