"""The loop one writes by hand, to compare with: aiokafka and httpx, in order per contact, committed after delivery.

    python -m benchmarks.plain BOOTSTRAP TOPIC GROUP URL IN_FLIGHT

Left out: whatever else the program does (retries, throttling, dead letters, rebalances without repeats, …).
"""

import argparse
import asyncio
import json

import httpx
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

ASSERT = "/v2/objects/people/records?matching_attribute=email_addresses"
HEADERS = {"authorization": "Bearer benchmark", "content-type": "application/json"}
POLL = 1000  # records at once


def person(event: dict[str, dict[str, str]]) -> tuple[str, bytes]:
    """The contact and the body of its assert."""
    traits = event["traits"]
    email, first, last = traits["email"].strip().lower(), traits["first_name"].strip(), traits["last_name"].strip()
    values = {
        "email_addresses": [{"email_address": email}],
        "name": [{"first_name": first, "last_name": last, "full_name": f"{first} {last}"}],
        "phone_numbers": [{"original_phone_number": traits["phone"]}],
        "job_title": [{"value": traits["job_title"].strip()}],
    }
    return email, json.dumps({"data": {"values": values}}).encode()


async def deliver(bootstrap: str, topic: str, group: str, url: str, in_flight: int) -> None:
    """Deliver what the topic holds now."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    free = asyncio.Semaphore(in_flight)
    async with (
        consumer,
        httpx.AsyncClient(base_url=url, limits=limits, headers=HEADERS) as http,
    ):

        async def send(bodies: list[bytes]) -> None:
            for body in bodies:
                async with free:
                    response = await http.put(ASSERT, content=body)
                response.raise_for_status()

        ends: dict[TopicPartition, int] = {}
        while not ends or any([await consumer.position(each) < end for each, end in ends.items()]):
            polled = await consumer.getmany(timeout_ms=200, max_records=POLL)
            ends = ends or await consumer.end_offsets(consumer.assignment())
            by_contact: dict[str, list[bytes]] = {}
            for records in polled.values():
                for record in records:
                    contact, body = person(json.loads(record.value))
                    by_contact.setdefault(contact, []).append(body)
            await asyncio.gather(*map(send, by_contact.values()))
            if polled:
                await consumer.commit()


def main() -> None:
    """Deliver and end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain", description="The loop one writes by hand.")
    for name in ("bootstrap", "topic", "group", "url"):
        parser.add_argument(name)
    parser.add_argument("in_flight", type=int)
    given = parser.parse_args()
    uvloop.run(deliver(given.bootstrap, given.topic, given.group, given.url, given.in_flight))


if __name__ == "__main__":
    main()
