"""`graphmode.check_grads`: the variant's gradients against central differences along random directions in float64.

Read in order, `arguments` -> `program` -> `directions` -> `slopes` -> `check` -> `search` -> `messages` is the way a
check goes: the floating leaves become one vector of real numbers, `fn` one real number run in the variant's mode,
two directions four evaluations; only where these disagree the rest is run, to tell a wrong gradient from a kink or
from rounding, and to find the element.
"""

from pytest_graphmode.gradients.check import check_grads

__all__ = ["check_grads"]
