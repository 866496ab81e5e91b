"""What Attio's answers mean (destinations 5.4). Which calls are made is in `client.py`."""

import re
from typing import Any

from schemas.masking import mask
from stream.core.outcomes import DELIVERED, Blocked, Outcome, Rejected, Retry, Throttled
from stream.http import BODY_LIMIT, Response
from stream.http.responses import retry_after

NEW_KEY = "make a new API key in Attio (Settings, Developers) and set it as `api_key`"
SCOPES = "give the key record_permission:read-write and object_configuration:read in Attio (Settings, Developers)"
SLUG = "restore the slug in Attio, or map another (`fields`); `crmstream check --connect` says which"
PLAN = "the workspace's plan is used up or unpaid: see Settings, Billing in Attio"
HOST = "look at `base_url`: what answers is not Attio's API, or has no people"
PROXY = "give the proxy between here and Attio its login"

BLOCKED_CODES = {"quota_exceeded": PLAN, "billing_error": PLAN}  # whatever the status: waiting does not help
PASSING_CODES = {"merge_in_progress", "concurrent_write_conflict"}
BLOCKED_STATUSES = {401: NEW_KEY, 402: PLAN, 403: SCOPES, 404: HOST, 405: HOST, 407: PROXY}
PASSING_STATUSES = {408, 423, 425}

RECORD = re.compile(rb'\{"data":\{"id":\{"workspace_id":"[^"]+","object_id":"[^"]+","record_id":"[^"]+"\},')
"""How Attio's answer with a record begins. To read all of it, with each value's history, takes as long as a mapping."""


def verdict(response: Response, now: float) -> Outcome:
    """What became of the person, told from the answer to an assert. *now* is seconds since the epoch.

    A 2xx counts only with the record in it: a proxy's login page is a 200 too, and nothing was delivered.
    """
    if 200 <= response.status < 300:
        return DELIVERED if _has_record(response) else unexpected(response, "a record")
    return refusal(response, now)


def refusal(response: Response, now: float) -> Retry | Throttled | Blocked | Rejected:
    """What an answer other than 2xx means, to an assert as to a read."""
    status, error = response.status, response.json()
    code, detail = _text(error, "code"), described(response)
    if hint := BLOCKED_CODES.get(code):
        return Blocked(detail, status, hint)
    if status == 429 or code == "rate_limit_exceeded":
        return Throttled(retry_after(response, now), detail, status)
    if status >= 500 or status in PASSING_STATUSES or code in PASSING_CODES:
        return Retry(detail, status)
    if status < 400:
        return Blocked(detail, status, HOST)
    if hint := BLOCKED_STATUSES.get(status):
        return Blocked(detail, status, hint)
    if code == "value_not_found":
        return Blocked(detail, status, SLUG)
    return Rejected(detail, status)


def unexpected(response: Response, missing: str) -> Retry:
    """A 2xx without what it should hold: something other than Attio answered, and nothing is known to have happened."""
    return Retry(f"{response.status} without {missing}", response.status)


def described(response: Response) -> str:
    """The status with Attio's own words, masked. A body that is not Attio's is not shown: it could hold anything."""
    error = response.json()
    code, message = _text(error, "code"), _text(error, "message")
    if not (code or message):
        return f"{response.status} without Attio's explanation"
    problems = error.get("validation_errors")
    where = [_problem(problem) for problem in problems[:3]] if isinstance(problems, list) else []
    return mask(" ".join([str(response.status), code, message, *where]))


def hint(response: Response) -> str:
    """What to do about an answer that fails the connection test."""
    if response.status < 400:
        return HOST  # Attio answers what was asked
    outcome = refusal(response, 0.0)
    return outcome.hint if isinstance(outcome, Blocked) else NEW_KEY  # a 400: no key that Attio can read (5.6)


def listed(found: Any) -> list[Any] | None:
    """The `data` of an answer that lists something; None where there is no list."""
    data = found.get("data") if isinstance(found, dict) else None
    return data if isinstance(data, list) else None


def _has_record(response: Response) -> bool:
    body = response.body
    if RECORD.match(body) and body.endswith(b"}}}"):
        return True
    if len(body) >= BODY_LIMIT:  # the rest was not read: no login page is as long as a person can be
        return True
    found = response.json()
    for name in ("data", "id", "record_id"):
        found = found.get(name) if isinstance(found, dict) else None
    return bool(found)


def _problem(problem: Any) -> str:
    """One of the `validation_errors`: where it is, and what."""
    path = problem.get("path") if isinstance(problem, dict) else None
    where = ".".join(map(str, path)) if isinstance(path, list) else ""
    return f"({where}: {_text(problem, 'message')})"


def _text(found: Any, name: str) -> str:
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""
