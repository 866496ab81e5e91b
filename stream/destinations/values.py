"""Values that settings of several destinations hold: each is checked, and brought into one form, where it is read."""

import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, WithJsonSchema

from stream.transforms.country import is_country


def web_address(text: str) -> str:
    """*text* where it is an http or https address without login, query or fragment; else raises ValueError."""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or "@" in parts.netloc or parts.query or parts.fragment or re.search(r"\s", text):
        raise ValueError("it must be an address like https://api.example.com, without login, query or fragment")
    return text


def country(region: str) -> str:
    """*region* where it is a country's two letters; else raises ValueError."""
    if not is_country(region):
        raise ValueError("it must be a country's two letters, such as FR")
    return region


def one_word(again: str) -> Callable[[SecretStr], SecretStr]:
    """Gives a secret without the line's end that is often copied along; within, it would break the request.

    *again* is what to do about one that is no word.
    """

    def bare(secret: SecretStr) -> SecretStr:
        word = secret.get_secret_value().strip()
        if not re.fullmatch(r"[!-~]+", word):
            raise ValueError(f"it must be one word of plain letters, digits and signs: {again}")
        return SecretStr(word)

    return bare


def without_default(schema: dict[str, Any]) -> None:
    """In a field's schema: a new configuration begins with this key, although another one would do."""
    schema.pop("default", None)


WebAddress = Annotated[str, AfterValidator(web_address), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Country = Annotated[str, AfterValidator(country)]
Key = Annotated[SecretStr, AfterValidator(one_word("copy the key again"))]
