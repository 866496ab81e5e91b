"""The connection test of Splio Trigger SMS, which has no dry run: the three ways of destinations 3.5, a line each."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from stream.core.outcomes import Blocked, Delivered, Rejected, Throttled, Unknown
from stream.destinations.base import Check
from stream.destinations.splio_sms.rules import NUMBER, Rule
from stream.destinations.splio_sms.settings import SplioSmsSettings
from stream.destinations.splio_sms.verdicts import CREDIT, HOST, NEW_KEY, read, refusal, verdict
from stream.http import NotSent, Request, Response, Unanswered
from stream.http.client import Client, presentable

DATA_KEY = "correct `data_api_key`, or leave it out: texts do not need it"
TEST_NUMBER = "look at `test_number`"


async def checks(
    http: Client, settings: SplioSmsSettings, request: Callable[[Rule, bytes], Request], *, texted: bool
) -> AsyncIterator[Check]:
    """Every line. *request* makes a call for some recipients; *texted*: the test number is left in peace.

    Raises Unanswered where Splio is too busy to say anything about the access.
    """
    rule = settings.rules[0]
    access = _access(await http.send(request(rule, b"[]")))
    yield access
    if settings.test_number is None:
        yield Check("test text", None, "`test_number` is not set")
    elif not access.ok or texted:
        yield Check("test text", None, "not sent again" if access.ok else "not sent: the access was refused")
    else:
        rcpts = orjson.dumps([{NUMBER: settings.test_number}])
        yield _text(await http.send(request(rule, rcpts)))
    if settings.data_api_key is None:
        yield Check("credit", None, "`data_api_key` is not set")
    else:
        yield await _credit(http, settings.data_api_url.rstrip("/"), settings.data_api_key.get_secret_value())


def _access(response: Response) -> Check:
    """What an answer to a call without recipients says: an access that is refused is named, any other 400 is not."""
    reply = read(response)
    if reply.status == "blocked":
        return Check("access", False, f"{reply.text}: insufficient credit", CREDIT)
    if reply.taken:
        return Check("access", True, "universe and key are accepted")
    match refusal(response, reply, time.time()):
        case Unknown(detail) if not reply.spoken and reply.code < 300:
            return Check("access", False, detail, HOST)
        case Throttled(detail=detail) | Unknown(detail):
            raise Unanswered(detail)
        case Blocked(detail, hint=hint) if hint in (NEW_KEY, CREDIT) or reply.code != 400 or not reply.spoken:
            return Check("access", False, detail, hint)
    return Check("access", True, "universe and key are accepted, as far as a call without recipients can tell")


def _text(response: Response) -> Check:
    """What became of the text to the test number."""
    reply = read(response)
    match verdict(response, reply, numbers=1, now=time.time()):
        case Delivered():
            campaign = f", campaign {reply.campaign_id}" if reply.campaign_id else ""
            return Check("test text", True, f"the first rule's text is on its way{campaign}")
        case Blocked(detail, hint=hint):
            return Check("test text", False, detail, hint)
        case Rejected(detail):
            return Check("test text", False, detail, TEST_NUMBER)
    return Check("test text", None, f"{reply.text}: nobody knows whether it was sent")


async def _credit(http: Client, url: str, key: str) -> Check:
    """The texts that are paid for. A Data API that is out of order says nothing about Trigger SMS."""
    try:
        asked = await http.send(Request("POST", f"{url}/authenticate", orjson.dumps({"api_key": key})))
        token = _token(asked)
        if token is None:
            return _unread(asked, "no token")
        headers = (("Authorization", f"Bearer {token}"),)
        answer = await http.send(Request("GET", f"{url}/universes/consumption", headers=headers))
    except (NotSent, Unanswered) as error:
        return Check("credit", None, f"the Data API was not reached: {error}")
    left = _number(answer.json(), "sms_credit") if answer.status == 200 else None
    if left is None:
        return _unread(answer, "no `sms_credit`")
    return Check("credit", left > 0, f"{left:,} left", "" if left > 0 else CREDIT)


def _unread(response: Response, missing: str) -> Check:
    if response.status in (408, 425, 429) or response.status >= 500:
        return Check("credit", None, f"the Data API answered {response.status}")
    return Check("credit", False, f"the Data API answered {response.status}, with {missing}", DATA_KEY)


def _token(response: Response) -> str | None:
    """The token in an answer, as an object's or alone (destinations 2.3)."""
    found = response.json()
    found = found.get("token") if isinstance(found, dict) else found
    fine = isinstance(found, str) and found and presentable(found)
    return found if response.status == 200 and fine else None


def _number(found: Any, name: str) -> int | None:
    """The number of this name, at whatever depth: the shape around it is not documented for certain."""
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict):
        return None
    value = found.get(name)
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    return next((number for each in found.values() if (number := _number(each, name)) is not None), None)
