"""How long an answer asks to wait, and what its body holds."""

import orjson
import pytest

from stream.http.responses import Answer, retry_after

NOW = 1684852920.0  # Tue, 23 May 2023 14:42:00 GMT


def answered(body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(429, body, lambda name: named.get(name.lower()))


@pytest.mark.parametrize(
    "named, wait",
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0", 0.25),
        ("0.001", 0.25),
        ("300", 300.0),
        ("86400", 300.0),
        ("Tue, 23 May 2023 14:42:01 GMT", 1.0),  # the example of docs.attio.com/rest-api/guides/rate-limiting
        ("Tue, 23 May 2023 14:43:00 GMT", 60.0),
        ("Tuesday, 23-May-23 14:42:30 GMT", 30.0),  # RFC 850's form, RFC 9110 5.6.7
        ("Tue May 23 14:42:30 2023", 30.0),  # asctime's
        ("Tue, 23 May 2023 14:41:00 GMT", 0.25),
        ("Wed, 24 May 2023 14:42:00 GMT", 300.0),
    ],
)
def test_the_wait_is_what_the_vendor_names(named: str, wait: float) -> None:
    """Seconds or a date, at least a quarter of a second, at most five minutes."""
    assert wait == retry_after(answered(retry_after=named), NOW)


@pytest.mark.parametrize(
    "named", ["", " ", "soon", "-5", "nan", "inf", "1e999", "12 seconds", "23 May", "Tue, 99 May 2023 14:42:01 GMT"]
)
def test_a_wait_that_makes_no_sense_counts_as_none(named: str) -> None:
    """Back-off decides then."""
    assert retry_after(answered(retry_after=named), NOW) is None


def test_without_the_header_there_is_no_wait() -> None:
    """Back-off decides then, too."""
    assert retry_after(answered(date="Tue, 23 May 2023 14:42:00 GMT"), NOW) is None


@pytest.mark.parametrize("skew", [-7200.0, 0.0, 7200.0])
def test_a_date_is_measured_by_the_vendors_own_clock(skew: float) -> None:
    """So ours may be off by hours."""
    response = answered(retry_after="Tue, 23 May 2023 14:42:05 GMT", date="Tue, 23 May 2023 14:42:00 GMT")

    assert 5.0 == retry_after(response, NOW + skew)


def test_where_the_vendors_clock_is_unreadable_ours_counts() -> None:
    """Better than nothing."""
    assert 5.0 == retry_after(answered(retry_after="Tue, 23 May 2023 14:42:05 GMT", date="today"), NOW)


@pytest.mark.parametrize(
    "body, value", [(b'{"a": [1]}', {"a": [1]}), (b'"text"', "text"), (b"<html>", None), (b"", None)]
)
def test_a_body_that_is_not_json_is_none(body: bytes, value: object) -> None:
    """Vendors answer with pages, texts and nothing."""
    assert value == answered(body).json()


def test_an_answer_does_not_show_its_body() -> None:
    """It may name a person."""
    assert "<Answer 429, 15 bytes>" == repr(answered(b"ada@example.com"))


@pytest.mark.parametrize("opened, closed", [(b"[", b"]"), (b'{"a":', b"}")])
def test_an_answer_that_is_nested_too_deep_is_no_json(opened: bytes, closed: bytes) -> None:
    """What could be read and not written again would stop whoever passes it on, such as an answer about a person."""

    def nested(depth: int) -> Answer:
        return answered(opened * depth + b"1" + closed * depth)

    assert orjson.dumps({"data": nested(200).json()})
    for depth in (201, 300, 1000, 100_000):
        assert nested(depth).json() is None
