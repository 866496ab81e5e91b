"""What a configuration may say of a Customer.io destination."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stream.destinations.customerio.settings import CustomerioSettings
from stream.settings import topics_read
from tests.unit.configurations import KAFKA, SMALLEST, SOURCE, loaded, refused

CUSTOMERIO = "destinations:\n  cio:\n    type: customerio\n    app_api_key: s3cret\n"
PRIVACY = "privacy: {requests: crm.requests, results: crm.results, key: long-secret}\n"


def given(**changes: Any) -> CustomerioSettings:
    return CustomerioSettings.model_validate({"type": "customerio", "app_api_key": "s3cret", **changes})


def test_the_app_key_is_all_that_is_needed() -> None:
    """Everything else has the default of the contract (design, section 5)."""
    settings = given()

    assert ("auto", "delete", 4, 17_520 * 3600) == (
        settings.region,
        settings.erasure,
        settings.concurrency,
        settings.history,
    )
    assert {"app": 7.0, "track": 80.0} == settings.rates
    assert "app" == next(iter(settings.rates))
    assert settings.site_id is None


@pytest.mark.parametrize(
    "written, rates",
    [
        (None, {"app": None, "track": None}),
        ("5/s", {"app": 5.0, "track": 5.0}),
        ({"app": "5/s"}, {"app": 5.0, "track": 80.0}),
        ({"track": None}, {"app": 7.0, "track": None}),
    ],
)
def test_a_rate_is_for_each_api_or_for_both(written: object, rates: dict[str, float | None]) -> None:
    """One number, or a block; null is no limit."""
    assert rates == given(rate_limit=written).rates


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"site_id": "s"}, "site_id and tracking_api_key go together"),
        ({"tracking_api_key": "t"}, "site_id and tracking_api_key go together"),
        ({"app_api_key": "two words"}, "one word"),
        ({"region": "asia"}, "'auto', 'us' or 'eu'"),
        ({"erasure": "forget"}, "'delete' or 'suppress'"),
        ({"app_url": "api.customer.io"}, "must be an address"),
        ({"history": "0s"}, "greater than 0"),
        ({"events": ["Identified"]}, "events is about events"),
        ({"fields": {"email": "traits.email"}}, "fields is about events"),
        ({"consent": {"*": "marketing"}}, "consent is about events"),
        ({"max_age": "1h"}, "max_age is about events"),
        ({"ordering": "none"}, "ordering is about events"),
        ({"coalesce": True}, "coalesce is about events"),
        ({"batch": {"items": 2}}, "batch.items must be 1"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], complaint: str) -> None:
    """Aloud, and without showing a secret."""
    with pytest.raises(ValidationError, match=complaint) as caught:
        given(**changes)

    assert "two words" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/api/v1", "/api/v2/"])
def test_addresses_may_bring_the_vendors_own_path(path: str) -> None:
    """A trailing slash or version is tolerated."""
    settings = given(app_url=f"https://app.example.com{path}", track_url=f"https://track.example.com/x{path}")

    assert ("https://app.example.com", "https://track.example.com/x") == (settings.app_url, settings.track_url)


def test_it_reads_the_requests_and_others_read_the_source(tmp_path: Path) -> None:
    """Which topics a destination reads is told by what it answers."""
    settings = loaded(tmp_path, SMALLEST + CUSTOMERIO.removeprefix("destinations:\n") + PRIVACY)

    assert ["crm.requests"] == topics_read(settings, settings.destinations["cio"])
    assert ["crm.events"] == topics_read(settings, settings.destinations["attio"])


def test_without_the_privacy_block_there_is_nothing_to_answer(tmp_path: Path) -> None:
    """The place in the file, and what is missing."""
    complaint = "7:5: destinations.cio answers privacy requests: it needs the `privacy` block"

    assert complaint == refused(tmp_path, KAFKA + SOURCE + CUSTOMERIO)


def test_without_a_key_nobody_could_be_erased(tmp_path: Path) -> None:
    """A hash without key can be guessed: it would say who was erased."""
    privacy = PRIVACY.replace(", key: long-secret", "")

    said = refused(tmp_path, KAFKA + SOURCE + CUSTOMERIO + privacy)

    assert said.startswith("9:1: privacy.key is required by destinations.cio")


def test_a_destination_that_is_off_needs_nothing(tmp_path: Path) -> None:
    """It answers nobody."""
    assert (
        loaded(tmp_path, SMALLEST + CUSTOMERIO.removeprefix("destinations:\n") + "    enabled: false\n").privacy is None
    )


@pytest.mark.parametrize("region, hosts", [("us", {""}), ("eu", {"-eu"}), ("auto", {"", "-eu"})])
def test_nothing_may_be_sent_to_another_region(region: str, hosts: set[str]) -> None:
    """Once the file says which one it is."""
    allowed = {f"https://{api}{suffix}.customer.io" for api in ("api", "track") for suffix in hosts}

    assert allowed == {*given(region=region).addresses}
    assert allowed | {"http://stand-in:1"} == {*given(region=region, track_url="http://stand-in:1/api/v1").addresses}
