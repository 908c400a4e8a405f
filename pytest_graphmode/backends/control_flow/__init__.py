"""Loops and branches of every backend: the verbs of the handle, and the checks of what graphs made of them."""

from pytest_graphmode.backends.control_flow.operators import Operators

__all__ = ["Operators"]
