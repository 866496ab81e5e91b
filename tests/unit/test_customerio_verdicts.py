"""What Customer.io's answers mean, and how they are told (destinations 6.5)."""

import pytest

from stream.core.outcomes import Blocked, Rejected, Retry, Throttled
from stream.destinations.customerio.verdicts import Api, described, refusal
from stream.http.responses import Answer


def answer(status: int, body: bytes = b"", wait: str | None = None) -> Answer:
    return Answer(status, body, {"retry-after": wait}.get)


@pytest.mark.parametrize("api", ["app", "track"])
@pytest.mark.parametrize(
    "status, kind",
    [
        (301, Blocked),
        (307, Blocked),
        (400, Rejected),
        (401, Blocked),
        (402, Blocked),
        (403, Blocked),
        (404, Blocked),
        (405, Blocked),
        (407, Blocked),
        (408, Retry),
        (409, Rejected),
        (422, Rejected),
        (423, Retry),
        (425, Retry),
        (429, Throttled),
        (500, Retry),
        (503, Retry),
        (522, Retry),
        (524, Retry),
    ],
)
def test_a_status_means_the_same_for_both_apis(status: int, kind: type, api: Api) -> None:
    """Whoever is asked."""
    outcome = refusal(answer(status), api, 0.0)

    assert isinstance(outcome, kind)
    assert status == outcome.status


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named(status: int) -> None:
    """The hint speaks of the one that was shown."""
    app, track = refusal(answer(status), "app", 0.0), refusal(answer(status), "track", 0.0)

    assert isinstance(app, Blocked)
    assert isinstance(track, Blocked)
    assert "App API key" in app.hint
    assert "tracking_api_key" in track.hint


@pytest.mark.parametrize(
    "body, words",
    [
        (b'{"meta": {"error": "no"}}', "400 no"),
        (b'{"meta": {"errors": ["no", "never"]}}', "400 no; never"),
        (b'{"errors": [{"reason": "invalid", "message": "no"}, {"message": "never"}]}', "400 no; never"),
        (b'{"message": "no"}', "400 no"),
        (b"plainly no", "400 plainly no"),
        (b'{"meta": {"error": "jane@example.com is no"}}', "400 [email] is no"),
        (b"", "400 without Customer.io's explanation"),
        (b"<html>no</html>", "400 without Customer.io's explanation"),
        (b'{"meta": "no"}', "400 without Customer.io's explanation"),
        (b'{"errors": "no"}', "400 without Customer.io's explanation"),
        (b'["no"]', "400 without Customer.io's explanation"),
        (b"no " * 100, "400 without Customer.io's explanation"),
        (b"\xff\xfe", "400 \ufffd\ufffd"),
    ],
)
def test_its_words_are_found_in_every_form(body: bytes, words: str) -> None:
    """`meta.error`, `meta.errors`, `errors`, `message`, plain text; masked, and never a whole page."""
    assert words == described(answer(400, body))


def test_a_throttle_waits_as_long_as_it_says() -> None:
    """Seconds or a date, at most five minutes (6.6)."""
    throttled = refusal(answer(429, wait="900"), "app", 0.0)

    assert isinstance(throttled, Throttled)
    assert 300 == throttled.after
