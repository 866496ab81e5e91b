"""A person's profiles removed from Customer.io, and seen to be gone (destinations 6.4)."""

from collections.abc import Collection
from typing import Literal, TypeAlias
from urllib.parse import quote

from stream.destinations.customerio.work import FIND, Answer, Call, Json, Part, Pause, Work, profiles

Way: TypeAlias = Literal["delete", "suppress"]

VERIFY = "verify"
PAUSES = (1.0, 4.0, 10.0, 15.0, 30.0)  # seconds before each look whether they are gone: a minute in all
UNVERIFIED = "unverified"
BEGUN_BEFORE = "nobody is found; the request was begun before, which may have removed them"


class Deletion(Work):
    """A deletion request. That the vendor takes a call proves nothing: it says the same of people it never knew."""

    def __init__(self, email: str, way: Way) -> None:
        super().__init__(email)
        self.begun_before = False  # the request comes a second time, and what became of it then is not known
        self._way = way
        self._taken: set[str] = set()  # profiles whose removal the vendor has accepted
        self._visible = True
        self._looks = 0
        self._rested = False

    def next(self, tried: Collection[Part]) -> Call | Pause | None:
        """Find, remove, and look again until nobody is found; whoever has come back meanwhile is removed as well."""
        if self.found is None:
            call = self.find()
            return call if self.open(call.part, tried) else None
        left = [call for call in map(self._removal, self.found) if call.cio_id not in self._taken]
        if waiting := [call for call in left if self.open(call.part, tried)]:
            return min(waiting, key=lambda call: self.failures(call.part))
        if not self._taken or not self._visible or self._looks == len(PAUSES):
            return None
        if any(call.part not in self.refused for call in left):
            return None  # failed for now
        if not self._rested:
            self._rested = True
            return Pause(PAUSES[self._looks])
        look = self.find(VERIFY)
        return look if self.open(look.part, tried) else None

    def take(self, call: Call, content: Json) -> int:
        """People, or the vendor's word that it accepts."""
        if call.step in (FIND, VERIFY):
            people = profiles(content[call.expects])
            if call.step == VERIFY:
                self._looks += 1
                self._rested = False
                self._visible = bool(people.keys() - {cio_id for cio_id, _ in self.refused})
            self.found = (self.found or {}) | people
            return len(people)
        self._taken.add(str(call.cio_id))
        return 1

    def absent(self, call: Call) -> None:
        """Gone already, or so it says: the look at the end tells."""
        self._taken.add(str(call.cio_id))

    def shorten(self, call: Call) -> bool:  # noqa: ARG002
        """A list of people has no pages."""
        return False

    def answer(self, trouble: str = "") -> Answer:
        """Completed only when every profile was removed and is not found any more."""
        if self.found is None:
            return Answer("failed", detail=trouble or "; ".join(self.refused.values()))
        if not self.found:
            return Answer("no_records", detail=BEGUN_BEFORE if self.begun_before else None)
        left = len(self.found.keys() - self._taken)
        if left:
            why = "; ".join(dict.fromkeys(self.refused.values())) or trouble
            detail = f"{left} of {len(self.found)} profiles not removed: {why}"
            return Answer("partial" if self._taken else "failed", len(self.found), detail=detail)
        if self._visible:
            return Answer("partial", len(self.found), detail=f"{UNVERIFIED}: {trouble}" if trouble else UNVERIFIED)
        return Answer("completed", len(self.found))

    def _removal(self, cio_id: str) -> Call:
        """By the profile's id and nothing else: plain text could be somebody else's id (6.4)."""
        who = quote(f"cio_{cio_id}", safe="")
        path, endpoint = f"/api/v1/customers/{who}", "/api/v1/customers/{cio_id}"
        if self._way == "suppress":
            return Call("suppress", "track", "POST", f"{path}/suppress", f"POST {endpoint}/suppress", cio_id=cio_id)
        return Call("delete", "track", "DELETE", path, f"DELETE {endpoint}", cio_id=cio_id)
