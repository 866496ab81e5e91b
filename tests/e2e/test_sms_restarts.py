"""Text messages and members that die: no number gets a text twice for one event, and every event is accounted for.

The long run is a command: `python -m tests.e2e.sms_kills --kills 200 --stops 50`.
"""

import orjson
import pytest

from stream.kafka.settings import KafkaSettings
from stream.kafka.transactions import Transactions
from stream.topics import names
from tests.e2e.conftest import NewStage
from tests.e2e.members import Scene, until
from tests.e2e.sms_kills import BLOCKS, CONCURRENCY, DESTINATION, PARTITIONS, SLOW, Texts, ordeal, ordered
from tests.kafka.broker import Broker


async def scene(stage: NewStage, broker: Broker) -> Scene[Texts]:
    return await stage(broker, PARTITIONS, vendor=Texts(), destination=DESTINATION)


@pytest.mark.timeout(180)
async def test_no_text_goes_out_twice_however_often_members_are_killed(broker: Broker, stage: NewStage) -> None:
    """`kill -9` with texts in flight, four times: what nobody knows of is parked, the rest is texted once."""
    here = await ordeal(await scene(stage, broker), kills=4, stops=0, seed=1)

    await here.judge()
    assert here.faults.in_flight > 0
    assert await here.parked()


@pytest.mark.timeout(180)
async def test_a_member_that_was_frozen_and_replaced_texts_nobody_again(broker: Broker, stage: NewStage) -> None:
    """SIGSTOP past the session with texts in flight, another takes over, SIGCONT: twice."""
    here = await ordeal(await scene(stage, broker), kills=0, stops=2, seed=2)

    await here.judge()
    assert here.faults.in_flight > 0
    assert here.faults.taken_over > 0


async def test_a_member_whose_journal_another_has_opened_joins_again(broker: Broker, stage: NewStage) -> None:
    """It can send nothing more, notices, and gets its partitions anew; what was in flight then is parked."""
    place = await scene(stage, broker)
    place.vendor.faults = SLOW
    total = await place.send([ordered(number) for number in range(300)])
    member = await place.start(**BLOCKS)
    await until(lambda: len(place.vendor.texts) >= 50, member, what="50 texts")
    await until(lambda: place.vendor.in_flight(member.door) > 0, member, what="texts in flight")

    for partition in range(PARTITIONS):
        await open_elsewhere(place, partition)

    assert len(place.vendor.texts) < total - 50
    await until(lambda: len(place.vendor.texts) >= total - CONCURRENCY * PARTITIONS, member, what="the others")
    member.terminate()
    assert 0 == await member.exit_code()
    await place.drain(**BLOCKS)
    assert "journal_lost" in member.output
    orders, letters = place.vendor.orders(), await place.letters()
    assert {1} == set(orders.values())
    assert {str(number) for number in range(total)} == orders.keys() | {
        orjson.loads(letter.value)["properties"]["order_id"] for letter in letters
    }
    await place.assert_settled()


async def open_elsewhere(place: Scene[Texts], partition: int) -> None:
    """Fence whoever writes the journal of a partition, as a member does to which it is assigned."""
    writer = Transactions(
        KafkaSettings(bootstrap_servers=[place.broker.bootstrap]),
        transactional_id=f"{place.group}.{place.topic}.{partition}",
        topic=names.journal(place.group, place.topic),
        partition=partition,
    )
    await writer.open()
    await writer.close()


async def test_after_a_clean_stop_nothing_is_unknown(broker: Broker, stage: NewStage) -> None:
    """SIGTERM with texts in flight: every event is texted exactly once, and none is parked."""
    place = await scene(stage, broker)
    place.vendor.faults = SLOW
    total = await place.send([ordered(number) for number in range(200)])
    member = await place.start(**BLOCKS)
    await until(lambda: len(place.vendor.texts) >= 50, member, what="50 texts")
    await until(lambda: place.vendor.in_flight(member.door) > 0, member, what="texts in flight")

    member.terminate()
    assert 0 == await member.exit_code()
    assert len(place.vendor.texts) < total
    await place.drain(**BLOCKS)

    assert {str(number): 1 for number in range(total)} == place.vendor.orders()
    assert [] == await place.letters()
    await place.assert_settled()


async def test_an_event_that_is_sent_twice_is_texted_once(broker: Broker, stage: NewStage) -> None:
    """A producer that repeats itself, also after a restart: the second is filtered as a duplicate."""
    place = await scene(stage, broker)
    await place.send([ordered(1), ordered(1), ordered(2)])
    await place.drain(**BLOCKS)
    await place.send([ordered(2), ordered(3)])
    await place.drain(**BLOCKS)

    assert {"1": 1, "2": 1, "3": 1} == place.vendor.orders()
    totals = [commit.totals for commit in (await place.committed()).values()]
    assert (3, 2) == (sum(each["delivered"] for each in totals), sum(each["filtered"] for each in totals))
    await place.assert_settled()
