"""The scheduler: whose turn it is, what travels together, and that nobody overtakes or is sent twice at once."""

from collections.abc import Sequence
from random import Random

import pytest

from stream.core.records import Message
from stream.core.scheduler import Scheduler
from tests.unit.partition import Partition

NEVER = float("inf")


@pytest.fixture
def log() -> Partition:
    """What the messages are read from."""
    return Partition()


def queued(*messages: Message, at: float = 0.0, ordered: bool = True, **given: float) -> Scheduler:
    scheduler = Scheduler(ordered=ordered, **given)  # type: ignore[arg-type]
    for message in messages:
        scheduler.add(message, at)
    return scheduler


def coalescing(*messages: Message, items: int = 1) -> Scheduler:
    scheduler = Scheduler(items=items, merge=merge)
    for message in messages:
        scheduler.add(message, 0.0)
    return scheduler


def merge(parts: Sequence[Message]) -> Message:
    last = parts[-1]
    body = b"".join(part.body for part in parts)
    return Message(last.key, last.fields, body, last.record, last.tracker, last.event_time, parts=tuple(parts))


def keys(messages: Sequence[Message]) -> list[str]:
    return [message.key for message in messages]


# One key


def test_a_message_of_an_idle_key_is_ready_at_once(log: Partition) -> None:
    """Nothing of its key waits, so nothing holds it."""
    ada = log.message("ada")

    assert [ada] == queued(ada).take(0.0)


def test_with_nothing_ready_there_is_no_batch() -> None:
    """And nothing will become ready by itself."""
    scheduler = queued()

    assert [] == scheduler.take(0.0)
    assert [] == scheduler.take_any(0.0)
    assert NEVER == scheduler.next_due()


def test_a_key_is_never_twice_in_flight(log: Partition) -> None:
    """The second message of a contact waits until the first is settled."""
    first, second = log.messages("ada", "ada")
    scheduler = queued(first, second)

    assert [first] == scheduler.take(0.0)
    assert [] == scheduler.take(0.0)
    assert [] == scheduler.take_any(0.0)

    scheduler.finish(first, 1.0)

    assert [second] == scheduler.take(1.0)


def test_what_comes_while_its_key_is_in_flight_waits_behind(log: Partition) -> None:
    """Also where the queue was empty but for the message in flight."""
    first, second = log.messages("ada", "ada")
    scheduler = queued(first)
    scheduler.take(0.0)

    scheduler.add(second, 0.5)

    assert [] == scheduler.take(0.5)


def test_a_key_with_nothing_left_is_forgotten(log: Partition) -> None:
    """Memory is what is pending, not who was ever seen."""
    ada = log.message("ada")
    scheduler = queued(ada)
    scheduler.take(0.0)

    scheduler.finish(ada, 1.0)

    assert (0, 0, 0) == (scheduler.keys, len(scheduler), scheduler.size)


def test_keys_take_turns(log: Partition) -> None:
    """A contact with many events does not keep the others waiting."""
    first, second, other = log.messages("ada", "ada", "bob")
    scheduler = queued(first, second, other)
    scheduler.take(0.0)

    scheduler.finish(first, 1.0)

    assert [other] == scheduler.take(1.0)
    assert [second] == scheduler.take(1.0)


def test_without_ordering_messages_of_a_key_go_side_by_side(log: Partition) -> None:
    """Each is its own key, also when it fails or is settled."""
    first, second, third = log.messages("ada", "ada", "ada")
    scheduler = queued(first, second, third, ordered=False)

    assert [[first], [second], [third]] == [scheduler.take(0.0) for _ in range(3)]

    scheduler.finish(first, 1.0)
    scheduler.delay(second, due=5.0)
    scheduler.release(third, 1.0)
    assert [third] == scheduler.take(1.0)
    assert [second] == scheduler.take(5.0)


# Failure


def test_a_delayed_key_waits_for_its_time_and_no_other_does(log: Partition) -> None:
    """The head is not overtaken by the contact's next event; another contact goes at once."""
    failed, following, other = log.messages("ada", "ada", "bob")
    scheduler = queued(failed, following, other)
    scheduler.take(0.0)

    scheduler.delay(failed, due=5.0)

    assert [other] == scheduler.take(1.0)
    assert [] == scheduler.take(4.9)
    assert 5.0 == scheduler.next_due()
    assert [failed] == scheduler.take(5.0)


