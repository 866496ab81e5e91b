"""What every destination of the registry keeps to, whoever wrote it: each test runs for each of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from schemas.masking import mask
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Blocked, Delivered, Outcome, Retry, Throttled, Unknown
from stream.core.records import Batch, Message
from stream.destinations import REGISTRY
from stream.destinations.base import Calls, Check, DestinationSettings, secrets
from stream.destinations.sandbox import Failure, Sandbox, serve
from stream.http import NotSent, Unanswered
from stream.http.settings import HttpSettings
from stream.http.tokens import TokenRefused
from stream.messages import Messages
from stream.opening import open_destination
from stream.settings import mapping_of
from tests.destinations.cases import KEYS, became, cases_of, expected, is_plain
from tests.unit.partition import LogRecord

PASSING = (408, 425, 500, 502, 503, 504)
SPOKEN = {"email": "jane@example.com", "phone": "+33612345678"}

NAMES = sorted(REGISTRY)
CALLED = [name for name in NAMES if issubclass(REGISTRY[name].calls, Calls) and REGISTRY[name].calls.reads == "events"]

each = pytest.mark.parametrize("name", NAMES)
each_called = pytest.mark.parametrize("name", CALLED)


@dataclass(slots=True)
class There:
    """A destination in front of its stand-in."""

    name: str
    settings: DestinationSettings
    calls: Calls
    sandbox: Sandbox

    def message(self) -> Message:
        """A message of an event that the destination takes, with everything that an event can bring."""
        mapping = mapping_of(self.name, self.settings)
        names = ["Identified", "Signed Up", "Order Completed", *(self.settings.events or ())]
        for event in (event_named(name) for name in names):
            record = LogRecord(value=orjson.dumps(event), timestamp=int(time.time() * 1000))
            make = Messages(self.name, mapping=mapping, destination=self.calls, dialect="datafly", wall=time.time)
            made = make(record, OffsetTracker("events", 0, 0))
            if isinstance(made, Message):
                return made
        raise AssertionError(f"{self.name} takes none of {names}")

    async def deliver(self) -> Outcome:
        """What became of one message; what is raised is translated as delivery does it."""
        batch = Batch([self.message()], deadline=asyncio.get_running_loop().time() + 5)
        try:
            [outcome] = await self.calls.send(batch)
        except (NotSent, Unanswered) as error:
            return Retry(str(error)) if self.calls.repeatable else Unknown(str(error))
        except TokenRefused as error:
            return Blocked(str(error))
        return outcome


def event_named(name: str) -> dict[str, Any]:
    """A contact with everything, and consent."""
    return {
        "type": "identify" if name == "Identified" else "track",
        "event": name,
        "messageId": "m-1",
        "userId": "u-1",
        "timestamp": "2026-06-06T10:30:00.000Z",
        "traits": {"first_name": "Jane", "last_name": "Doe", "city": "Paris", **SPOKEN},
        "context": {"locale": "en-GB", "consent": {"canonical": {"marketing": True}}},
    }


@asynccontextmanager
async def facing(name: str, *failures: Failure) -> AsyncIterator[There]:
    """The destination, configured as its stand-in says, in front of it; the stand-in fails as told."""
    sandbox = REGISTRY[name].sandbox()
    async with serve(sandbox) as url:
        settings = configured(name, sandbox, url)
        sandbox.faults = sandbox.faults_model(fail=list(failures))
        async with open_destination(settings, HttpSettings(transport="httpx")) as calls:
            assert isinstance(calls, Calls)
            yield There(name, settings, calls, sandbox)


def configured(name: str, sandbox: Sandbox, url: str, **changes: Any) -> DestinationSettings:
    """Its settings as a configuration file gives them, without what would only slow a test down."""
    given = {"type": name, **sandbox.settings(url), "rate_limit": None, "max_age": None, **changes}
    return REGISTRY[name].settings.model_validate(given)


def unmasked(texts: Sequence[str], settings: BaseModel) -> list[str]:
    """The texts in which something personal or secret stands."""
    hidden = [*secrets(settings), *SPOKEN.values(), SPOKEN["phone"].removeprefix("+")]
    return [text for text in texts if any(part in text for part in hidden)]


# Settings and preset


@each
def test_every_key_is_described(name: str) -> None:
    """`init` and the JSON Schema show the descriptions."""
    fields = REGISTRY[name].settings.model_fields

    assert [] == [key for key, field in fields.items() if not field.description]
    assert name == fields["type"].default


@each
async def test_its_stand_in_says_which_settings_reach_it(name: str) -> None:
    """What `crmstream sandbox` prints is a whole destination."""
    sandbox = REGISTRY[name].sandbox()
    async with serve(sandbox) as url:
        assert name == configured(name, sandbox, url).type


@each
async def test_a_misspelt_key_is_an_error(name: str) -> None:
    """Not a silent default."""
    sandbox = REGISTRY[name].sandbox()
    async with serve(sandbox) as url:
        with pytest.raises(ValidationError, match="events_"):
            REGISTRY[name].settings.model_validate({"type": name, **sandbox.settings(url), "events_": []})


@each
async def test_no_secret_is_shown_by_its_settings(name: str) -> None:
    """They are printed in errors and logs."""
    sandbox = REGISTRY[name].sandbox()
    async with serve(sandbox) as url:
        settings = configured(name, sandbox, url)

    assert [] == [secret for secret in secrets(settings) if secret in repr(settings)]


@each_called
async def test_its_preset_and_settings_make_a_mapping(name: str) -> None:
    """And the mapping takes something."""
    async with facing(name) as there:
        assert there.message().fields


@each_called
async def test_a_message_has_a_key_and_a_body(name: str) -> None:
    """Order needs the one, the memory bound the other."""
    async with facing(name) as there:
        message = there.message()

    assert message.key
    assert message.body


# Requests and verdicts


@pytest.mark.parametrize("name, case", cases_of(name for name in CALLED if is_plain(name)))
async def test_an_event_becomes_the_calls_its_case_says(name: str, case: dict[str, Any]) -> None:
    """Decoded, mapped and encoded, the event gives the expected requests, or the expected reason for none."""
    assert set(case) <= KEYS
    assert case["source"]
    given = configured(name, REGISTRY[name].sandbox(), "https://api.example.com", **case.get("settings", {}))

    async with open_destination(given, HttpSettings(transport="httpx")) as calls:
        assert isinstance(calls, Calls)
        assert expected(case) == became(calls, given, case["event"], case.get("before"))


@each
def test_a_destination_has_cases_that_cite_their_source(name: str) -> None:
    """Whoever doubts one can look it up."""
    cases = [parameter.values[1] for parameter in cases_of([name])]

    assert len(cases) >= 2
    assert [] == [case for case in cases if not case.get("source")]


@each_called
async def test_the_requests_that_are_shown_are_those_that_are_sent(name: str) -> None:
    """`preview` tells the truth about the calls that surely follow."""
    async with facing(name) as there:
        shown = there.calls.requests(Batch([there.message()]))
        assert isinstance(await there.deliver(), Delivered)
        sent = [(entry.method, entry.target, entry.body) for entry in there.sandbox.log]

    assert [] == [call for call in ((r.method, r.path, r.body or b"") for r in shown) if call not in sent]


@each_called
async def test_a_healthy_vendor_takes_a_message(name: str) -> None:
    """And has it."""
    async with facing(name) as there:
        assert isinstance(await there.deliver(), Delivered)

        assert there.sandbox.accepted
        assert there.sandbox.people()
        assert "<html" in there.sandbox.page()


@pytest.mark.parametrize("status", PASSING)
@each_called
async def test_what_passes_is_tried_again(name: str, status: int) -> None:
    """Never a burial, never an alarm; of unknown fate where the call must not be repeated."""
    async with facing(name, Failure(status=status)) as there:
        outcome = await there.deliver()

    allowed = Retry if there.calls.repeatable else (Retry, Unknown)
    assert isinstance(outcome, allowed)


@each_called
async def test_a_throttle_is_no_failure(name: str) -> None:
    """The destination waits, nobody is counted."""
    async with facing(name) as there:
        there.sandbox.faults = there.sandbox.faults_model(throttle_next=1, retry_after=2)
        outcome = await there.deliver()

    assert isinstance(outcome, Throttled)


@pytest.mark.parametrize("status", [401, 403])
@each_called
async def test_refused_credentials_block(name: str, status: int) -> None:
    """Everyone's event would fail: no burial."""
    async with facing(name, Failure(status=status, calls="all")) as there:
        outcome = await there.deliver()

    assert isinstance(outcome, Blocked)


