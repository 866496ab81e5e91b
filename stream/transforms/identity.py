"""Transforms of what identifies a contact, for vendors that ask for it hashed."""

import hashlib

from stream.transforms.definition import TEXT, transform

_HASHED = "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72"


@transform(takes=TEXT, example=(" Ada@example.com", "sha256", _HASHED))
def sha256(value: str) -> str:
    """The SHA-256 of the trimmed, lower-case text, as hexadecimal digits."""
    return hashlib.sha256(value.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()
