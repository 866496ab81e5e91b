"""Text messages on a real broker: what is sent, what the log says of it, credit, keys, errors. No member dies here."""

import orjson
import pytest

from stream.destinations.sandbox import Failure
from stream.destinations.splio_sms.sandbox import SplioSmsFaults
from tests.e2e.conftest import NewStage
from tests.e2e.members import Scene, until
from tests.e2e.sms_kills import BLOCKS, DESTINATION, PARTITIONS, Texts, ordered
from tests.kafka.broker import Broker

ORDERS = 40
EACH_ONCE = {str(number): 1 for number in range(ORDERS)}


async def opened(stage: NewStage, broker: Broker) -> Scene[Texts]:
    """A topic with so many orders, before Splio."""
    here = await stage(broker, PARTITIONS, vendor=Texts(), destination=DESTINATION)
    await here.send([ordered(number) for number in range(ORDERS)])
    return here


async def test_each_order_is_texted_once_and_found_by_its_campaign(broker: Broker, stage: NewStage) -> None:
    """The log has a line for each, with the record and the campaign, and nobody's number."""
    here = await opened(stage, broker)

    member = await here.drain(**BLOCKS)

    assert EACH_ONCE == here.vendor.orders()
    lines = [orjson.loads(line) for line in member.output.splitlines() if '"text_taken"' in line]
    assert ORDERS == len({(line["partition"], line["offset"]) for line in lines})
    assert {text["campaign_id"] for text in here.vendor.texts} == {line["campaign_id"] for line in lines}
    assert not [text for text in here.vendor.texts if text["cellphone"].removeprefix("+") in member.output]
    await here.assert_settled()


@pytest.mark.parametrize(
    "faults", [SplioSmsFaults(credit=10), SplioSmsFaults(revoked=True), SplioSmsFaults(revoked=True, error_status=200)]
)
async def test_what_needs_a_person_holds_everything_and_recovers(
    broker: Broker, stage: NewStage, faults: SplioSmsFaults
) -> None:
    """Without credit, or with a wrong key: nothing is buried, and all are texted once when it is mended."""
    here = await opened(stage, broker)
    here.vendor.faults = faults
    member = await here.start(**BLOCKS)

    await member.in_state("blocked")
    assert (faults.credit or 0) == len(here.vendor.texts)
    here.vendor.faults = SplioSmsFaults()
    await until(lambda: len(here.vendor.texts) >= ORDERS, member, what="every text")
    await member.in_state("running")

    assert EACH_ONCE == here.vendor.orders()
    assert [] == await here.letters()


async def test_an_error_of_the_server_parks_and_sends_nothing_again(broker: Broker, stage: NewStage) -> None:
    """Splio's 500 is ambiguous: what it was said to is in the dead letters, everything else was texted once."""
    here = await opened(stage, broker)
    here.vendor.faults = SplioSmsFaults(fail=[Failure(status=500, times=3)])

    await here.drain(**BLOCKS)

    letters = await here.letters()
    assert [b"unknown_outcome"] * 3 == [dict(letter.headers)["crmstream.reason"] for letter in letters]
    parked = {str(orjson.loads(letter.value)["properties"]["order_id"]) for letter in letters}
    assert EACH_ONCE == here.vendor.orders() | dict.fromkeys(parked, 1)
    assert parked.isdisjoint(here.vendor.orders())
    await here.assert_settled()
