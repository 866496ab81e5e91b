"""Everything Customer.io holds of a person: attributes, segments, messages, activities of each profile (6.3)."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from stream.destinations.customerio.work import FIND, Answer, Call, Json, Part, Work, profiles

COLLECTIONS = ("attributes", "segments", "messages", "activities")
ATTRIBUTES = "attributes"
EXPECTED = {ATTRIBUTES: "customer"}  # what an answer holds it under, where that is not its own name
LARGEST_PAGE = {"messages": 1000, "activities": 100}
WINDOW = 180 * 86_400  # seconds: a range of more than six months is cut, and the shortest six months have 181 days
GUARANTEED_DAYS = 30  # of activities


@dataclass(slots=True)
class Reading:
    """One collection of one profile: read page by page, messages also window by window, from the newest backwards."""

    cio_id: str
    name: str
    windows: list[tuple[int, int]] = field(default_factory=list)  # from, to; still to be read
    limit: int | None = None  # records a page
    start: str = ""  # of the next page
    items: list[Json] = field(default_factory=list)
    done: bool = False
    known: set[Any] = field(default_factory=set)  # ids: windows touch
    starts: set[str] = field(default_factory=set)

    @property
    def part(self) -> Part:
        """Its place in the answer."""
        return self.cio_id, self.name

    def call(self) -> Call:
        """The next page."""
        query: dict[str, object] = {"id_type": "cio_id"}
        if self.limit:
            query["limit"] = self.limit
        if self.windows:
            query["start_ts"], query["end_ts"] = self.windows[0]
        if self.start:
            query["start"] = self.start
        path = f"/v1/customers/{quote(self.cio_id, safe='')}/{self.name}?{urlencode(query)}"
        endpoint = f"GET /v1/customers/{{cio_id}}/{self.name}"
        return Call(self.name, "app", "GET", path, endpoint, EXPECTED.get(self.name, self.name), self.cio_id)

    def take(self, content: Any, following: Any) -> int:
        """Keep a page and turn to the next one, which *following* names; how many records were in it."""
        page = [content] if self.name == ATTRIBUTES else content
        if not isinstance(page, list) or not all(isinstance(each, dict) for each in page):
            raise ValueError(f"no list of {self.name}")
        for item in page:
            known = item.get("id")
            if not isinstance(known, str | int):  # nothing to tell it by
                self.items.append(item)
            elif known not in self.known:
                self.items.append(item)
                self.known.add(known)
        if self.limit and isinstance(following, str) and following:
            if following in self.starts:
                raise ValueError(f"an end: pages of {self.name} go in circles")
            self.starts.add(following)
            self.start = following
            return len(page)
        self.start = ""
        self.windows = self.windows[1:]
        self.done = not self.windows
        return len(page)


class Access(Work):
    """An access request. *now*: seconds since the epoch; *history*: how many seconds back messages are read."""

    def __init__(self, email: str, now: float, history: float) -> None:
        super().__init__(email)
        self._now = int(now)
        self._oldest = int(now - history)
        self._readings: dict[Part, Reading] = {}

    def next(self, tried: Collection[Part]) -> Call | None:
        """First whoever it is about, then what failed least; a page of a part after the other."""
        if self.found is None:
            call = self.find()
            return call if self.open(call.part, tried) else None
        waiting = [each for each in self._readings.values() if not each.done and self.open(each.part, tried)]
        return min(waiting, key=lambda each: self.failures(each.part)).call() if waiting else None

    def take(self, call: Call, content: Json) -> int:
        """People, or a page of a collection."""
        if call.step == FIND:
            self.found = profiles(content[call.expects])
            self._readings = {each.part: each for cio_id in self.found for each in self._of(cio_id)}
            return len(self.found)
        return self._readings[call.part].take(content[call.expects], content.get("next"))

    def absent(self, call: Call) -> None:
        """The person vanished meanwhile."""
        self._readings[call.part].done = True

    def shorten(self, call: Call) -> bool:
        """Half as many a page."""
        reading = self._readings.get(call.part)
        if reading is None or not reading.limit or reading.limit == 1:
            return False
        reading.limit //= 2
        return True

    def answer(self, trouble: str = "") -> Answer:
        """All there is, or what was read, with the collections that are missing."""
        if self.found is None:
            return Answer("failed", detail=trouble or "; ".join(self.refused.values()))
        if not self.found:
            return Answer("no_records")
        missing = [each for each in self._readings.values() if not each.done]
        detail = "; ".join(dict.fromkeys(self._missing(each, trouble) for each in missing)) or None
        return Answer("partial" if missing else "completed", len(self.found), self._content(), detail)

    def _of(self, cio_id: str) -> Iterator[Reading]:
        for name in COLLECTIONS:
            windows = list(self._windows()) if name == "messages" else []
            yield Reading(cio_id, name, windows, LARGEST_PAGE.get(name))

    def _windows(self) -> Iterator[tuple[int, int]]:
        """From now back; each begins where the next one ends, so that no second falls between."""
        end = self._now
        while end > self._oldest:
            start = max(self._oldest, end - WINDOW)
            yield start, end
            end = start

    def _missing(self, reading: Reading, trouble: str) -> str:
        return f"{reading.name} not read: {self.refused.get(reading.part) or trouble}"

    def _content(self) -> Json:
        found = self.found or {}
        return {
            "identifier": {"email": self.email},
            "records_found": len(found),
            "profiles": [self._profile(cio_id, person) for cio_id, person in found.items()],
        }

    def _profile(self, cio_id: str, person: Json) -> Json:
        """What was read of a profile; a collection that was refused or failed has the pages that were read."""
        read = {name: self._readings[cio_id, name] for name in COLLECTIONS}
        customer = read[ATTRIBUTES].items[0] if read[ATTRIBUTES].items else {}
        others = {name: value for name, value in customer.items() if name not in (ATTRIBUTES, "id", "cio_id")}
        profile = {"cio_id": cio_id, "id": person.get("id"), "email": person.get("email")} | others
        profile[ATTRIBUTES] = customer.get(ATTRIBUTES, {})
        profile |= {name: read[name].items for name in COLLECTIONS if name != ATTRIBUTES}
        since = datetime.fromtimestamp(self._oldest, UTC).date().isoformat()
        profile["coverage"] = {"messages_from": since, "activities_guaranteed_days": GUARANTEED_DAYS}
        return profile
