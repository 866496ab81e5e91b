"""The destination in front of the stand-in, over HTTP: what is on the wire, what comes of it, the connection test."""

from typing import Any

import pytest
import structlog

from stream.core.outcomes import Blocked, Delivered, Rejected, Retry, Throttled, Unknown
from stream.core.records import Batch
from stream.destinations.base import Check
from stream.destinations.splio_sms.sandbox import DATA_KEY
from stream.http import NotSent, Unanswered
from tests.destinations.splio_sms.universe import FORM, JANE, LI, SEND, Universe, message_to, universe

TEST_NUMBER = "+33698765432"


def calls_of(there: Universe) -> list[str]:
    """The calls that the stand-in has seen."""
    return [f"{entry.method} {entry.target}" for entry in there.sandbox.log]


# On the wire


async def test_a_text_is_a_form_whose_plus_is_encoded() -> None:
    """Destinations 3.2, the readable form: `+` as %2B, only the recipients are JSON."""
    async with universe(rules=[{"event": "Signed Up", "message": "6tJglf8zd", "category": "welcome"}]) as there:
        await there.text(JANE, firstname="Jane", c0="123456")
        [entry] = there.sandbox.log

    assert ("PUT", SEND) == (entry.method, entry.target)
    assert (
        b"universe=my_universe_id&key=my_api_key&message=6tJglf8zd"
        b"&rcpts=%5B%7B%22cellphone%22%3A%22%2B33612345678%22%2C%22firstname%22%3A%22Jane%22%2C%22c0%22%3A%22123456%22"
        b"%7D%5D&category=welcome"
    ) == entry.body


async def test_a_space_is_no_plus() -> None:
    """Whoever reads the form with a plain percent decoder must see it too."""
    async with universe() as there:
        await there.text(JANE, firstname="Zoë Léa")
        [entry] = there.sandbox.log

    assert b"Zo%C3%AB%20L%C3%A9a" in entry.body


async def test_the_content_type_is_the_form_s() -> None:
    """Destinations 3.2."""
    async with universe() as there:
        [request] = there.calls.requests(Batch([message_to(there.calls, JANE)]))

    assert FORM == request.content_type


async def test_no_authorization_is_sent_besides() -> None:
    """The body itself says who calls (destinations 3.1)."""
    async with universe() as there:
        assert there.calls.token(there.calls.settings) is None


async def test_the_order_is_kept_by_the_first_number() -> None:
    """Texts of one event go out in one call, which one key stands for."""
    async with universe() as there:
        assert JANE == message_to(there.calls, JANE, LI).key


async def test_a_rule_tells_an_event_s_calls_apart() -> None:
    """Also after the rule got another design: the event had its text."""
    async with universe() as there:
        assert "Signed Up" == there.calls.intent(message_to(there.calls, JANE))


# What becomes of it


async def test_a_text_arrives() -> None:
    """The whole way."""
    async with universe() as there:
        assert Delivered() == await there.text(JANE)

        assert [JANE] == there.texted()


async def test_what_the_campaign_is_called_stands_in_the_log_and_nobody_else_does() -> None:
    """Operators compare with Splio's statistics by `campaign_id`; the record says which event it was."""
    async with universe() as there:
        with structlog.testing.capture_logs() as logs:
            await there.text(JANE, LI, firstname="Jane")
        [campaign] = {text["campaign_id"] for text in there.sandbox.people()}

    assert [
        {
            "event": "text_taken",
            "log_level": "info",
            "type": "splio_sms",
            "rule": "Signed Up",
            "topic": "crm.events",
            "partition": 0,
            "offset": 7,
            "campaign_id": campaign,
            "todo": 2,
            "done": 2,
            "inserted": 2,
            "notes": [],
        }
    ] == logs


async def test_one_invalid_number_of_several_is_noted_and_nothing_sent_again() -> None:
    """Destinations 3.3: Splio does not say which."""
    async with universe() as there:
        there.break_it(invalid=[LI])

        assert Delivered(("sms_invalid_numbers",)) == await there.text(JANE, LI)
        assert [JANE] == there.texted()


