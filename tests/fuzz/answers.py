"""What vendors say: any status, any headers, any body, and often nearly what they would."""

from random import Random
from typing import Any
from urllib.parse import quote

import orjson

from stream.http import BODY_LIMIT, CertificateRefused, NotSent, Unanswered
from stream.http.responses import Answer
from tests.fuzz.values import PERSON, mutated, some_bytes, written

SECRET = "s3cret/K+y="
STATUSES = (*(200, 200, 200, 201, 204, 207), *(301, 400, 400, 401, 403, 404, 409, 422, 429, 500, 503))
HEADERS = ("retry-after", "date", "ratelimit-reset", "content-type", "location")
HEADER_VALUES = (
    *(
        "",
        "0",
        "-1",
        "1.5",
        "1e400",
        "nan",
        "9" * 400,
        "1_0",
        "٣",
        "never",
        ",",
        "Mon, 99 Foo 99999999999 99:99:99 GMT",
    ),
    *(
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "0 0 0 0:0",
    ),
)
NAMES = (
    *("data", "id", "record_id", "values", "phone_numbers", "code", "message", "validation_errors", "path", "active"),
    *("errors", "error_key", "error", "error_description", "items", "contact_id", "description", "token", "lists"),
    *("status", "name", "result", "todo", "done", "inserted", "campaign_id", "elements", "count_element", "user_id"),
    *("results", "cio_id", "email", "customer", "attributes", "segments", "messages", "activities", "next", "region"),
    *("meta", "workspaces", "environment_id", "unique_key", "sms_credit", "scope", "api_slug", "type", "profiles", ""),
)
ECHO = (
    *PERSON.values(),
    SECRET,
    quote(SECRET, safe=""),
    f"cannot take {PERSON['email']} with {SECRET}",
    "already exists",
)
PROBLEM = {"error_key": "contacts[0].email", "error": "wrong_email", "error_description": "already exists"}
PERSON_FOUND = {"cio_id": "a3000001", "id": "1", "email": PERSON["email"]}
COLLECTED = {
    "segments": [{"id": 1}],
    "activities": [{"id": "e1"}],
    "messages": [{"id": "m1"}],
    "next": "p2",
    "customer": {"id": "1", "attributes": {"a": 1}},
    "results": [PERSON_FOUND],
    "region": "us",
}
"""An answer to whatever Customer.io is asked."""

GOOD: dict[str, tuple[Any, ...]] = {
    "attio": (
        {"data": {"id": {"record_id": "r-1"}, "values": {}}},
        {"data": [{"api_slug": "name", "type": "text"}, {"values": {"phone_numbers": [{"a": 1}]}}]},
        {"code": "value_not_found", "message": "no", "validation_errors": [{"path": ["a", 0], "message": "no"}]},
        {
            "active": True,
            "scope": "record_permission:read-write object_configuration:read",
            "workspace_name": "Example",
        },
    ),
    "splio_contacts": (
        {"errors": [PROBLEM, PROBLEM | {"error_key": "id"}]},
        {"errors": {"email": PROBLEM, "lists": "unknown"}},
        {"items": [{"contact_id": f"{name}@example.com", "code": 200, "description": "ok"} for name in "abc"]},
        {
            "items": [
                {"contact_id": "b@example.com", "code": 400, "description": "Contact already exists"},
                {"code": 503},
            ]
        },
        {"id": 1, "email": PERSON["email"], "lists": [{"id": 7, "name": "News"}], "custom_fields": []},
        {"token": "a.b.c"},
        "a.eyJleHAiOjF9.c",
        {"elements": [{"id": 7, "name": "news", "field_key": "c7"}], "count_element": 2},
        {"user_id": 5, "unique_key": "email"},
    ),
    "splio_sms": (
        {"status": "ok", "code": 200, "result": {"todo": 1, "done": "1", "inserted": 1, "campaign_id": "c-1"}},
        {"status": "error", "code": 400, "message": "Invalid key"},
        {"code": 200, "name": "OK", "description": "sent"},
        {"status": "blocked", "code": 402},
        {"token": "a.b.c"},
        {"sms_credit": 12, "a": [{"sms_credit": "3"}]},
    ),
    "customerio": (
        {"results": [PERSON_FOUND, PERSON_FOUND | {"cio_id": "a3000002"}]},
        {"results": []},
        {"messages": [{"id": "m1"}, {"id": "m2"}], "segments": [], "activities": [{"id": None}], "next": "p2"},
        COLLECTED,
        COLLECTED | {"next": ""},
        {"region": "eu", "environment_id": 7, "workspaces": [{"id": 7, "name": "Example"}]},
        {"meta": {"error": "no", "errors": ["no", {"message": "no"}]}},
    ),
    "splio_files": (
        {"elements": [{"id": 7, "name": "news", "field_key": "c7"}], "count_element": 2},
        {"errors": [PROBLEM]},
        {"token": "a.b.c"},
    ),
}
ANYBODY = [value for values in GOOD.values() for value in values]


def answer(random: Random, kind: str, *, well: bool) -> Answer | Exception:
    """Any status, any headers, any body; often nearly a good one. *well*: with status 200."""
    if well:
        return Answer(200, body(random, kind), lambda _: None)
    if random.random() < 0.04:
        return random.choice((NotSent("refused"), Unanswered("reset"), CertificateRefused("expired")))
    status = random.choice(STATUSES) if random.random() < 0.8 else random.randint(100, 599)
    headers = {random.choice(HEADERS): random.choice(HEADER_VALUES) for _ in range(random.choice((0, 0, 1, 2)))}
    return Answer(status, body(random, kind), lambda name: headers.get(name))


def body(random: Random, kind: str) -> bytes:
    """A body as the vendor or another sends it, changed."""
    chance = random.random()
    if chance < 0.1:
        return random.choice(
            (b"", b"null", b"[]", b"{}", b"<html>", b"NaN", b'"\\ud800"', b"a.b.c", some_bytes(random))
        )
    if chance < 0.11:
        return b"[" + b" " * (BODY_LIMIT - 1)
    if chance < 0.2:
        return f"sorry, {random.choice(ECHO)}".encode()
    value = random.choice(GOOD[kind] if chance < 0.9 else ANYBODY)
    for _ in range(random.choice((0, 0, 1, 1, 2, 4))):
        value = mutated(random, value, NAMES)
    content = written(random, value)
    if random.random() < 0.3:
        content = content.replace(
            b'"no"', orjson.dumps(random.choice(ECHO)).replace(b"/", random.choice((b"/", b"\\/")))
        )
    return content
