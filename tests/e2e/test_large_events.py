"""Events as large as a broker takes them, and bombs among them: none stops those behind it."""

from aiokafka import AIOKafkaProducer

from tests.e2e.conftest import NewStage
from tests.e2e.members import contacts, event
from tests.e2e.vendor import assert_all_in_order
from tests.kafka.broker import Broker

MIB = 1024 * 1024


async def test_events_of_ten_megabytes_pass_and_bombs_become_letters(broker: Broker, stage: NewStage) -> None:
    """More than is fetched at once and more than the buffer holds: what is an event arrives, the rest is put aside."""
    here = await stage(broker)
    await broker.create(topic := f"{here.topic}.large", configs={"max.message.bytes": str(12 * MIB)})
    people = contacts(4)
    sent = [
        event(people[0]),
        event(people[1], note="x" * 10 * MIB),
        b'{"type": "identify", "traits": ' + b"[" * 5 * MIB + b"]" * 5 * MIB + b"}",
        event(people[2], note=["x" * 1000] * 10_000),
        b'{"type": "identify", "traits": {"a": ' + b'{"a":' * 300 + b"1" + b"}" * 302,
        event(people[3]),
    ]
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=12 * MIB) as producer:
        for value in sent:
            await producer.send_and_wait(topic, value)

    member = await here.drain(source={"topics": [topic], "buffer_bytes": "1MiB"})

    assert_all_in_order(here.vendor.ledger, dict.fromkeys(people, 1))
    letters = [dict(letter.headers) for letter in await here.letters()]
    assert [b"undecodable"] * 2 == [letter["crmstream.reason"] for letter in letters]
    assert {b"2", b"4"} == {letter["__connect.errors.offset"] for letter in letters}
    assert len(member.output) < 20_000
