"""`python -m tests.simulation SEED…` runs single worlds and prints what happened in them."""

import sys

from tests.simulation.clock import run
from tests.simulation.world import live, plan

for seed in map(int, sys.argv[1:]):
    print(seed, plan(seed))  # noqa: T201
    print(dict(run(live(seed)).happened))  # noqa: T201
