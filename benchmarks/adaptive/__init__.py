"""Adaptive concurrency against vendors of many kinds, in virtual time: `python -m benchmarks.adaptive`."""
