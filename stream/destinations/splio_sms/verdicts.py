"""What Splio's answers to a text mean (destinations 3.3). Which calls are made is in `client.py`."""

import re
from dataclasses import dataclass
from typing import Any

from schemas.masking import mask
from stream.core.outcomes import Blocked, Delivered, Outcome, Rejected, Throttled, Unknown
from stream.http import Response
from stream.http.responses import retry_after

NEW_KEY = "set `universe` and `key` as Splio gave them out for Trigger SMS: the Data API key is another"
CREDIT = "buy text messages at Splio; what waits is sent then"
DESIGN = "the rule's `message` is not the id of a text message design in this universe: copy it from Splio"
HOST = "look at `base_url`: what answers is not Splio's Trigger SMS API"
PROXY = "give the proxy between here and Splio its login"

CONFIGURED = [
    (re.compile(r"\b(key|universe|password|credentials?)\b", re.IGNORECASE), NEW_KEY),
    (re.compile(r"\bcredits?\b", re.IGNORECASE), CREDIT),
    (re.compile(r"\b(message|design)\b.{0,20}\b(invalid|unknown|not found|does not exist)\b", re.IGNORECASE), DESIGN),
    (re.compile(r"\b(invalid|unknown|wrong|no such)\b.{0,20}\b(message|design)\b", re.IGNORECASE), DESIGN),
]
"""Words of a 400 by which no event of the rule, or none at all, would get through, and what to do."""

REPEATED = re.compile(r"[\[{&]|rcpts|%5B|%7B", re.IGNORECASE)  # where a request begins that an answer repeats
BLOCKED_CODES = {401: NEW_KEY, 402: CREDIT, 403: NEW_KEY, 404: HOST, 405: HOST, 407: PROXY}
UNSURE_CODES = {408, 423, 425}  # a proxy may have given up after it passed the request on


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer says, of whichever of Splio's two shapes it is. *spoken*: whether it is of either.

    *todo*, *done* and *inserted* count numbers received, valid numbers and queued texts; None where not said.
    """

    status: str  # the word in the body, in lower case
    code: int  # the body's, else the status line's
    text: str  # masked
    spoken: bool
    hint: str = ""  # what to do, where Splio's words say that the configuration is wrong
    todo: int | None = None
    done: int | None = None
    inserted: int | None = None
    campaign_id: str | None = None

    @property
    def taken(self) -> bool:
        """Whether Splio says that all is well: its word counts before codes do."""
        return self.status == "ok" or (self.spoken and self.status not in ("error", "blocked") and self.code == 200)


def read(response: Response) -> Reply:
    """The answer, leniently: Splio's page promises `code`, `name`, `description`, its samples show `status`, `message`,
    `code` (seed 001).
    """
    body = response.json()
    body = body if isinstance(body, dict) else {}
    result = body.get("result")
    result = result if isinstance(result, dict) else {}
    status = _text(body, "status") or _text(body, "name")
    told = _count(body.get("code"))
    code = response.status if told is None else told
    spoken = bool(status) or told is not None
    words = _text(body, "message") or _text(body, "description")
    return Reply(
        status.strip().lower(),
        code,
        _described(code, words) if spoken else f"{response.status} without Splio's explanation",
        spoken,
        next((hint for about, hint in CONFIGURED if about.search(words)), ""),
        _count(result.get("todo")),
        _count(result.get("done")),
        _count(result.get("inserted")),
        _identifier(result.get("campaign_id")),
    )


def verdict(response: Response, reply: Reply, *, numbers: int, now: float) -> Outcome:
    """What became of the text to so many *numbers*, decided by `status`, then `code`, then the HTTP status.

    *now* is seconds since the epoch.
    """
    if reply.status == "blocked":
        return Blocked(f"{reply.text}: insufficient credit", reply.code, CREDIT)
    if reply.taken:
        return _counted(reply, numbers)
    return refusal(response, reply, now)


def refusal(response: Response, reply: Reply, now: float) -> Throttled | Blocked | Rejected | Unknown:
    """What an answer means that says neither ok nor blocked."""
    code, detail = reply.code, reply.text
    if code == 429:
        return Throttled(retry_after(response, now), detail, code)
    if code >= 500 or code in UNSURE_CODES:
        return Unknown(detail, code)
    if hint := BLOCKED_CODES.get(code):
        return Blocked(detail, code, hint)
    if 300 <= code < 400:
        return Blocked(detail, code, HOST)
    if not reply.spoken:
        return Unknown(detail, code) if code < 300 else Blocked(detail, code, HOST)
    if reply.hint:
        return Blocked(detail, code, reply.hint)
    return Rejected(detail, code)


def _counted(reply: Reply, numbers: int) -> Delivered | Rejected:
    """Splio does not say which numbers it left out, so a text to several is never sent again."""
    todo = max(numbers, reply.todo or 0)
    done = todo if reply.done is None else reply.done
    inserted = done if reply.inserted is None else reply.inserted
    if done == 0:
        return Rejected("200 invalid number" if numbers == 1 else f"200 none of {numbers} numbers is valid", reply.code)
    notes = []
    if done < todo:
        notes.append("sms_invalid_numbers")
    if inserted < done:
        notes.append("sms_inserted_fewer")
    facts = {"campaign_id": reply.campaign_id, "todo": reply.todo, "done": reply.done, "inserted": reply.inserted}
    return Delivered(tuple(notes), tuple((name, fact) for name, fact in facts.items() if fact is not None))


def _described(code: int, words: str) -> str:
    """The code and Splio's own words. What it repeats of a request is left out: no mask knows a name from a word."""
    return mask(f"{code} {REPEATED.split(words, maxsplit=1)[0]}")


def _identifier(value: Any) -> str | None:
    """A campaign's id; anything longer or stranger is none."""
    return value if isinstance(value, str) and re.fullmatch(r"[\w-]{1,32}", value, re.ASCII) else None


def _count(value: Any) -> int | None:
    """A count or code, which Splio also writes as text (`"inserted": "2"`)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value.strip(), re.ASCII) else None


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
