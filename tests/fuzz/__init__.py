"""Whatever comes in: a target is a property of any input. `test_targets.py` tries some, `./dev fuzz` millions."""