def test_delayed_keys_become_ready_in_the_order_of_their_times(log: Partition) -> None:
    """Whoever failed first."""
    ada, bob, eve = log.messages("ada", "bob", "eve")
    scheduler = queued(ada, bob, eve)
    for message, due in zip((ada, bob, eve), (9.0, 3.0, 6.0), strict=True):
        scheduler.take(0.0)
        scheduler.delay(message, due)

    assert [["bob"], ["eve"], ["ada"]] == [keys(scheduler.take(10.0)) for _ in range(3)]


def test_a_released_message_goes_behind_the_other_keys(log: Partition) -> None:
    """It was not sent after all, and is still before the contact's next event."""
    ada, following, bob = log.messages("ada", "ada", "bob")
    scheduler = queued(ada, following, bob)
    scheduler.take(0.0)

    scheduler.release(ada, 1.0)

    assert [["bob"], ["ada"]] == [keys(scheduler.take(1.0)) for _ in range(2)]
    scheduler.finish(ada, 2.0)
    assert [following] == scheduler.take(2.0)


def test_everything_pending_has_failed_and_waits(log: Partition) -> None:
    """That is what tells an outage while few contacts are about; a new contact ends it."""
    ada, bob = log.messages("ada", "bob")
    scheduler = queued(ada)
    assert not queued().all_delayed()
    assert not scheduler.all_delayed()

    scheduler.take(0.0)
    scheduler.delay(ada, due=5.0)
    assert scheduler.all_delayed()

    scheduler.add(bob, 1.0)
    assert not scheduler.all_delayed()


@pytest.mark.parametrize("gone", [["bob"], ["ada", "bob"]])
def test_what_waits_no_longer_is_not_counted_as_waiting(log: Partition, gone: list[str]) -> None:
    """Keys whose delayed head was seized, or went with its partition."""
    ours = Partition()
    ada, bob, eve = ours.message("ada"), log.message("bob"), ours.message("eve")
    scheduler = queued(ada, bob, eve)
    for message in (ada, bob, eve):
        scheduler.take(0.0)
        scheduler.delay(message, due=5.0)
    if "ada" in gone:
        scheduler.seize(ada)
        assert not scheduler.all_delayed()
        scheduler.finish(ada, 1.0)

    log.tracker.close()
    scheduler.drop_closed(1.0)

    assert scheduler.all_delayed()
    assert {"ada", "bob", "eve"} - {*gone} == {head.key for head in scheduler.delayed_heads()}


def test_a_canary_is_a_ready_key_before_a_delayed_one(log: Partition) -> None:
    """One message, also where a batch could be larger."""
    ada, bob, eve = log.messages("ada", "bob", "eve")
    scheduler = queued(ada, items=10)
    scheduler.take(0.0)
    scheduler.delay(ada, due=5.0)
    scheduler.add(bob, 1.0)
    scheduler.add(eve, 1.0)

    assert [bob] == scheduler.take_any(1.0)


def test_canaries_rotate_over_delayed_keys_before_their_time(log: Partition) -> None:
    """The one that waits shortest from now is first; one that is in flight again is not taken twice."""
    ada, bob = log.messages("ada", "bob")
    scheduler = queued(ada, bob)
    for message, due in ((ada, 50.0), (bob, 40.0)):
        scheduler.take(0.0)
        scheduler.delay(message, due)

    assert [[bob], [ada], []] == [scheduler.take_any(1.0) for _ in range(3)]


def test_a_recovery_hastens_those_who_failed_in_it(log: Partition) -> None:
    """What held them back is over; who failed before the outage keeps waiting."""
    before, during = log.messages("ada", "bob")
    scheduler = queued(before, during)
    for message, started in ((before, 1.0), (during, 7.0)):
        [taken] = scheduler.take(0.0)
        taken.started = started
        scheduler.delay(message, due=100.0)

    scheduler.hasten(failed_since=5.0, now=20.0)

    assert [during] == scheduler.take(20.0)
    assert [] == scheduler.take(20.0)
    assert [before] == scheduler.take(100.0)


