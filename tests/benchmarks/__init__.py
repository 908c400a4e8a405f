"""The speed budget: each row measured against its counterpart in the same run. `python -m tests.benchmarks --help`."""