async def test_the_only_number_being_invalid_rejects() -> None:
    """Destinations 3.3."""
    async with universe() as there:
        there.break_it(invalid=[JANE])

        assert Rejected("200 invalid number", 200) == await there.text(JANE)


async def test_a_blacklisted_number_is_noted() -> None:
    """Destinations 3.3: taken, and not queued."""
    async with universe() as there:
        there.break_it(blacklisted=[JANE])

        assert Delivered(("sms_inserted_fewer",)) == await there.text(JANE)


async def test_without_credit_everything_waits() -> None:
    """Destinations 3.3: 200 with status blocked; nothing is buried and nothing queued."""
    async with universe() as there:
        there.break_it(credit=1)
        assert Delivered() == await there.text(JANE)

        outcome = await there.text(LI)

    assert isinstance(outcome, Blocked)
    assert "buy" in outcome.hint
    assert [JANE] == there.texted()


@pytest.mark.parametrize("shape", ["samples", "prose"])
@pytest.mark.parametrize("status", [200, 400])
async def test_a_wrong_key_blocks_whatever_the_status_line_says(status: int, shape: str) -> None:
    """Destinations 3.3: the body's code 400 is honoured even with HTTP 200, in both shapes."""
    async with universe() as there:
        there.break_it(revoked=True, error_status=status, shape=shape)

        outcome = await there.text(JANE)

    assert isinstance(outcome, Blocked)
    assert ("400 invalid key for this universe", 400) == (outcome.detail, outcome.status)


async def test_a_design_that_is_not_there_blocks() -> None:
    """It fails for every event of the rule (destinations 3.3)."""
    async with universe() as there:
        there.break_it(unknown_designs=["6tJglf8zd"])

        outcome = await there.text(JANE)

    assert isinstance(outcome, Blocked)
    assert "message" in outcome.hint


async def test_an_error_of_the_server_leaves_the_fate_unknown() -> None:
    """Destinations 3.3: 500 is ambiguous, and a second text costs."""
    async with universe() as there:
        there.break_it(fail=[{"status": 500}])

        assert isinstance(await there.text(JANE), Unknown)


@pytest.mark.parametrize("cut, texts", [("cut", []), ("cut_after", [JANE])])
async def test_a_cut_connection_leaves_the_fate_unknown(cut: str, texts: list[str]) -> None:
    """The caller cannot tell the two apart; that is the point. And it is not sent again underneath."""
    async with universe() as there:
        there.break_it(fail=[{"status": cut}])

        assert isinstance(await there.text(JANE), Unknown)
        assert 1 == len(there.sandbox.log)
        assert texts == there.texted()


@pytest.mark.parametrize("status", [500, "cut_after"])
async def test_an_unknown_fate_is_tried_again_where_the_configuration_says_so(status: Any) -> None:
    """on_unknown: resend."""
    async with universe(on_unknown="resend") as there:
        there.break_it(fail=[{"status": status}])

        assert isinstance(await there.text(JANE), Retry)


async def test_a_refused_connection_is_tried_again() -> None:
    """Nothing was sent, so nothing can have happened (destinations 3.3)."""
    async with universe(base_url="http://127.0.0.1:9") as there:
        with pytest.raises(NotSent):
            await there.text(JANE)


async def test_a_throttle_names_no_time() -> None:
    """None is documented: back-off decides (destinations 3.3)."""
    async with universe() as there:
        there.break_it(throttle_next=1)

        outcome = await there.text(JANE)

    assert isinstance(outcome, Throttled)
    assert outcome.after is None


# Quiet hours

EVENING = 1_780_002_000.0  # Thu, 28 May 2026 21:00:00 UTC, 23:00 in Paris
NOON = 1_779_969_600.0  # the same day, 12:00 UTC, 14:00 in Paris


@pytest.mark.parametrize("now, reason", [(EVENING, "quiet_hours"), (NOON, None)])
async def test_within_quiet_hours_a_text_is_filtered(now: float, reason: str | None) -> None:
    """Judged immediately before the call (design 3)."""
    quiet = {"from": "22:00", "to": "08:00", "timezone": "Europe/Paris"}
    async with universe(quiet_hours=quiet) as there:
        assert reason == there.calls.gate(message_to(there.calls, JANE), now)


