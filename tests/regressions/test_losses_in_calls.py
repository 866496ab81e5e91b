"""Ways in which others have lost events, or sent them twice, in the call itself; each as a test over loopback HTTP.

What happened there is told in our words; the address says where it was reported. Losses between a topic and its
positions are in `test_losses_in_kafka.py`.
"""

import time
from collections import Counter
from typing import Literal

import pytest

from stream.core.outcomes import Blocked, Delivered, Outcome, Rejected, Retry, Unknown
from stream.destinations.splio_contacts.sandbox import SplioContactsFaults
from stream.http import Unanswered
from stream.http.settings import HttpSettings, open_transport
from tests.contract.vendor import Wire, answers, closes, says, vendor
from tests.destinations.attio.workspace import batch_of, destination_of, settings_of
from tests.destinations.customerio.account import JANE, account, request
from tests.destinations.customerio.test_deletion import FOR_EVER, until_answered
from tests.destinations.splio_contacts.test_bulk import item, people, told
from tests.destinations.splio_contacts.universe import Script, answer, universe
from tests.destinations.splio_contacts.universe import batch_of as contacts_of
from tests.destinations.splio_contacts.universe import destination_of as splio_to
from tests.destinations.splio_contacts.universe import settings_of as splio_settings
from tests.destinations.splio_sms import universe as sms


@pytest.mark.parametrize("kind", ["fast", "httpx"])
async def test_a_client_resends_a_put_by_itself(kind: Literal["fast", "httpx"]) -> None:
    """A PUT on a kept connection that was cut went out a second time, which no setting could prevent.

    https://github.com/aio-libs/aiohttp/issues/10790. Each second call here finds the connection cut after the vendor
    has read it; none arrives twice.
    """
    turn = 0

    async def every_other(wire: Wire) -> None:
        nonlocal turn
        turn += 1
        await (answers() if turn % 2 else says(b"", then=closes))(wire)

    fates: Counter[str] = Counter()
    transport = open_transport(HttpSettings(transport=kind))
    try:
        async with vendor(every_other) as there:
            for number in range(40):
                try:
                    await transport.send("PUT", f"{there.url}/{number}", headers=[], body=b"{}", timeout=5.0)
                    fates["answered"] += 1
                except Unanswered:
                    fates["unanswered"] += 1
    finally:
        await transport.close()

    assert {"answered": 20, "unanswered": 20} == fates
    assert [f"/{number}" for number in range(40)] == [arrival.target for arrival in there.arrivals]


async def test_a_text_goes_out_twice_where_a_client_resends() -> None:
    """The same bug where it costs: Splio takes texts by PUT. Its fate is told as unknown, and there is one text."""
    async with sms.universe() as there:
        there.break_it(fail=[{"status": "cut_after"}])

        assert isinstance(await there.text(sms.JANE), Unknown)
        assert (1, [sms.JANE]) == (len(there.sandbox.log), there.texted())


async def test_a_refresh_loop_where_a_new_token_is_refused_as_well() -> None:
    """An interceptor renewed the token at each refusal and called itself again, although the new token was fine and the
    account was not: without end.

    https://github.com/swagger-api/swagger-codegen/issues/6288
    """
    async with universe() as there:
        there.sandbox.faults = SplioContactsFaults(expired_before=time.time() + 3600)

        assert isinstance(await there.deliver(), Blocked)
        assert (2, 2) == (there.sandbox.renewals, len(there.calls))


async def test_a_whole_batch_is_rejected_for_one_item() -> None:
    """One event that could not be stored failed its bulk call, and after some tries the whole batch was dropped.

    https://github.com/elastic/logstash/issues/3283
    """
    async with universe(bulk=True) as there:
        outcomes = await there.deliver_all(*people("ada", "joe"), {"email": "no address"}, *people("jane"))

        assert [Delivered, Delivered, Rejected, Delivered] == [type(outcome) for outcome in outcomes]
        assert 3 == len(there.sandbox.people())


@pytest.mark.parametrize(
    "code, outcome", [(429, Retry), (503, Retry), (400, Rejected)], ids=["throttled", "busy", "refused"]
)
async def test_an_item_refused_within_a_success_is_lost(code: int, outcome: type[Outcome]) -> None:
    """A bulk call was answered with 200 and a refusal of some items in it: they were gone without a word.

    https://github.com/elastic/logstash/issues/1631
    """
    content = {"items": [item("ada@example.com", code, "not now"), item("joe@example.com", 201)]}

    found = await told(content, "ada", "joe", status=200)

    assert [outcome, Delivered] == [type(each) for each in found]


async def test_what_was_accepted_is_counted_as_done_though_nothing_came_of_it() -> None:
    """An import job was reported as accepted while the step that should have begun it had failed.

    https://github.com/gchq/sleeper/issues/2619. Customer.io answers a deletion with 200 whatever becomes of it: only
    who is seen to be gone is reported as deleted.
    """
    async with account() as there:
        there.sandbox.faults = FOR_EVER
        there.sandbox.holds.add(JANE)

        _, result = await until_answered(there, request("deletion"))

        assert 1 == len(there.called("/api/"))
        assert ("partial", "unverified") == (result.status, result.detail)


async def test_a_text_to_nobody_is_counted_as_sent() -> None:
    """The same where the call itself says that nothing came of it: `ok`, and no number that is valid."""
    async with sms.universe() as there:
        assert isinstance(await there.text("+33"), Rejected)
        assert [] == there.texted()


@pytest.mark.parametrize("errors", [[], {}, None, [None]], ids=repr)
@pytest.mark.parametrize("status", [400, 403, 503])
async def test_an_empty_list_of_errors_is_taken_for_success(status: int, errors: object) -> None:
    """Answers to a batch refused a request with a code and no error beside it: who looked for errors saw none.

    https://github.com/liqd/adhocracy3/issues/1019
    """
    splio = splio_to(splio_settings(), Script(answer(status, {"status": status, "errors": errors})))

    [outcome] = await splio.send(contacts_of(splio, {"email": JANE}))

    assert isinstance(outcome, {400: Rejected, 403: Blocked, 503: Retry}[status])


@pytest.mark.parametrize("content", [{"errors": []}, {"errors": 0, "items": []}, {"data": None, "errors": []}])
async def test_a_success_that_says_nothing_of_the_item_is_taken_for_its_own(content: object) -> None:
    """A 200 without any result for what was sent was told as a success.

    https://github.com/simstudioai/sim/pull/6061 (found in its review)
    """
    attio = destination_of(settings_of(), Script(answer(200, content)))

    [person] = await attio.send(batch_of(attio, {"email": "ada@example.com"}))

    assert isinstance(person, Retry)
    assert [Retry, Retry] == [type(each) for each in await told(content, "ada", "joe")]
