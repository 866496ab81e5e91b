"""What uvloop says of a connection that it has closed, in words that aiokafka understands.

Its transports raise RuntimeError where asyncio's raise OSError or nothing (uvloop 0.23). aiokafka (0.14) takes that for
a bug of its own and gives up, where it would connect again.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def send(connection: Any, request: Any, expect_response: bool = True) -> Any:
    """As aiokafka's own, but that a closed transport is a broken connection."""
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError("the connection was closed") from error


AIOKafkaConnection.send = send
