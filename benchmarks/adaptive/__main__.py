"""`python -m benchmarks.adaptive`: the table in Markdown; fails where the aim is missed."""

import argparse
import sys

from benchmarks.adaptive.measured import AIM, SEEDS, Row, rows
from benchmarks.adaptive.world import MOST, SECONDS

HEAD = (
    "| vendor | best setting: calls/s, ms | adaptive: rate | latency | refused | limits"
    " | Vector's rules: rate | latency | refused |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main() -> int:
    """The exit code: 1 where a behaviour is outside the aim."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptive", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="take the best settings as they are recorded: no sweep")
    given = parser.parse_args()
    print(HEAD)
    found = []
    for row in rows(sweep=not given.quick):
        print(line(row), flush=True)
        found.append(row)
    missed = [row.behaviour.name for row in found if not row.met]
    better = sum(row.better for row in found)
    print()
    print(
        f"Rate and latency as parts of the best fixed setting's, which is the one with the lowest latency among those"
        f" within 2 % of the highest rate of all from 1 to {MOST}. {SECONDS:.0f} simulated seconds from a cold start,"
        f" mean of {len(SEEDS)} seeds, at most {MOST} calls in flight. *limits*: the lowest and highest in the second"
        " half. *refused*: by 429; in bold what is outside a tenth."
    )
    print()
    print(f"Within {AIM:.0%} in {len(found) - len(missed)} of {len(found)}; better than Vector's rules in {better}.")
    if missed:
        print(f"benchmarks: outside the aim: {', '.join(missed)}", file=sys.stderr)
    outdated = [row.behaviour.name for row in found if not row.recorded]
    if outdated:
        print(f"benchmarks: not the best setting that is recorded: {', '.join(outdated)}", file=sys.stderr)
    return 1 if missed or outdated else 0


def line(row: Row) -> str:
    """One behaviour, as a row of the table."""
    cells = [row.behaviour.name, f"{row.best}: {row.fixed.rate:.0f}, {row.fixed.latency * 1000:.0f}"]
    for figures in (row.ours, row.vector):
        rate, latency = figures.rate / row.fixed.rate, figures.latency / row.fixed.latency
        cells += [marked(rate, bad=rate < 1 - AIM), marked(latency, bad=latency > 1 + AIM), f"{figures.refused:.0f}"]
        if figures is row.ours:
            cells.append(f"{figures.lowest:.0f} to {figures.highest:.0f}")
    return f"| {' | '.join(cells)} |"


def marked(ratio: float, *, bad: bool) -> str:
    """A ratio with two decimals, bold where it is bad."""
    return f"**{ratio:.2f}**" if bad else f"{ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main())
