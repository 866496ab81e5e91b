"""How a consumer ends, without ending whoever asks it to."""

import asyncio

from aiokafka import AIOKafkaConsumer


async def leave(consumer: AIOKafkaConsumer) -> None:
    """Stop it. aiokafka (0.14) hands on that it cancelled a task of its own: that must not look like an order to us."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) and task.cancelling():
            raise
