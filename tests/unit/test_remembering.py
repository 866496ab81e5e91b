"""What is kept for a destination, as the settings say."""

from pathlib import Path

from structlog.testing import capture_logs

from stream.remembering import erasures_of
from stream.settings import Settings
from stream.topics.erasures import Erasures
from tests.unit.configurations import SMALLEST, loaded
from tests.unit.test_erasures import Topic

PRIVACY = "privacy: {requests: asked, results: answered, key: %s}\n"


def of(settings: Settings) -> Erasures | None:
    return erasures_of(settings, Topic())


def test_without_privacy_nobody_is_erased(tmp_path: Path) -> None:
    """And nothing is said: there is nothing to apply."""
    with capture_logs() as logs:
        assert of(loaded(tmp_path, SMALLEST)) is None

    assert [] == logs


def test_persons_are_known_by_the_key_of_the_configuration(tmp_path: Path) -> None:
    """Other keys give other names: nobody can guess who is in the topic."""
    one, other = (of(loaded(tmp_path, SMALLEST + PRIVACY % key)) for key in ("one", "other"))

    assert one is not None
    assert other is not None
    assert one.person("Ada@example.com ") == one.person("ada@example.com") != other.person("ada@example.com")


def test_a_missing_key_is_said(tmp_path: Path) -> None:
    """Whoever writes `privacy` expects that erasures are applied."""
    with capture_logs() as logs:
        assert of(loaded(tmp_path, SMALLEST + PRIVACY % "null")) is None

    assert ["erasures_not_applied"] == [line["event"] for line in logs]
