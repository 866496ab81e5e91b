"""The shapes of values that Attio takes, for its stand-in (destinations 5.2). Nothing here knows whom it holds."""

import re
from typing import Any

import orjson

TYPES: dict[str, tuple[type, ...]] = {"text": (str,), "number": (int, float), "checkbox": (bool,)}

Json = dict[str, Any]


class Refusal(Exception):
    """Attio's error for a call."""

    def __init__(self, status: int, code: str, message: str, problems: list[Json] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.problems = problems


def object_of(body: bytes) -> Json:
    """The JSON object that a body is; raises Refusal."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "validation_type", "The body must be a JSON object.")
    return found


def values_of(body: bytes) -> Json:
    """The `data.values` of an assert; raises Refusal."""
    data = object_of(body).get("data")
    values = data.get("values") if isinstance(data, dict) else None
    if not isinstance(values, dict):
        raise Refusal(400, "validation_type", "data.values must be an object.")
    return values


def no_attribute(slug: str) -> Refusal:
    """Attio's word on a slug it does not know."""
    return Refusal(400, "value_not_found", f'Cannot find attribute with slug/ID "{slug}".')


def _invalid(slug: str, path: list[str], problem: str) -> Refusal:
    message = f'An invalid value was passed to attribute with slug "{slug}".'
    return Refusal(400, "validation_type", message, [{"code": "invalid", "path": path, "message": problem}])


def kept(slug: str, kind: str, value: Any) -> list[Any]:
    """The value as it is kept; raises Refusal where it has not the shape that its kind of attribute takes."""
    if not isinstance(value, list):
        raise _invalid(slug, [], "Expected a list of values")
    if kind not in ("email-address", "phone-number") and len(value) > 1:
        raise _invalid(slug, [], "Expected one value")
    return [_one(slug, kind, each) for each in value]


def _one(slug: str, kind: str, value: Any) -> Json:
    if kind == "email-address":
        email = value.get("email_address") if isinstance(value, dict) and len(value) == 1 else value
        if not isinstance(email, str) or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            raise _invalid(slug, ["email_address"], "Invalid email address")
        return {"email_address": email.lower()}
    if kind == "phone-number":
        phone = value.get("original_phone_number") if isinstance(value, dict) and len(value) == 1 else value
        if not isinstance(phone, str) or not re.fullmatch(r"\+[1-9]\d{6,14}", phone, re.ASCII):
            raise _invalid(slug, ["original_phone_number"], "Invalid phone number")
        return {"original_phone_number": phone}
    if kind == "personal-name":
        parts = ("first_name", "last_name", "full_name")
        for part in parts:
            if not isinstance(value, dict) or not isinstance(value.get(part), str):
                raise _invalid(slug, [part], "Required")
        if set(value) != set(parts):
            raise _invalid(slug, [], "Unrecognized key")
        return dict(value)
    if not isinstance(value, dict) or set(value) != {"value"} or type(value["value"]) not in TYPES[kind]:
        raise _invalid(slug, ["value"], f"Expected {kind}")
    return value
