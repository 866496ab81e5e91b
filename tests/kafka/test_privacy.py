"""The desk on a real broker: answers of any size arrive whole, erasures are kept by the person's name."""

import asyncio
import random
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import orjson

from schemas.erasures import Erasure, person
from schemas.privacy import Identity, PrivacyRequest, PrivacyResult
from stream.kafka.producer import Producer
from stream.kafka.settings import KafkaSettings
from stream.topics.parts import encoded
from stream.topics.privacy import Desk, results, submit
from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent

KEY = b"a long secret"
JANE = "jane@example.com"
NOON = datetime(2026, 6, 6, 12, tzinfo=UTC)


def at(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[broker.bootstrap])


def result(messages: int, request_id: str = "r-1") -> PrivacyResult:
    """An answer with so many messages of about a kilobyte, which compression only halves."""
    noise = random.Random(messages)
    read = [{"id": f"m{n}", "body": noise.randbytes(500).hex()} for n in range(messages)]
    data = {"identifier": {"email": JANE}, "profiles": [{"cio_id": "a1", "messages": read}]}
    return PrivacyResult(
        request_id=request_id, destination="cio", kind="access", status="completed", records_found=1, data=data
    )


async def answer(broker: Broker, topic: str, *answers: PrivacyResult) -> None:
    async with Producer(at(broker)) as producer:
        desk = Desk(producer, results=topic, erasures="", key=KEY)
        for each in answers:
            await desk.answer(each)


async def read(broker: Broker, topic: str, *answers: PrivacyResult) -> list[PrivacyResult | None]:
    """What somebody who waits for the first answer's request reads while these are written."""
    async with asyncio.timeout(60), aclosing(results(at(broker), topic, answers[0].request_id)) as found:
        assert await anext(found) is None
        await answer(broker, topic, *answers)
        return [await anext(found)]


async def test_an_answer_is_json_under_the_requests_id(broker: Broker, topic: NewTopic) -> None:
    """Other tools can read it; what it has nothing to say about is left out."""
    written = await topic()

    await answer(broker, written, result(0))

    [record] = await broker.read_all(written)
    assert b"r-1" == record.key
    assert {
        "request_id": "r-1",
        "destination": "cio",
        "kind": "access",
        "status": "completed",
        "records_found": 1,
        "data": {"identifier": {"email": JANE}, "profiles": [{"cio_id": "a1", "messages": []}]},
        "steps": [],
    } == orjson.loads(record.value)


async def test_an_answer_larger_than_a_record_comes_in_parts(broker: Broker, topic: NewTopic) -> None:
    """Three megabytes where a record has one at most; whoever waits gets it whole."""
    written = await topic(partitions=3)
    whole = result(3_000)
    assert len(encoded(whole)) > 3_000_000

    assert [whole] == await read(broker, written, whole)

    parts = [orjson.loads(record.value) for record in await broker.read_all(written)]
    assert list(range(1, len(parts) + 1)) == [part["part"] for part in parts]
    assert {len(parts)} == {part["parts"] for part in parts}
    assert len(parts) >= 4


async def test_parts_become_as_small_as_the_topic_takes_them(broker: Broker, topic: NewTopic) -> None:
    """Its `max.message.bytes` is found out; parts that were written before are overruled."""
    written = await topic(max_message_bytes="20000")
    whole = result(100)

    assert [whole] == await read(broker, written, whole)
    assert len(await broker.read_all(written)) > 2


async def test_an_answer_that_fits_nowhere_says_so(broker: Broker, topic: NewTopic) -> None:
    """Without the data, and what to do; never silence."""
    written = await topic(max_message_bytes="2000")
    huge = result(1)
    assert huge.data
    huge.data["profiles"][0]["note"] = random.Random(1).randbytes(20_000).hex()

    await answer(broker, written, huge)

    last = orjson.loads((await broker.read_all(written))[-1].value)
    assert ("partial", False) == (last["status"], "data" in last)
    assert "max.message.bytes" in last["detail"]


async def test_only_answers_to_the_request_are_read_and_only_new_ones(broker: Broker, topic: NewTopic) -> None:
    """Older answers, those of others, and records that are none are passed over."""
    written = await topic()
    mine = result(2)
    await answer(broker, written, result(1), result(1, "r-2"))
    await broker.produce(written, [Sent(b"no result", b"r-1"), Sent(None, b"r-1")])

    assert [mine] == await read(broker, written, mine, result(3))


async def test_a_request_is_json_under_its_person(broker: Broker, topic: NewTopic) -> None:
    """So that one person's requests stay in order."""
    written = await topic()
    request = PrivacyRequest(
        request_id="r-1", kind="deletion", identity=Identity(email="Jane@example.com"), requested_at=NOON
    )

    async with Producer(at(broker)) as producer:
        await submit(producer, written, request)

    [record] = await broker.read_all(written)
    assert b"jane@example.com" == record.key
    assert {
        "request_id": "r-1",
        "kind": "deletion",
        "identity": {"email": "Jane@example.com"},
        "requested_at": "2026-06-06T12:00:00Z",
    } == orjson.loads(record.value)


async def test_an_erasure_names_nobody(broker: Broker, topic: NewTopic) -> None:
    """Under a keyed hash, with its time; a later one of the same person replaces it."""
    written = await topic(cleanup_policy="compact")

    async with Producer(at(broker)) as producer:
        desk = Desk(producer, results="", erasures=written, key=KEY)
        await desk.erase(JANE, NOON.timestamp())
        await desk.erase("Jane@Example.com ", NOON.timestamp())

    records = await broker.read_all(written)
    assert {person(KEY, JANE).encode()} == {record.key for record in records}
    assert {b'{"erased_at":"2026-06-06T12:00:00Z","lifted_at":null}'} == {record.value for record in records}


async def test_an_erasure_that_is_known_is_not_written_again(broker: Broker, topic: NewTopic) -> None:
    """It may have been lifted since; a request made later erases anew."""
    written = await topic(cleanup_policy="compact")
    lifted = Erasure(erased_at=NOON, lifted_at=NOON + timedelta(days=1))

    async with Producer(at(broker)) as producer:
        desk = Desk(producer, results="", erasures=written, key=KEY, known={person(KEY, JANE): lifted})

        assert not await desk.erase(JANE, NOON.timestamp())
        assert await desk.erase(JANE, NOON.timestamp() + 1)

    assert 1 == len(await broker.read_all(written))


async def test_an_answer_waits_for_a_broker_that_hangs(own_broker: Broker) -> None:
    """It is written once the broker answers again."""
    await own_broker.create("results")
    async with Producer(at(own_broker), timeout=1) as producer:
        desk = Desk(producer, results="results", erasures="", key=KEY)
        own_broker.pause()
        writing = asyncio.create_task(desk.answer(result(1)))
        await asyncio.sleep(2.5)
        assert not writing.done()

        own_broker.unpause()
        await asyncio.wait_for(writing, 60)

    assert await own_broker.read_all("results")
