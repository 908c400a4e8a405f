"""`graphmode.check_grads`: the variant's gradients against central differences along random directions in float64.

`check` chooses the dtype and says what is wrong. Read in order, `leaves` -> `program` -> `differences` is the way a
right gradient goes: the floating leaves become one vector of real numbers, `fn` one real number run in the variant's
mode, two directions four evaluations. Only where these disagree `search` tells a wrong gradient from a kink or a step
that does not suit and finds the element, and `messages` say what it looks like.
"""

from pytest_graphmode.checks.gradients.check import check_grads

__all__ = ["check_grads"]