def test_a_hastened_key_is_not_made_ready_again_at_its_old_time(log: Partition) -> None:
    """The old entry in the timetable is of no account once the key has moved on."""
    ada, following = log.messages("ada", "ada")
    scheduler = queued(ada, following)
    scheduler.take(0.0)
    scheduler.delay(ada, due=10.0)
    scheduler.hasten(failed_since=-NEVER, now=1.0)
    assert [ada] == scheduler.take(1.0)

    assert [] == scheduler.take(10.0)
    scheduler.delay(ada, due=30.0)
    assert [] == scheduler.take(29.0)


def test_only_the_waiting_head_of_a_key_can_be_seized(log: Partition) -> None:
    """What is ready, in flight, behind the head or gone is not there to be buried."""
    head, behind = log.messages("ada", "ada")
    scheduler = queued(head, behind)
    assert not scheduler.seize(head)
    scheduler.take(0.0)
    assert not scheduler.seize(head)
    scheduler.delay(head, due=5.0)
    assert not scheduler.seize(behind)

    assert scheduler.seize(head)

    assert [] == scheduler.take(6.0)
    scheduler.finish(head, 6.0)
    assert [behind] == scheduler.take(6.0)
    assert not scheduler.seize(head)


def test_the_heads_that_wait_are_shown(log: Partition) -> None:
    """For the page, and to find what holds a position."""
    ada, bob, behind = log.messages("ada", "bob", "ada")
    scheduler = queued(ada, bob, behind)
    scheduler.take(0.0)
    scheduler.delay(ada, due=5.0)

    assert [ada] == list(scheduler.delayed_heads())
    assert {ada, bob, behind} == set(scheduler)


# Batches


def test_a_batch_takes_the_heads_of_many_keys(log: Partition) -> None:
    """Distinct contacts in the order they became ready, never one twice."""
    scheduler = queued(*log.messages("ada", "bob", "ada", "eve"), items=10)

    assert ["ada", "bob", "eve"] == keys(scheduler.take(0.0))


def test_a_batch_holds_so_many_items_at_most(log: Partition) -> None:
    """The rest goes with the next."""
    scheduler = queued(*log.messages("ada", "bob", "eve"), items=2)

    assert [["ada", "bob"], ["eve"]] == [keys(scheduler.take(0.0)) for _ in range(2)]


def test_a_batch_holds_so_many_bytes_at_most(log: Partition) -> None:
    """By the bodies; a message larger than the bound goes alone rather than never."""
    sizes = {"ada": 6, "bob": 4, "eve": 1, "zoe": 11}
    scheduler = queued(*(log.message(key, body=b"x" * size) for key, size in sizes.items()), items=10, size=10)

    assert [["ada", "bob"], ["eve"], ["zoe"]] == [keys(scheduler.take(0.0)) for _ in range(3)]


def test_a_batch_waits_to_fill_up(log: Partition) -> None:
    """Until it is full, or its oldest message has waited long enough."""
    scheduler = queued(log.message("ada"), at=1.0, items=3, linger=0.5)
    scheduler.add(log.message("bob"), 1.4)

    assert [] == scheduler.take(1.4)
    assert 1.5 == scheduler.next_due()
    assert ["ada", "bob"] == keys(scheduler.take(1.5))


def test_a_full_batch_does_not_wait(log: Partition) -> None:
    """There is nothing to wait for."""
    scheduler = queued(*log.messages("ada", "bob", "eve"), at=1.0, items=3, linger=0.5)

    assert ["ada", "bob", "eve"] == keys(scheduler.take(1.0))


def test_a_call_for_one_message_never_waits(log: Partition) -> None:
    """Linger is for calls that could hold more."""
    ada = log.message("ada")
    scheduler = queued(ada, at=1.0, items=1, linger=0.5)

    assert [ada] == scheduler.take(1.0)


def test_a_refused_batch_comes_back_in_halves_until_the_bad_one_stands_alone(log: Partition) -> None:
    """Each message says in how large a company it may travel."""
    messages = log.messages("ada", "bob", "eve", "zoe", "kim")
    scheduler = queued(*messages, items=10)
    sizes = []
    while batch := scheduler.take(0.0):
        sizes.append(len(batch))
        for message in batch:
            if len(batch) > 1:
                message.company = len(batch) // 2
                scheduler.release(message, 0.0)
            else:
                scheduler.finish(message, 0.0)

    assert [5, 2, 2, 1, 1, 1, 1, 1] == sizes


