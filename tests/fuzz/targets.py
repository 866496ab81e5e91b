"""All targets by their names, and the state machines that go with them."""

from hypothesis.stateful import RuleBasedStateMachine

from tests.fuzz import configuration, events, expressions, positions, requests, scheduling, topics, tracking, vendors
from tests.fuzz.target import Target

MODULES = (events, expressions, positions, topics, vendors, configuration, requests)

TARGETS: dict[str, Target] = {target.name: target for module in MODULES for target in module.TARGETS}
MACHINES: dict[str, type[RuleBasedStateMachine]] = {
    "tracker": tracking.Tracking,
    "range tracker": tracking.RangeTracking,
    "scheduler": scheduling.Scheduling,
    "health": scheduling.Wellbeing,
}
