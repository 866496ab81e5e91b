"""What Customer.io's answers mean (destinations 6.5). Which calls are made is in `access.py` and `deletion.py`."""

from typing import Any, Literal, TypeAlias

from schemas.masking import mask
from stream.core.outcomes import Blocked, Rejected, Retry, Throttled
from stream.http import Response
from stream.http.responses import retry_after

Api: TypeAlias = Literal["app", "track"]

KEY = "make a new App API key in Customer.io (Account Settings, API Credentials) and set it as `app_api_key`"
TRACK_KEY = "set `site_id` and `tracking_api_key` to a Tracking API key of the same workspace, or leave both out"
SCOPE = "give the App API key access to people, segments, messages and activities, and to our network address"
HOST = "look at `region`, `app_url` and `track_url`: what answers is not this account's host"
PLAN = "the account is unpaid or over its plan: see Billing in Customer.io"
PROXY = "give the proxy between here and Customer.io its login"

PASSING = {408, 423, 425}
WORDS = 200  # characters of a body that is plain text


def refusal(response: Response, api: Api, now: float) -> Retry | Throttled | Blocked | Rejected:
    """What an answer other than 2xx means. *now* is seconds since the epoch.

    A 404 is first for the caller: it may only say that nobody is there.
    """
    status, detail = response.status, described(response)
    if status == 429:
        return Throttled(retry_after(response, now), detail, status)
    if status >= 500 or status in PASSING:
        return Retry(detail, status)
    if status < 400 or status in (404, 405):
        return Blocked(detail, status, HOST)
    blocked = {401: TRACK_KEY if api == "track" else KEY, 402: PLAN, 403: SCOPE, 407: PROXY}
    if hint := blocked.get(status):
        return Blocked(detail, status, TRACK_KEY if api == "track" and status == 403 else hint)
    return Rejected(detail, status)


def unexpected(response: Response, missing: str) -> Retry:
    """A 2xx without what it should hold: something other than Customer.io answered, and nothing is known."""
    return Retry(f"{response.status} without {missing}", response.status)


def described(response: Response) -> str:
    """The status with Customer.io's own words, masked; it has five ways to say them."""
    words = _words(response.json()) or _plain(response.body)
    return mask(f"{response.status} {words}") if words else f"{response.status} without Customer.io's explanation"


def _words(found: Any) -> str:
    if not isinstance(found, dict):
        return ""
    meta = found.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    several = [*_list(meta.get("errors")), *_list(found.get("errors"))]
    texts = [meta.get("error"), *(each.get("message") if isinstance(each, dict) else each for each in several)]
    return "; ".join(text for text in [*texts, found.get("message")] if isinstance(text, str) and text)


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _plain(body: bytes) -> str:
    """A body that is a sentence; a page could hold anything."""
    text = body[:WORDS].decode("utf-8", "replace").strip()
    return text if len(body) <= WORDS and not text.startswith(("<", "{", "[")) else ""
