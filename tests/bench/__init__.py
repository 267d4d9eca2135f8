"""Measurements against peers, in one run on one machine, as ratios: ``python -m tests.bench`` writes docs/benchmarks.md."""