@pytest.mark.parametrize("status", [301, 302, 307, 404, 405])
@each_called
async def test_another_server_than_the_vendor_blocks(name: str, status: int) -> None:
    """A wrong host must not empty the topic into the dead letters."""
    async with facing(name, Failure(status=status, calls="all")) as there:
        outcome = await there.deliver()

    assert isinstance(outcome, Blocked)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 409, 422, 500])
@each_called
async def test_no_answer_makes_a_detail_that_shows_somebody(name: str, status: int) -> None:
    """A vendor's text may repeat what it got."""
    async with facing(name) as there:
        echo = " ".join([*SPOKEN.values(), *secrets(there.settings)])
        there.sandbox.faults = there.sandbox.faults_model(
            fail=[Failure(status=status, code="refused", message=f"cannot take {echo}", calls="all")]
        )
        outcome = await there.deliver()

    details = [str(getattr(outcome, "detail", "")), str(getattr(outcome, "hint", ""))]
    assert [] == unmasked(details, there.settings)
    assert all(len(mask(detail)) >= len(detail) for detail in details)


@pytest.mark.parametrize("cut", ["cut", "cut_after"])
@each_called
async def test_without_an_answer_the_fate_is_unknown(name: str, cut: Any) -> None:
    """The transport says so, and delivery knows what it means."""
    async with facing(name, Failure(status=cut)) as there:
        outcome = await there.deliver()

    assert isinstance(outcome, Retry if there.calls.repeatable else Unknown)


