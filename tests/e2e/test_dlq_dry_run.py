"""`dlq replay --dry-run` only looks: what it would need and is not there, it does without."""

from datetime import UTC, datetime
from pathlib import Path

from schemas.dead_letters import DeadLetter
from stream.topics import names
from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, event
from tests.e2e.test_cli_operators import configured, crmstream
from tests.kafka.broker import Broker, Sent

ADA = "ada@example.com"


async def test_a_dry_run_makes_no_topic_and_grows_none(broker: Broker, stage: NewStage, tmp_path: Path) -> None:
    """Also where letters are of a partition that the changelog does not have yet."""
    here = await stage(broker, partitions=2)
    changelog = names.state(f"{here.topic}.{DESTINATION}", here.topic)
    await broker.create(changelog, 1)
    await broker.create(here.dead)
    for partition in range(2):
        await here.send([Sent(event(ADA), key=ADA.encode(), partition=partition)])
        about = DeadLetter(DESTINATION, here.topic, partition, 0, "rejected", "no", 1, datetime.now(UTC).timestamp())
        await broker.produce(here.dead, [Sent(event(ADA), key=ADA.encode(), headers=about.headers())])
    before = await broker.topics()

    ran = await crmstream(
        "dlq", "replay", "--all", "--dry-run", "--json", config=configured(tmp_path, broker, here.topic)
    )

    assert [{"replayed": 2, "skipped": {}, "dry_run": True}] == ran.objects, ran.err
    assert before == await broker.topics()
    assert {0} == set(await broker.ends(changelog))
