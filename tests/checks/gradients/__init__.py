"""Tests of `check_grads` that need no framework."""
