"""Durations, rates, sizes and shares, as people write them."""

import pytest

from stream.core.units import ShareOf, duration, rate, share, size, written, written_size


@pytest.mark.parametrize(
    "text, seconds",
    [("250ms", 0.25), ("0ms", 0), ("5s", 5), ("1.5s", 1.5), ("15m", 900), ("1h", 3600), ("7d", 604_800)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    """Each unit of the contract gives its seconds."""
    assert seconds == duration(text)


@pytest.mark.parametrize(
    "text", ["10", "", "s", "5 s", "-5s", "+5s", "5S", "1h30m", ".5s", "5s\n", "٣s", "1" * 400 + "h"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    """A number without unit would be a guess: it is refused with the form to write."""
    with pytest.raises(ValueError, match="write it like 250ms, 5s, 15m or 1h"):
        duration(text)


@pytest.mark.parametrize("text, a_second", [("20/s", 20), ("600/m", 10), ("0.5/s", 0.5), ("3600/h", 1)])
def test_a_rate_is_requests_in_a_time(text: str, a_second: float) -> None:
    """Whatever the time, it is given a second."""
    assert a_second == rate(text)


@pytest.mark.parametrize("text", ["20", "0/s", "-1/s", "20/d", "20 / s", "/s", ""])
def test_anything_else_is_no_rate(text: str) -> None:
    """No rate at all is `null`, never zero."""
    with pytest.raises(ValueError, match="write it like 20/s or 600/m"):
        rate(text)


@pytest.mark.parametrize(
    "text, count", [("512B", 512), ("64KiB", 65_536), ("8MiB", 8_388_608), ("1GiB", 1_073_741_824)]
)
def test_a_size_is_a_number_and_a_unit(text: str, count: int) -> None:
    """Each unit of the contract gives its bytes."""
    assert count == size(text)


@pytest.mark.parametrize("text", ["1024", "1MB", "1mib", "1.5MiB", "-1B", ""])
def test_anything_else_is_no_size(text: str) -> None:
    """Powers of ten are not offered, so nobody has to wonder which one is meant."""
    with pytest.raises(ValueError, match="write it like 64KiB or 8MiB"):
        size(text)


@pytest.mark.parametrize(
    "text, expected",
    [("50% of 1000", ShareOf(50, 1000)), ("100% of 1", ShareOf(100, 1)), ("0.5 % of 200", ShareOf(0.5, 200))],
)
def test_a_share_is_percent_of_the_last_so_many(text: str, expected: ShareOf) -> None:
    """Percent above 0 up to 100, of at least one."""
    assert expected == share(text)


@pytest.mark.parametrize("text", ["0% of 10", "101% of 10", "50% of 0", "50%", "50 of 100", "-1% of 10", "50% of ten"])
def test_anything_else_is_no_share(text: str) -> None:
    """A limit that could never be reached, or always is, is refused."""
    with pytest.raises(ValueError, match="write it like 50% of 1000"):
        share(text)


@pytest.mark.parametrize("text", ["0s", "250ms", "1500ms", "5s", "90s", "15m", "1h", "36h", "7d"])
def test_a_duration_is_shown_as_it_is_written(text: str) -> None:
    """What the schema and error texts show can be pasted into the file."""
    assert text == written(duration(text))


@pytest.mark.parametrize("text", ["0B", "1B", "1500B", "64KiB", "8MiB", "3GiB"])
def test_a_size_is_shown_as_it_is_written(text: str) -> None:
    """What the schema shows can be pasted into the file."""
    assert text == written_size(size(text))
