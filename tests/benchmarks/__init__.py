"""Times as ratios to a yardstick measured in the same run, since machines differ: `python -m tests.benchmarks`."""
