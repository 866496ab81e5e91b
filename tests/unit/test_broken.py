"""A connection to a broker whose transport uvloop has closed."""

import asyncio

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from stream.kafka import broken


class Closed:
    """A writer whose transport is gone."""

    def write(self, _: bytes) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    def close(self) -> None: ...


async def test_what_uvloop_says_of_a_closed_transport_is_a_broken_connection() -> None:
    """aiokafka then connects again; what it does not know ends a member."""
    assert AIOKafkaConnection.send is broken.send
    connection = AIOKafkaConnection("127.0.0.1", 9, request_timeout_ms=1000)
    connection._writer, connection._read_task = Closed(), asyncio.get_running_loop().create_future()

    with pytest.raises(KafkaConnectionError):
        await connection.send(MetadataRequest([]))

    assert not connection.connected()
