"""The broker that the other tests stand on."""

from tests.conftest import NewTopic
from tests.kafka.broker import Broker, Sent


async def test_what_was_produced_is_read_back_in_order(broker: Broker, topic: NewTopic) -> None:
    """Three records over two partitions come back, and the ends count them."""
    events = await topic(partitions=2)

    await broker.produce(events, [Sent(b"one", partition=1), Sent(b"two", b"key", 0), Sent(b"three", partition=1)])

    assert [b"two", b"one", b"three"] == [record.value for record in await broker.read_all(events)]
    assert {0: 1, 1: 2} == await broker.ends(events)
    assert {} == await broker.committed("nobody", events)


async def test_a_killed_broker_comes_back_on_the_same_port(own_broker: Broker) -> None:
    """What was acknowledged before a crash is there after it."""
    await own_broker.create("crm.events", 1)
    await own_broker.produce("crm.events", [b"kept"])

    own_broker.kill()
    own_broker.start()
    await own_broker.wait()

    assert [b"kept"] == [record.value for record in await own_broker.read_all("crm.events")]
