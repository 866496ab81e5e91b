"""Places in `README.md` that a benchmark's figures are put into by `--write`: between two comments with its name."""

from pathlib import Path

README = Path(__file__).parent / "README.md"


def filled(readme: str, name: str, figures: str) -> str:
    """The text with these figures in the place of that name; ValueError where it has none."""
    before, begin, rest = readme.partition(f"<!-- {name}: begin -->")
    _, end, after = rest.partition(f"<!-- {name}: end -->")
    if not begin or not end:
        raise ValueError(f"README.md has no place for {name}")
    return f"{before}{begin}\n{figures.strip()}\n{end}{after}"


def write(name: str, figures: str) -> None:
    """Put them there."""
    README.write_text(filled(README.read_text(encoding="utf-8"), name, figures), encoding="utf-8")
