"""The loops one writes by hand, to compare with: aiokafka and an HTTP library, committed after delivery.

    python -m benchmarks.plain httpx|aiohttp|pyreqwest BOOTSTRAP TOPIC GROUP URL IN_FLIGHT

With httpx in order per contact; with the others a call for each event polled, in no order, as the fastest loops do it.
Left out: whatever else the program does (retries, throttling, dead letters, rebalances without repeats, …).
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import httpx
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

ASSERT = "/v2/objects/people/records?matching_attribute=email_addresses"
HEADERS = {"authorization": "Bearer benchmark", "content-type": "application/json"}
POLL = 1000  # records at once

Put = Callable[[bytes], Awaitable[int]]
"""Asserts a person; gives the status."""


@asynccontextmanager
async def by_httpx(url: str, in_flight: int) -> AsyncIterator[Put]:
    """Calls by httpx."""
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx.AsyncClient(base_url=url, limits=limits, headers=HEADERS) as client:

        async def put(body: bytes) -> int:
            return (await client.put(ASSERT, content=body)).status_code

        yield put


@asynccontextmanager
async def by_aiohttp(url: str, in_flight: int) -> AsyncIterator[Put]:
    """Calls by aiohttp."""
    import aiohttp  # there with `./dev bench` only

    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:

        async def put(body: bytes) -> int:
            async with session.put(url + ASSERT, data=body) as response:
                await response.read()
                status: int = response.status
                return status

        yield put


@asynccontextmanager
async def by_pyreqwest(url: str, _in_flight: int) -> AsyncIterator[Put]:
    """Calls by pyreqwest."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().no_proxy().default_headers(HEADERS).build() as client:

        async def put(body: bytes) -> int:
            response = await client.put(url + ASSERT).body_bytes(body).build().send()
            await response.bytes()
            return response.status

        yield put


CLIENTS = {"httpx": by_httpx, "aiohttp": by_aiohttp, "pyreqwest": by_pyreqwest}


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
    return email, orjson.dumps({"data": {"values": values}})


def together(people: Iterable[tuple[str, bytes]], *, ordered: bool) -> list[list[bytes]]:
    """What is sent one after the other: all of a contact, or each by itself."""
    if not ordered:
        return [[body] for _, body in people]
    by_contact: dict[str, list[bytes]] = {}
    for contact, body in people:
        by_contact.setdefault(contact, []).append(body)
    return [*by_contact.values()]


async def deliver(client: str, bootstrap: str, topic: str, group: str, url: str, in_flight: int) -> None:
    """Deliver what the topic holds now."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    free = asyncio.Semaphore(in_flight)
    async with consumer, CLIENTS[client](url, in_flight) as put:

        async def send(bodies: list[bytes]) -> None:
            for body in bodies:
                async with free:
                    status = await put(body)
                if status >= 400:
                    raise RuntimeError(f"the vendor answered {status}")

        ends: dict[TopicPartition, int] = {}
        while not ends or any([await consumer.position(each) < end for each, end in ends.items()]):
            polled = await consumer.getmany(timeout_ms=200, max_records=POLL)
            ends = ends or await consumer.end_offsets(consumer.assignment())
            people = (person(orjson.loads(record.value)) for records in polled.values() for record in records)
            await asyncio.gather(*map(send, together(people, ordered=client == "httpx")))
            if polled:
                await consumer.commit()


def main() -> None:
    """Deliver and end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain", description="The loops one writes by hand.")
    parser.add_argument("client", choices=CLIENTS)
    for name in ("bootstrap", "topic", "group", "url"):
        parser.add_argument(name)
    parser.add_argument("in_flight", type=int)
    given = parser.parse_args()
    uvloop.run(deliver(given.client, given.bootstrap, given.topic, given.group, given.url, given.in_flight))


if __name__ == "__main__":
    main()
