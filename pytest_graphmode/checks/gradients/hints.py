"""What a wrong element of a gradient looks like, from a few more differences: the place to look for the mistake."""

from __future__ import annotations

import math

import numpy as np

from pytest_graphmode.checks.gradients.arguments import Leaf
from pytest_graphmode.checks.gradients.slopes import Slopes

CUT = (
    "the analytic value is zero: a path is cut or a term left out; look for detach, stop_gradient, .item(), .numpy(), "
    "a cast to integers, or a custom gradient"
)


def hint(slopes: Slopes, leaf: Leaf, coordinate: int, analytic: float, numeric: float, allowed: float) -> str:
    """What the two values of an element look like, and where to look."""
    if not math.isfinite(numeric):
        return "the function is not finite a step away: move the arguments away from the edge of its domain"
    nearby = [_numeric(slopes, leaf, coordinate, factor) for factor in (1 / 3, 3.0)]
    if not max(abs(value - numeric) for value in nearby) < 0.5 * abs(analytic - numeric):
        return (
            f"the numeric value depends on the step ({nearby[0]:.6g} with a third of it, {nearby[1]:.6g} with three "
            "times it): the function jumps here, or is too rough to be differentiated numerically; try other arguments"
        )
    if leaf.is_complex and _conjugated(slopes, leaf, coordinate, allowed):
        return "it is the conjugate of the right gradient: conjugate the derivative in the custom gradient"
    if abs(analytic) <= allowed:
        return CUT
    if abs(numeric) <= allowed:
        return "the function does not move with this element, so its gradient should be zero"
    ratio = analytic / numeric
    if math.isclose(ratio, -1, rel_tol=1e-3):
        return "the sign is flipped"
    if _transposed(slopes, leaf, coordinate, analytic, allowed):
        return "it is the right gradient of the element across the diagonal: is the gradient transposed?"
    return f"the analytic value is {ratio:.5g} times the numeric one{_factor(ratio)}"


def _factor(ratio: float) -> str:
    if math.isclose(ratio, 2, rel_tol=1e-3):
        return ": is a term counted twice, or the 1/2 of a square lost?"
    if math.isclose(ratio, 0.5, rel_tol=1e-3):
        return ": is one of two equal terms missing?"
    return ": look at the custom gradient or the branch that computes this element"


def _numeric(slopes: Slopes, leaf: Leaf, coordinate: int, factor: float = 1.0) -> float:
    """The derivative by one coordinate, by central difference."""
    direction = np.zeros_like(slopes.point)
    direction[coordinate] = leaf.scale
    return slopes.central(direction, factor).numeric / leaf.scale


def _conjugated(slopes: Slopes, leaf: Leaf, coordinate: int, allowed: float) -> bool:
    real = coordinate - (coordinate - leaf.span.start) % 2
    parts = [_numeric(slopes, leaf, real), _numeric(slopes, leaf, real + 1)]
    wrong = [float(part) for part in slopes.gradient[real : real + 2]]
    return abs(wrong[0] - parts[0]) <= allowed and abs(wrong[1] + parts[1]) <= allowed < abs(parts[1])


def _transposed(slopes: Slopes, leaf: Leaf, coordinate: int, analytic: float, allowed: float) -> bool:
    if len(leaf.shape) != 2 or leaf.shape[0] != leaf.shape[1] or leaf.is_complex:
        return False
    row, column = leaf.position(coordinate)
    if row == column:
        return False
    across = leaf.span.start + column * leaf.shape[1] + row
    return abs(_numeric(slopes, leaf, across) - analytic) <= 10 * allowed