@each_called
async def test_a_vendor_that_is_down_gets_nothing(name: str) -> None:
    """So that anybody's call may be repeated."""
    async with facing(name) as there:
        there.sandbox.faults = there.sandbox.faults_model(down=True)
        await asyncio.sleep(0.05)

        with pytest.raises(NotSent):
            await there.calls.send(Batch([there.message()], deadline=asyncio.get_running_loop().time() + 5))


# The connection test


async def checked(there: There) -> list[Check]:
    return [check async for check in there.calls.check()]


@each_called
async def test_a_healthy_vendor_passes_the_connection_test(name: str) -> None:
    """Each line has a name and says what was found."""
    async with facing(name) as there:
        checks = await checked(there)

    assert checks
    assert [] == [check for check in checks if check.ok is False or not check.name or not check.text]


@each_called
async def test_a_refusal_fails_the_connection_test_with_a_hint(name: str) -> None:
    """What to do, and neither the secret nor anybody's data."""
    async with facing(name, Failure(status=401, calls="all")) as there:
        try:
            refused = [check for check in await checked(there) if check.ok is False]
        except TokenRefused:
            return  # delivery and `check` say it in the same words for all
        texts = [text for check in refused for text in (check.text, check.hint)]

    assert refused
    assert all(check.hint for check in refused)
    assert [] == unmasked(texts, there.settings)


@each_called
async def test_a_busy_vendor_says_nothing_about_the_credentials(name: str) -> None:
    """An outage must not look like a wrong key."""
    async with facing(name, Failure(status=503, calls="all")) as there:
        with pytest.raises((Unanswered, TokenRefused)) as raised:
            await checked(there)

    assert [] == unmasked([str(raised.value)], there.settings)
