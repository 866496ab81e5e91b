"""Customer.io as a destination of privacy requests: the calls, and the connection test.

What an answer needs is decided in `access.py` and `deletion.py`; what the vendor's answers mean in `verdicts.py`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import cast

from schemas.masking import mask
from schemas.privacy import PrivacyResult, Step
from stream.core.outcomes import DELIVERED, Blocked, Outcome, Rejected, Retry, Throttled, Unfinished
from stream.core.records import LATEST, Batch, Message
from stream.destinations.base import Check
from stream.destinations.customerio import verdicts
from stream.destinations.customerio.access import COLLECTIONS, Access
from stream.destinations.customerio.deletion import Deletion
from stream.destinations.customerio.hosts import REGION, WORKSPACES, Directory
from stream.destinations.customerio.settings import CustomerioSettings, Hosts
from stream.destinations.customerio.verdicts import Api, described, refusal, unexpected
from stream.destinations.customerio.work import Answer, Call, Part, Pause, Work
from stream.destinations.privacy import PrivacyCalls
from stream.http import BODY_LIMIT, NotSent, Request, Response, Unanswered
from stream.http.client import Client

MARGIN = 2.5  # seconds before the deadline: a call that begins later might be cut off by it
UNNAMED_WAIT = 1.0  # seconds that other answers pause for a throttle that names no time
NOBODY = "probe%40example.invalid"
UNKNOWN = "crmstream-check"  # nobody's cio_id

NO_DELETION = "not configured: deletion needs `site_id` and `tracking_api_key`"


class Customerio(PrivacyCalls):
    """A Customer.io workspace: reads and removes what it holds of a person."""

    type = "customerio"
    settings: CustomerioSettings

    def __init__(self, settings: CustomerioSettings, http: Client) -> None:
        super().__init__(settings, http)
        self._directory = Directory(settings, http)
        self._throttled_until = float("-inf")  # monotonic; answers that are under way stop as well

    def requests(self, batch: Batch) -> list[Request]:
        """The lookup of the person; what follows depends on who is found."""
        hosts = self._directory.known
        return [self._request(self._work(message).find(), hosts) for message in batch] if hosts else []

    async def send(self, batch: Batch) -> list[Outcome]:
        """What became of the one request of the batch; its answer is written before it counts as delivered."""
        [message] = batch
        if message.progress is None:
            work = self._work(message)
            if isinstance(work, Deletion):
                work.begun_before = not await self._erase(message)
                if not self._directory.can_delete:
                    await self._answer(message, Answer("not_configured", detail=NO_DELETION))
                    return [DELIVERED]
            message.progress = work
        hosts = await self._directory.hosts(batch.deadline)
        if not isinstance(hosts, Hosts):
            return [hosts]
        work = cast("Work", message.progress)
        outcome = await self._get_on(work, hosts, batch.deadline)
        if outcome is None:
            await self._answer(message, work.answer(), work.steps)
        return [outcome or DELIVERED]

    async def buried(self, message: Message, reason: str, detail: str) -> None:
        """Answer with what was achieved: a request that ends as a dead letter is answered too."""
        work = message.progress if isinstance(message.progress, Work) else self._work(message)
        await self._answer(message, work.answer(detail or reason), work.steps)

    async def check(self) -> AsyncIterator[Check]:
        """The region, then the App key with all it must be allowed to read, then the Track key (destinations 6.8)."""
        hosts = await self._directory.hosts()
        if isinstance(hosts, Blocked):
            yield Check("region", False, hosts.detail, hosts.hint)
            return
        if not isinstance(hosts, Hosts):
            raise Unanswered(hosts.detail)
        yield Check("region", True, f"App API at {hosts.app}")
        response = await self._asked("app", hosts.app + WORKSPACES)
        workspaces = _workspaces(response)
        if response.status == 401:
            yield self._refused("workspace", response, "app")
            return
        yield Check("workspace", True if workspaces else None, mask(", ".join(workspaces.values())) or "not shown")
        ready = True
        async for check in self._check_access(hosts):
            ready = ready and check.ok is True
            yield check
        yield Check("access", ready, "ready" if ready else "not ready", "" if ready else verdicts.SCOPE)
        yield await self._check_deletion(hosts, workspaces)

    async def _get_on(self, work: Work, hosts: Hosts, deadline: float) -> Outcome | None:
        """Make the calls that are left; None when the answer is complete. What was achieved stays in *work*."""
        tried: set[Part] = set()
        failed: Retry | None = None
        called = False
        clock = asyncio.get_running_loop().time
        while (call := work.next(tried)) is not None:
            if isinstance(call, Pause):
                return Unfinished(call.seconds)
            if (wait := self._throttled_until - clock()) > 0:
                return Unfinished(wait)
            if called and clock() > deadline - MARGIN:
                return Unfinished()
            try:
                outcome = await self._call(work, call, hosts, deadline)
            except NotSent:
                if called:  # no time, or no connection any more: the next call will say
                    return Unfinished()
                raise
            if isinstance(outcome, Throttled):
                self._throttled_until = clock() + (outcome.after or UNNAMED_WAIT)
            if isinstance(outcome, Throttled | Blocked):
                return outcome
            if outcome is not None:
                failed = outcome
                tried.add(call.part)
            called = True
        return failed

    async def _call(self, work: Work, call: Call, hosts: Hosts, deadline: float) -> Retry | Throttled | Blocked | None:
        """Make one call and let *work* know; None where it got on."""
        try:
            response = await self.http.send(self._request(call, hosts), deadline=deadline)
        except NotSent:
            work.fail(call)
            raise
        except Unanswered:
            work.fail(call)
            work.note(call, "unanswered", time.time())
            raise
        now, status = time.time(), response.status
        outcome: Retry | Throttled | Blocked | Rejected | None
        if 200 <= status < 300:
            outcome = _taken(work, call, response, now)
        elif status == 404 and call.cio_id:
            work.absent(call)
            work.note(call, status, now, count=0)
            return None
        else:
            outcome = refusal(response, call.api, now)
            work.note(call, status, now, detail=described(response))
        if isinstance(outcome, Rejected):
            work.refuse(call, outcome.detail)
            return None
        if isinstance(outcome, Retry):
            work.fail(call)
        return outcome

    async def _erase(self, message: Message) -> bool:
        """Nothing more of the person is delivered to anybody, before the vendor is asked to forget."""
        at = message.record.timestamp  # the same however often it is answered
        return await self.desk.erase(str(message.fields["email"]), at / 1000 if 0 < at <= LATEST else time.time())

    async def _answer(self, message: Message, answer: Answer, steps: Sequence[Step] = ()) -> None:
        fields = message.fields
        await self.desk.answer(
            PrivacyResult(
                request_id=str(fields["request_id"]),
                destination=self.name,
                kind="deletion" if fields["kind"] == "deletion" else "access",
                status=answer.status,
                records_found=answer.records_found,
                data=answer.data,
                detail=answer.detail,
                steps=tuple(steps),
            )
        )

    def _work(self, message: Message) -> Work:
        email = str(message.fields["email"])
        if message.fields["kind"] == "deletion":
            return Deletion(email, self.settings.erasure)
        return Access(email, time.time(), self.settings.history)

    def _request(self, call: Call, hosts: Hosts) -> Request:
        if call.api == "track":
            return self._directory.track(call.method, hosts.track + call.path)
        return self._directory.app(call.method, hosts.app + call.path)

    # The connection test

    async def _check_access(self, hosts: Hosts) -> AsyncIterator[Check]:
        """Nobody is found by the probe's address, and each collection of an unknown person is a 404."""
        response = await self._asked("app", f"{hosts.app}/v1/customers?email={NOBODY}")
        found = response.json() if response.status == 200 else None
        if isinstance(found, dict) and isinstance(found.get("results"), list):
            yield Check("people", True, "can be found by email")
        else:
            yield self._refused("people", response, "app")
        for name in COLLECTIONS:
            response = await self._asked("app", f"{hosts.app}/v1/customers/{UNKNOWN}/{name}?id_type=cio_id")
            if response.status in (200, 404):
                yield Check(name, True, "can be read")
            else:
                yield self._refused(name, response, "app")

    async def _check_deletion(self, hosts: Hosts, workspaces: dict[str, str]) -> Check:
        """Deletion needs a key of its own, of the workspace that the other key reads."""
        if not self._directory.can_delete:
            hint = "set `site_id` and `tracking_api_key` where deletion requests are to be answered here"
            return Check("deletion", None, "not configured", hint)
        response = await self._asked("track", hosts.track + REGION)
        found = response.json()
        if response.status != 200 or not isinstance(found, dict):
            return self._refused("deletion", response, "track")
        environment = str(found.get("environment_id"))
        if workspaces and environment not in workspaces:
            text = f"the Track key is of another workspace ({mask(environment)}) than the App key"
            return Check("deletion", False, text, verdicts.TRACK_KEY)
        return Check("deletion", True, "ready")

    async def _asked(self, api: Api, url: str) -> Response:
        """An answer that says something about the configuration; raises Unanswered for one that only says: later."""
        make = self._directory.track if api == "track" else self._directory.app
        response = await self.http.send(make("GET", url))
        if response.status >= 300 and isinstance(refusal(response, api, time.time()), Retry | Throttled):
            raise Unanswered(described(response))
        return response

    @staticmethod
    def _refused(name: str, response: Response, api: Api) -> Check:
        outcome = refusal(response, api, time.time()) if response.status >= 300 else None
        hint = outcome.hint if isinstance(outcome, Blocked) else verdicts.HOST
        return Check(name, False, described(response), hint)


def _taken(work: Work, call: Call, response: Response, now: float) -> Retry | Rejected | None:
    """Give a good answer to *work*; the 200 of a proxy's page, or of a page too long to be read, is none."""
    content, status = response.json(), response.status
    if len(response.body) >= BODY_LIMIT:
        if work.shorten(call):
            return None
        work.note(call, status, now, detail="too long")
        return Rejected(f"an answer of more than {BODY_LIMIT} bytes", status)
    try:
        if not isinstance(content, dict) or (call.expects and call.expects not in content):
            raise ValueError(call.expects or "an object")  # noqa: TRY301
        count = work.take(call, content)
    except ValueError as error:
        work.note(call, status, now, detail=f"without {error}")
        return unexpected(response, str(error))
    work.note(call, status, now, count=count if call.api == "app" else None)
    return None


def _workspaces(response: Response) -> dict[str, str]:
    """Ids to names; empty where the key may not see any."""
    found = response.json() if response.status == 200 else None
    listed = found.get("workspaces") if isinstance(found, dict) else None
    each_one = listed if isinstance(listed, list) else []
    return {str(each.get("id")): str(each.get("name")) for each in each_one if isinstance(each, dict)}
