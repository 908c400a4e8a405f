"""Functions with right and with wrong gradients, for `test_check_grads_table.py`.

A case takes a handle and returns a function, its arguments and options of `check_grads`, drawn from the handle's `rng`.
Wrong gradients are made with the frameworks' own custom gradients.
"""

from tests.backends.gradient_cases import right_functions, right_programs, wrong_operations, wrong_programs
from tests.backends.gradient_cases.case import RIGHT, WRONG, custom, detached

__all__ = [
    "RIGHT",
    "WRONG",
    "custom",
    "detached",
    "right_functions",
    "right_programs",
    "wrong_operations",
    "wrong_programs",
]
