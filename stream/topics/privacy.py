"""The desk of privacy requests: reads them into messages, writes what became of them, notes whom they erase.

What a vendor is asked is the destinations' part; how a result is divided is in `parts.py`.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from schemas.erasures import Erasure, normalised, person
from schemas.privacy import PrivacyRequest, PrivacyResult
from schemas.replays import ADDRESSEE
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.core.records import Fields, Message, Record
from stream.errors import UserError
from stream.kafka.producer import NotAcknowledged, Producer, TooLarge, acknowledged
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings
from stream.topics.parts import Assembly, encoded, split

LARGEST = 900_000  # bytes of a record at first: a broker's usual limit is a MiB, with the headers
SMALLEST = 4_000  # bytes below which a topic's limit is not followed

log = structlog.get_logger()


class Requests:
    """Makes messages of the records of the requests' topic. *key* and *encode* are those of destination *name*."""

    def __init__(self, name: str, *, key: Callable[[Fields], str], encode: Callable[[Fields], bytes]) -> None:
        self._name = name.encode()
        self._key = key
        self._encode = encode

    def __call__(self, record: Record, tracker: OffsetTracker) -> Message | Filtered | Rejected:
        """The message, or why there is none."""
        if any(header == ADDRESSEE and value != self._name for header, value in record.headers):
            return Filtered("other_replay")
        request = decode(record.value)
        if not isinstance(request, PrivacyRequest):
            return request
        fields: Fields = {"request_id": request.request_id, "kind": request.kind, "email": request.identity.email}
        at = request.requested_at.timestamp()
        return Message(
            self._key(fields), fields, self._encode(fields), record, tracker, at, message_id=request.request_id
        )


class Desk:
    """Where one destination's answers are written. *results* and *erasures* are topics, *key* is `privacy.key`.

    *known* is the process's table of erasures by person.
    """

    def __init__(
        self, producer: Producer, *, results: str, erasures: str, key: bytes, known: Mapping[str, Erasure] | None = None
    ) -> None:
        self._producer = producer
        self._results = results
        self._erasures = erasures
        self._key = key
        self._known = known or {}
        self._limit = LARGEST

    async def erase(self, email: str, at: float) -> bool:
        """Note that the person is erased, for what happened up to *at*, seconds since the epoch; False if it was noted.

        Returns once the broker has it, however long that takes.
        """
        who, erasure = person(self._key, email), Erasure(erased_at=datetime.fromtimestamp(at, UTC), lifted_at=None)
        if (known := self._known.get(who)) is not None and known.erased_at == erasure.erased_at:
            return False
        await self._say(self._erasures, who, erasure.model_dump_json().encode())
        return True

    async def answer(self, result: PrivacyResult) -> None:
        """Write a result, in parts where the topic takes no record of its size, down to `SMALLEST`.

        Returns once the broker has all of it, however long that takes. Where even the parts are too large it is
        written without the data, as partial.
        """
        while True:
            try:
                for part in split(result, self._limit):
                    await self._write(part)
            except TooLarge:
                if self._limit > SMALLEST:
                    self._limit //= 2
                    continue
                detail = f"the data is too large for {self._results}: raise its max.message.bytes and ask again"
                log.warning("result_too_large", topic=self._results)
                result = result.model_copy(update={"status": "partial", "data": None, "steps": (), "detail": detail})
                await self._write(result)
            return

    async def _write(self, part: PrivacyResult) -> None:
        await self._say(self._results, part.request_id, encoded(part))

    async def _say(self, topic: str, key: str, value: bytes) -> None:
        """Return once the broker has it. Perhaps twice: it says the same. Raises TooLarge."""
        await acknowledged(
            lambda: self._producer.send(topic, key=key.encode(), value=value),
            waits=lambda why: log.warning("answer_waits", topic=topic, reason=why),
        )


def decode(value: bytes | None) -> PrivacyRequest | Filtered | Rejected:
    """The request in a record's value; a detail names the wrong parts and never shows what they hold."""
    if value is None:
        return Filtered("tombstone")
    try:
        return PrivacyRequest.model_validate_json(value)
    except ValidationError as error:
        wrong = sorted({".".join(map(str, found["loc"])) or "JSON" for found in error.errors(include_input=False)})
        return Rejected(f"not a privacy request: {', '.join(wrong)}", reason="undecodable")


async def submit(producer: Producer, topic: str, request: PrivacyRequest) -> None:
    """Write a request. Raises UserError where the broker does not confirm it."""
    value = request.model_dump_json().encode()
    try:
        await producer.send(topic, key=normalised(request.identity.email).encode(), value=value)
    except NotAcknowledged as error:
        raise UserError(f"the broker did not confirm the request: {error}", "try again") from error


async def results(settings: KafkaSettings, topic: str, request_id: str) -> AsyncGenerator[PrivacyResult | None, None]:
    """None, once nothing that is written can be missed; then each result of the request, put together of its parts.

    Close it with `aclosing`. Records that are no results are passed over.
    """
    assembly = Assembly()
    async with reading(settings, topic) as reader:
        async for _ in reader.newest(0):
            pass
        yield None
        async for record in reader.what_comes():
            if record.key != request_id.encode() or record.value is None:
                continue
            try:
                part = PrivacyResult.model_validate_json(record.value)
            except ValidationError:
                log.warning("not_a_result", topic=topic, offset=record.offset)
                continue
            if (whole := assembly.add(part)) is not None:
                yield whole