def test_a_message_of_small_company_does_not_join_a_larger_one(log: Partition) -> None:
    """New messages travel with it only up to its bound."""
    split, *others = log.messages("ada", "bob", "eve", "zoe")
    split.company = 2
    scheduler = queued(others[0], split, *others[1:], items=10)

    assert [["bob", "ada"], ["eve", "zoe"]] == [keys(scheduler.take(0.0)) for _ in range(2)]


# Coalescing


def test_consecutive_upserts_of_a_contact_go_out_as_one(log: Partition) -> None:
    """Everything that waits, settled together."""
    parts = log.messages("ada", "ada", "ada")
    scheduler = coalescing(*parts)

    [merged] = scheduler.take(0.0)
    assert tuple(parts) == merged.parts

    scheduler.finish(merged, 1.0)
    assert (0, 0) == (len(scheduler), scheduler.size)


def test_upserts_are_merged_only_where_it_is_asked_for(log: Partition) -> None:
    """By default each goes by itself."""
    first, second = log.messages("ada", "ada")

    assert [first] == queued(first, second).take(0.0)


def test_a_single_upsert_is_not_merged(log: Partition) -> None:
    """It goes as it was encoded when it was mapped."""
    ada = log.message("ada")

    assert [ada] == coalescing(ada).take(0.0)


def test_nothing_is_merged_across_what_is_not_an_upsert(log: Partition) -> None:
    """What came before it and after it stays on its own side."""
    before = log.messages("ada", "ada")
    event = log.message("ada", upsert=False)
    after = log.messages("ada", "ada")
    scheduler = coalescing(*before, event, *after)

    [merged] = scheduler.take(0.0)
    assert tuple(before) == merged.parts
    scheduler.finish(merged, 1.0)

    assert [event] == scheduler.take(1.0)
    scheduler.finish(event, 2.0)

    [merged] = scheduler.take(2.0)
    assert tuple(after) == merged.parts


def test_what_comes_while_a_merged_one_is_in_flight_is_not_part_of_it(log: Partition) -> None:
    """Settling the merged one leaves it pending."""
    parts = log.messages("ada", "ada")
    scheduler = coalescing(*parts)
    [merged] = scheduler.take(0.0)
    late = log.message("ada")

    scheduler.add(late, 0.5)
    scheduler.finish(merged, 1.0)

    assert [late] == scheduler.take(1.0)


def test_a_merged_one_that_was_taken_apart_goes_part_by_part(log: Partition) -> None:
    """In order, never merged again; what came later still may be."""
    first, second, third, fourth = log.messages("ada", "ada", "ada", "ada")
    scheduler = coalescing(first, second)
    [merged] = scheduler.take(0.0)
    merged.started, merged.previous = 7.0, 3.0
    scheduler.add(third, 0.5)
    scheduler.add(fourth, 0.5)

    head = scheduler.take_apart(merged)

    assert (first, 7.0, 3.0) == (head, head.started, head.previous)
    scheduler.release(head, 1.0)
    assert [first] == scheduler.take(1.0)
    scheduler.finish(first, 2.0)
    assert [second] == scheduler.take(2.0)
    scheduler.finish(second, 3.0)
    [merged] = scheduler.take(3.0)
    assert (third, fourth) == merged.parts


def test_messages_of_a_batch_may_be_merged_ones(log: Partition) -> None:
    """One item for each contact."""
    ada, again, bob = log.messages("ada", "ada", "bob")

    merged, single = coalescing(ada, again, bob, items=10).take(0.0)

    assert ((ada, again), bob) == (merged.parts, single)


# Memory, and partitions that are given up


def test_the_size_is_what_is_queued(log: Partition) -> None:
    """Bodies and records of everything not settled, in flight or not."""
    small = log.message("ada", body=b"12", value=b"1234")
    large = log.message("ada", body=b"12345678", value=b"")
    scheduler = queued(small, large)
    assert 14 == scheduler.size

    scheduler.take(0.0)
    assert 14 == scheduler.size

    scheduler.finish(small, 1.0)
    assert 8 == scheduler.size


