"""Tests of `pytest_graphmode.agreement`; only those of `test_frameworks` need a framework."""
