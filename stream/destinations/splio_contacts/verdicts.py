"""What Splio's answers mean (destinations 2.6). Which calls are made is in `client.py`, many at once in `bulk.py`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.masking import mask
from stream.core.outcomes import DELIVERED, Blocked, Delivered, Rejected, Retry, Throttled
from stream.http import BODY_LIMIT, Response
from stream.http.responses import wait_asked

KEY = "look at `api_key`: make one under API users in the universe, with the rights of the Data API"
SUPPLY_KEY = "token expired, supply an API key: `api_key` mints new ones"
LIST = "look at `default_list_id`: `crmstream check --connect` says which lists there are"
FIELD = "look at `custom_fields`: `crmstream check --connect` says which ids Splio does not know"
HOST = "look at `base_url`: what answers is not the Data API of your universe"
PROXY = "give the proxy between here and Splio its login"

BLOCKED_STATUSES = {401: KEY, 402: "the account is unpaid", 403: KEY, 404: HOST, 405: HOST, 407: PROXY}
PASSING_STATUSES = {408, 409, 423, 425}

_INDEX = re.compile(r"contacts\[(\d{1,6})\]\.?(.*)", re.DOTALL)
_NO_FIELD = re.compile(r"custom.?field.*not found", re.IGNORECASE)
_NO_LIST = re.compile(r"\blists?\b.*(not found|not exist|unknown)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that Splio found wrong: where, its word and its sentence. *index*: of the contact in a bulk call."""

    key: str = ""
    word: str = ""
    sentence: str = ""
    index: int | None = None

    @property
    def taken(self) -> bool:
        """Whether it is only that the contact exists: creating never updates (2.5)."""
        return "already exists" in self.sentence

    @property
    def remedy(self) -> str | None:
        """What a person must do so that any contact gets through; None where it is this contact's own fault."""
        if self.key.startswith("list") or (not self.key and _NO_LIST.search(self.sentence)):
            return LIST
        if self.key.startswith("custom_field"):
            return FIELD if self.word == "not_found" or "not found" in self.sentence else None
        return FIELD if not self.key and _NO_FIELD.search(self.sentence) else None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.key and f"{self.key}:", self.word, self.sentence)))


def problems(response: Response) -> tuple[Problem, ...]:
    """What an error says, in any of the four shapes of bodies (2.6); nothing where it is none of them."""
    found = response.json()
    if isinstance(found, str):
        return (Problem(sentence=found),)
    if not isinstance(found, dict):
        return ()
    errors = found.get("errors")
    if isinstance(errors, list):
        return tuple(_problem(each) for each in errors if isinstance(each, dict))
    if isinstance(errors, dict):
        return tuple(_named(errors))
    message = found.get("message")
    return (Problem(sentence=message),) if isinstance(message, str) else ()


def is_taken(response: Response) -> bool:
    """Whether a contact was not created because it exists."""
    return response.status == 400 and any(problem.taken for problem in problems(response))


def is_gone(response: Response) -> bool:
    """Whether a contact was not changed because it exists no more; a wrong host is a 404 too."""
    return response.status == 404 and any(problem.key == "id" for problem in problems(response))


def verdict(response: Response, now: float) -> Delivered | Retry | Throttled | Blocked | Rejected:
    """What became of one contact. *now* is seconds since the epoch.

    A 2xx counts unless it holds something other than JSON: a proxy's login page is a 200 too, and nothing was done.
    """
    if not 200 <= response.status < 300:
        return refusal(response, now)
    if response.body and len(response.body) < BODY_LIMIT and response.json() is None:
        return unexpected(response, "a contact")
    return DELIVERED


def refusal(response: Response, now: float) -> Retry | Throttled | Blocked | Rejected:
    """What an answer other than 2xx means, to any call."""
    found = problems(response)
    if response.status == 429:
        return Throttled(wait_asked(response, now), described(429, found), 429)
    return fault(response.status, found)


def fault(status: int, found: Sequence[Problem]) -> Retry | Blocked | Rejected:
    """The same of a status that asks for no wait, or of one item of a bulk call."""
    detail = described(status, found)
    if status >= 500 or status in PASSING_STATUSES or status == 429:
        return Retry(detail, status)
    if status < 400:
        return Blocked(detail, status, HOST)
    if hint := BLOCKED_STATUSES.get(status):
        return Blocked(detail, status, hint)
    if status == 400 and (hint := next((each.remedy for each in found if each.remedy), None)):
        return Blocked(detail, status, hint)
    return Rejected(detail, status)


def unexpected(response: Response, missing: str) -> Retry:
    """A 2xx without what it should hold: something other than Splio answered, and nothing is known to have happened."""
    return Retry(f"{response.status} without {missing}", response.status)


def described(status: int, found: Sequence[Problem]) -> str:
    """The status with Splio's own words, masked. A body that is not Splio's is not shown: it could hold anything."""
    return mask(f"{status} {'; '.join(map(str, found[:3]))}") if found else f"{status} without Splio's explanation"


def _problem(error: dict[str, Any]) -> Problem:
    key, word, sentence = (_text(error, name) for name in ("error_key", "error", "error_description"))
    if match := _INDEX.fullmatch(key):
        return Problem(match[2], word, sentence, int(match[1]))
    return Problem(key, word, sentence)


def _named(errors: dict[str, Any]) -> Iterator[Problem]:
    """Of an object where a list should be: one error, or several by their names."""
    if not errors.keys().isdisjoint(("error_key", "error", "error_description")):
        yield _problem(errors)
        return
    for key, error in errors.items():
        yield _problem({"error_key": key} | error) if isinstance(error, dict) else Problem(key, sentence=str(error))


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
