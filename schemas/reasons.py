"""The fixed words for why a message was not delivered, and the notes on those that were."""

from typing import NamedTuple


class Word(NamedTuple):
    """What a word says, and what to do about it."""

    sentence: str
    advice: str


REASONS: dict[str, Word] = {
    "not_this_event": Word(
        "The destination does not take events of this name.",
        "Nothing, or add the name to the destination's `events`.",
    ),
    "no_identity": Word(
        "The event carries no identity the vendor needs, such as an email address.",
        "Call identify with an email before the event, or look at the mapping of the identity field.",
    ),
    "no_consent": Word(
        "The contact did not grant the consent this destination asks for.",
        "Nothing, or correct the destination's `consent` if it asks for the wrong category.",
    ),
    "expired": Word(
        "The event was older than the destination's `max_age` when its turn came.",
        "Raise `max_age` if late is better than never.",
    ),
    "quiet_hours": Word(
        "The message's turn came within the destination's quiet hours.",
        "Nothing, or change `quiet_hours`.",
    ),
    "not_in_segment": Word(
        "The contact is not in the destination's `segment`.",
        "Nothing, or look at the condition.",
    ),
    "unchanged": Word(
        "The event changed nothing that the vendor was not told before.",
        "Nothing.",
    ),
    "tombstone": Word("The record has no value.", "Nothing."),
    "erased": Word(
        "The contact asked to be erased, and the event is from before or the erasure still stands.",
        "Nothing.",
    ),
    "duplicate": Word("A call for this event was already made and must not be repeated.", "Nothing."),
    "other_replay": Word("The record is a replay meant for another destination.", "Nothing."),
    "undecodable": Word(
        "The record is not an event: no JSON object, an unknown type, or a part of the wrong shape.",
        "Correct the producer, then produce the event again; discard the letter.",
    ),
    "unmappable": Word(
        "The event could not be turned into the vendor's format.",
        "Correct the mapping or the producer, then replay.",
    ),
    "rejected": Word(
        "The vendor refused this event for good; the detail says why.",
        "Correct what the detail names, then replay, or discard.",
    ),
    "no_unique_key": Word(
        "The vendor knows the contact, but the event lacks the unique key it is stored under.",
        "Send the key with the event, or choose another `unique_key`, then replay.",
    ),
    "exhausted": Word(
        "The event failed again and again while others got through.",
        "Look at the detail and at the vendor, then replay.",
    ),
    "unknown_outcome": Word(
        "A call that must not be repeated may or may not have reached the vendor.",
        "Ask the vendor's log whether it arrived; replay only if it did not.",
    ),
}
"""Reason words of filtered and dead-lettered messages."""

NOTES: dict[str, Word] = {
    "timestamp_replaced": Word(
        "The event's timestamp was missing or implausible; the record's own time stands in.",
        "Send an ISO 8601 timestamp with each event.",
    ),
    "field_ignored": Word(
        "A value had the wrong type for its field, which was left out.",
        "Correct the producer or the field's expression.",
    ),
    "phone_dropped": Word(
        "A phone number could not be brought into international form and was left out.",
        "Send numbers with + and country code, or set `default_region`.",
    ),
    "field_no_consent": Word(
        "A field was left out because the contact did not grant its consent.",
        "Nothing, or correct the destination's `consent`.",
    ),
    "not_subscribed_no_consent": Word(
        "The contact was written but not subscribed: no marketing consent.",
        "Nothing.",
    ),
    "not_subscribed_no_list": Word(
        "The contact was written but not subscribed: no list is configured.",
        "Set `default_list_id` if contacts should be subscribed.",
    ),
    "not_subscribed_replay": Word(
        "The contact was written but not subscribed: it came by a replay, and may have left the list since its event.",
        "Nothing; who is to be on the list is put there by a later event, or by hand.",
    ),
    "sms_invalid_numbers": Word(
        "The vendor found some of an event's numbers invalid and does not say which; the others got their text.",
        "Look at the numbers of the event, and at the campaign in the vendor's statistics; nothing is sent again.",
    ),
    "sms_inserted_fewer": Word(
        "The vendor queued fewer texts than there were valid numbers: the others are probably on its blacklist.",
        "Nothing, or look at the blacklists of the universe.",
    ),
}
"""Words that ride on delivered outcomes."""