def test_messages_of_a_partition_that_was_given_up_are_forgotten(log: Partition) -> None:
    """Ready or delayed; those of other partitions stay."""
    ours = Partition()
    kept = ours.message("ada")
    gone = [log.message("ada"), log.message("bob"), log.message("eve", value=b"1234")]
    scheduler = queued(gone[2])
    scheduler.take(0.0)
    scheduler.delay(gone[2], due=5.0)
    for message in (gone[0], kept, gone[1]):
        scheduler.add(message, 1.0)

    log.tracker.close()
    scheduler.drop_closed(2.0)

    assert [kept] == list(scheduler)
    assert kept.size == scheduler.size
    assert [[kept], []] == [scheduler.take(9.0) for _ in range(2)]


def test_a_call_in_flight_keeps_its_key_until_it_ends(log: Partition) -> None:
    """The next owner's record, or ours after a rebalance, must not overtake it."""
    parts = log.messages("ada", "ada")
    scheduler = coalescing(*parts)
    [merged] = scheduler.take(0.0)
    scheduler.add(log.message("ada"), 0.5)
    log.tracker.close()
    scheduler.drop_closed(1.0)
    again = Partition().message("ada")
    scheduler.add(again, 2.0)

    assert [] == scheduler.take(2.0)

    scheduler.finish(merged, 3.0)
    assert [again] == scheduler.take(3.0)


@pytest.mark.parametrize("end", ["release", "delay"])
def test_a_call_that_failed_after_its_partition_was_given_up_is_forgotten(log: Partition, end: str) -> None:
    """It is sent again by the next owner, not by us."""
    ada = log.message("ada")
    scheduler = queued(ada)
    scheduler.take(0.0)
    log.tracker.close()
    scheduler.drop_closed(1.0)
    assert [ada] == list(scheduler)

    getattr(scheduler, end)(ada, 2.0)

    assert (0, 0) == (scheduler.keys, scheduler.size)


def test_a_delay_is_not_inherited(log: Partition) -> None:
    """Where the failed head of a key is forgotten, what stood behind it is ready."""
    ours = Partition()
    failed, following = log.message("ada"), ours.message("ada")
    scheduler = queued(failed, following)
    scheduler.take(0.0)
    scheduler.delay(failed, due=50.0)

    log.tracker.close()
    scheduler.drop_closed(1.0)

    assert [following] == scheduler.take(1.0)


@pytest.mark.parametrize("seed", range(40))
def test_any_sequence_keeps_order_and_never_doubles_a_key(seed: int) -> None:
    """Random keys, batches, failures and releases: each key's messages end in the order they came."""
    random = Random(seed)
    log = Partition()
    scheduler = Scheduler(
        items=random.choice([1, 3]), linger=random.choice([0.0, 2.0]), merge=random.choice([None, merge])
    )
    ended: dict[str, list[int]] = {}
    flying: list[Message] = []
    now, left = 0.0, 150
    while left or len(scheduler):
        now += random.random()
        if left and random.random() < 0.6:
            left -= 1
            scheduler.add(log.message(random.choice("abcdef"), upsert=random.random() < 0.7), now)
        flying += scheduler.take(now) if random.random() < 0.9 else scheduler.take_any(now)
        assert len(set(keys(flying))) == len(flying)
        if flying and random.random() < 0.7:
            end(scheduler, flying.pop(random.randrange(len(flying))), random, now, ended)
        if random.random() < 0.05:
            scheduler.hasten(-NEVER, now)
        waiting = len(set(scheduler.delayed_heads()))
        assert (0 < waiting == scheduler.keys) == scheduler.all_delayed()

    assert 150 == sum(len(offsets) for offsets in ended.values())
    assert all(offsets == sorted(offsets) for offsets in ended.values())
    assert (0, 0) == (scheduler.keys, scheduler.size)


def end(scheduler: Scheduler, message: Message, random: Random, now: float, ended: dict[str, list[int]]) -> None:
    draw = random.random()
    if draw < 0.3 and message.parts:
        scheduler.release(scheduler.take_apart(message), now)
    elif draw < 0.3:
        scheduler.delay(message, now + random.uniform(0, 5))
    elif draw < 0.4:
        scheduler.release(message, now)
    else:
        scheduler.finish(message, now)
        ended.setdefault(message.key, []).extend(part.record.offset for part in message.parts or (message,))
