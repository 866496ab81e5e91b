"""Phone numbers to E.164. Parsing is slow (47 µs), its library slow to import: both only where a look will not do."""

import re
from functools import lru_cache
from typing import Annotated

from stream.transforms.country import is_country
from stream.transforms.definition import TEXT, Absent, Rule, transform

DROPPED = Absent("phone_dropped")
CACHED = 16_384  # numbers remembered: the events of one contact come close together
LONGEST = 64  # characters; no number is longer, and what is longer should not be remembered

Region = Annotated[str | None, Rule(is_country, "a country's two letters in quotes, such as 'FR'")]

PLANS = (  # in these forms a number is possible and its E.164 form is itself: a test compares with the library
    r"1[2-9]\d{9}",  # North America
    r"3[12346][1-9]\d{8}",  # Netherlands, Belgium, France, Spain, Hungary
    r"39[3]\d{9}",  # Italy, mobile
    r"351[9]\d{8}",  # Portugal, mobile
    r"353[8]\d{8}",  # Ireland, mobile
    r"41[2-9]\d{8}",  # Switzerland
    r"43[6]\d{10}",  # Austria, mobile
    r"44[1-9]\d{9}",  # United Kingdom
    r"4[57][1-9]\d{7}",  # Denmark, Norway
    r"4[68][1-9]\d{8}",  # Sweden, Poland
    r"49[1][567]\d{8,9}",  # Germany, mobile
    r"55[1-9]{2}\d{9}",  # Brazil
    r"61[4]\d{8}",  # Australia, mobile
    r"81[9][0]\d{8}",  # Japan, mobile
    r"91[6-9]\d{9}",  # India
)
_KNOWN = re.compile(rf"\+(?:{'|'.join(PLANS)})", re.ASCII)


@transform(takes=TEXT, example=("06 12 34 56 78", "e164('FR')", "+33612345678"))
def e164(value: str, region: Region = None) -> object:
    """A phone number with + and country code; the country is for numbers written without one."""
    if _KNOWN.fullmatch(value):
        return value
    return _parsed(value, region) if len(value) <= LONGEST else DROPPED


@lru_cache(maxsize=CACHED)
def _parsed(value: str, region: str | None) -> object:
    """The number if it is possible. Not if it is valid: the vendors' own sample, +1 555 867 5309, is not."""
    import phonenumbers

    try:
        number = phonenumbers.parse(value, region.upper() if region else None)
    except phonenumbers.NumberParseException:
        return DROPPED
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return DROPPED  # that includes numbers possible only locally, without their area code
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
