"""Loops and branches of every backend: the control-flow operators of the handle."""

from pytest_graphmode.backends.control_flow.operators import Operators

__all__ = ["Operators"]
