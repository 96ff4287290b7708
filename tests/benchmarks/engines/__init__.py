"""The speed and the memory of the study engine: `python -m tests.benchmarks.engines`."""
