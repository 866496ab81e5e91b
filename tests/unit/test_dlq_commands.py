"""`crmstream dlq`: which letters its options mean, what it refuses before anything is read, how it shows a letter."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.dead_letters import DeadLetter
from schemas.replays import Fate
from schemas.times import moment
from stream.cli import run
from stream.commands.dlq.shown import Group, counted, described, page, plain, summary
from stream.commands.dlq.wanted import Wanted
from stream.errors import Exit, UserError
from stream.topics.dead_letters import Letter
from tests.unit.configurations import SMALLEST, written

NOON = 1_780_747_200.0  # 2026-06-06T12:00:00Z
BODY = b'{"type": "identify", "traits": {"email": "ada@example.com"}}'
ABOUT = DeadLetter("attio", "crm.events", 3, 41, "rejected", "no such field", 1, NOON)
LETTER = Letter(ABOUT, b"ada@example.com", BODY, [], buried_at=NOON, written_at=0)
DISCARDED = Fate.model_validate({"word": "discarded", "at": "2026-06-07T00:00:00Z", "because": "they moved"})


@pytest.mark.parametrize(
    "options",
    [
        {"destination": "attio"},
        {"reason": "rejected"},
        {"fingerprint": ABOUT.fingerprint},
        {"since": "2026-06-06T12:00:00Z"},
        {"before": "2026-06-06T12:00:01Z"},
        {"since": "2026-06-06", "before": "2026-06-07", "reason": "rejected", "destination": "attio"},
    ],
)
def test_a_letter_is_wanted_where_all_that_was_said_fits(options: dict[str, str]) -> None:
    """By destination, reason, kind of failure and time of burial."""
    assert wanted(**options).fits(LETTER)


@pytest.mark.parametrize(
    "options",
    [
        {"destination": "splio"},
        {"reason": "exhausted"},
        {"fingerprint": "0" * 12},
        {"since": "2026-06-06T12:00:01Z"},
        {"before": "2026-06-06T12:00:00Z"},
        {"destination": "attio", "reason": "exhausted"},
    ],
)
def test_one_word_that_does_not_fit_is_enough(options: dict[str, str]) -> None:
    """`--from` is included, `--to` is not: two days one after the other share no letter."""
    assert not wanted(**options).fits(LETTER)


def test_a_time_without_zone_is_utc() -> None:
    """As in all that is printed."""
    assert [NOON] * 3 == [moment("2026-06-06T12:00"), moment("2026-06-06T14:00:00+02:00"), moment("2026-06-06 12:00Z")]
    assert NOON - 43_200 == moment("2026-06-06")


@pytest.mark.parametrize("options", [{"since": "yesterday"}, {"before": "2026-13-01"}, {"reason": "refused"}])
def test_what_there_is_not_is_refused_with_an_example(options: dict[str, str]) -> None:
    """Before anything is read."""
    with pytest.raises(UserError) as refused:
        wanted(**options)

    assert Exit.BAD_FILE == refused.value.exit_code
    assert refused.value.hint


@pytest.mark.parametrize("command", [["replay"], ["replay", "--force"], ["discard"], ["discard", "--dry-run"]])
def test_nothing_is_done_to_all_letters_by_mistake(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--all` must be said."""
    assert Exit.BAD_FILE == run(["dlq", *command, "-c", str(configured(tmp_path))])

    assert "which letters?\n  give --all, or --destination" in capsys.readouterr().err


def test_a_replay_for_a_destination_that_is_not_there_is_a_slip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The nearest name is told."""
    assert Exit.BAD_FILE == run(["dlq", "replay", "--destination", "atio", "-c", str(configured(tmp_path))])

    assert "there is no destination atio\n  did you mean attio?" in capsys.readouterr().err


def test_personal_data_needs_a_word_where_nobody_can_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is shown by a script that did not say --yes."""
    assert Exit.BAD_FILE == run(["dlq", "show", "--unmask", "-c", str(configured(tmp_path))])

    assert "personal data is shown only to who confirms it\n  give --yes" in capsys.readouterr().err


def test_personal_data_is_asked_for_at_a_terminal(tmp_path: Path) -> None:
    """And nothing is read, let alone shown, where the answer is no."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "stream", "dlq", "show", "--unmask", "-c", str(configured(tmp_path))]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.write(ours, b"n\n")
        shown, _ = process.communicate(timeout=30)
    asked = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)

    assert (Exit.FAILURE, "") == (process.returncode, shown.strip())
    assert "Show what the letters say of people? [y/N]" in asked
    assert "broker" not in asked


def test_a_letter_is_shown_masked_unless_asked_for_otherwise() -> None:
    """Key and value; a fate with the operator's words."""
    masked, whole = described(LETTER, None), described(LETTER, DISCARDED, unmasked=True)

    assert "ada" not in json.dumps(masked) + page(masked)
    assert ("ada@example.com", json.loads(BODY)) == (whole["key"], whole["value"])
    assert "  discarded 2026-06-07T00:00:00Z: they moved\n  key ada@example.com\n" in page(whole)


@pytest.mark.parametrize(
    "found,shown", [(None, None), (b'{"a": 1}', {"a": 1}), (b"user-1", "user-1"), (b"\xffx", "\\xffx")]
)
def test_what_is_not_json_is_shown_as_text(found: bytes | None, shown: object) -> None:
    """A key is anything."""
    assert shown == plain(found)


def test_a_group_tells_how_old_it_is_and_what_was_done() -> None:
    """Counts of the replayed and discarded ones, the oldest and the newest burial."""
    group = Group(LETTER, LETTER.buried_at)
    replayed = DISCARDED.model_copy(update={"word": "replayed"})
    for seconds, fate in ((0, DISCARDED), (-3600, replayed), (60, replayed), (5, None)):
        group.add(replace(LETTER, buried_at=NOON + seconds), fate)

    found = counted(group)

    assert (4, 2, 1) == (found["count"], found["replayed"], found["discarded"])
    assert ("2026-06-06T11:00:00.000Z", "2026-06-06T12:01:00.000Z") == (found["oldest"], found["newest"])
    assert f"attio  rejected  {ABOUT.fingerprint}  4, 2 replayed, 1 discarded  (" in summary(group)


@pytest.mark.parametrize(
    "oldest, newest, told",
    [
        (30, 10, "(less than 1 min ago)"),
        (7200, 300, "(2 h to 5 min ago)"),
        (864_000, 86_400, "(10 d to 1 d ago)"),
        (3600, 3600, "(1 h ago)"),
    ],
)
def test_a_group_s_ages_are_told_in_the_words_of_people(oldest: float, newest: float, told: str) -> None:
    """Of its oldest letter and its newest; once where both say the same."""
    now = time.time()
    group = Group(LETTER, now - oldest)
    for age in (oldest, newest):
        group.add(replace(LETTER, buried_at=now - age), None)

    assert summary(group).splitlines()[0].endswith(told)


def wanted(
    destination: str | None = None,
    reason: str | None = None,
    fingerprint: str | None = None,
    since: str | None = None,
    before: str | None = None,
) -> Wanted:
    return Wanted.of(destination, reason, fingerprint, since, before)


def configured(folder: Path) -> Path:
    return written(folder, SMALLEST)