async def test_without_quiet_hours_texts_go_out_at_any_time() -> None:
    """The default."""
    async with universe() as there:
        assert there.calls.gate(message_to(there.calls, JANE), EVENING) is None


# The connection test, the three ways of destinations 3.5


async def test_the_access_is_tested_without_a_text() -> None:
    """(a): a call without recipients; the other two lines are skipped unless configured."""
    async with universe() as there:
        checks = await there.checks()

        assert {"access": True, "test text": None, "credit": None} == {name: each.ok for name, each in checks.items()}
        assert [] == there.texted()


@pytest.mark.parametrize("faults", [{"revoked": True}, {"revoked": True, "error_status": 200, "shape": "prose"}])
async def test_a_wrong_key_is_refused(faults: dict[str, Any]) -> None:
    """(a): Splio's words tell, and the hint says which key is meant."""
    async with universe(test_number=TEST_NUMBER) as there:
        there.break_it(**faults)
        checks = await there.checks()

        assert [False, None, None] == [each.ok for each in checks.values()]
        assert "`key`" in checks["access"].hint
        assert [] == there.texted()


async def test_a_page_with_status_200_is_no_access() -> None:
    """A proxy's login, or a wrong `base_url`."""
    async with universe(base_url="http://127.0.0.1:9") as there:
        with pytest.raises(NotSent):
            await there.checks()
    async with universe() as there:
        there.break_it(fail=[{"status": 404, "calls": "all"}])

        assert (await there.checks())["access"].ok is False


async def test_a_busy_vendor_says_nothing_about_the_access() -> None:
    """The test is inconclusive, not failed."""
    async with universe() as there:
        there.break_it(fail=[{"status": 500, "calls": "all"}])

        with pytest.raises(Unanswered):
            await there.checks()


async def test_the_test_number_gets_one_text_however_often_is_asked() -> None:
    """(b): delivery probes with the connection test while it is held, and a text costs."""
    async with universe(test_number=TEST_NUMBER) as there:
        first, second = await there.checks(), await there.checks()

        assert [TEST_NUMBER] == there.texted()
        assert "campaign" in first["test text"].text
        assert [True, None] == [first["test text"].ok, second["test text"].ok]


@pytest.mark.parametrize(
    "faults, ok, hint",
    [
        ({"invalid": [TEST_NUMBER]}, False, "test_number"),
        ({"credit": 0}, False, "buy"),
        ({"unknown_designs": ["6tJglf8zd"]}, False, "message"),
        ({"fail": [{"status": 500}]}, None, ""),
    ],
)
async def test_a_test_text_that_is_not_sent_says_why(faults: dict[str, Any], ok: bool | None, hint: str) -> None:
    """(b): and shows neither number nor key."""
    async with universe(test_number=TEST_NUMBER) as there:
        there.break_it(**faults)
        check = (await there.checks())["test text"]

    assert ok is check.ok
    assert hint in check.hint
    assert TEST_NUMBER[1:] not in check.text


async def credit(there: Universe) -> Check:
    """The line on the credit."""
    return (await there.checks())["credit"]


@pytest.mark.parametrize("left, ok", [(1200, True), (0, False)])
async def test_the_credit_left_is_read_from_the_data_api(left: int, ok: bool) -> None:
    """(c): warns before Splio says blocked."""
    async with universe(data_api_key=DATA_KEY) as there:
        there.break_it(credit=left)
        check = await credit(there)

    assert ok is check.ok
    assert f"{left:,} left" == check.text
    assert ["POST /authenticate", "GET /universes/consumption"] == calls_of(there)[1:]


async def test_a_wrong_data_key_is_refused() -> None:
    """(c): and one may do without."""
    async with universe(data_api_key="wrong") as there:
        check = await credit(there)

    assert check.ok is False
    assert "data_api_key" in check.hint


async def test_a_data_api_that_is_down_stops_no_text() -> None:
    """(c): it says nothing about Trigger SMS."""
    async with universe(data_api_key=DATA_KEY, data_api_url="http://127.0.0.1:9") as there:
        check = await credit(there)

    assert check.ok is None
