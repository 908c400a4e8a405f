"""Tests of `pytest_graphmode.run.agreement`; only those of `test_frameworks` need a framework."""
