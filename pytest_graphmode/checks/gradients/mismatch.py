"""What a disagreement at the first step can mean besides a wrong gradient: other steps, kinks, rough functions."""

from __future__ import annotations

import itertools
import math
from typing import Final

import numpy as np

from pytest_graphmode.checks.gradients.arguments import Vector
from pytest_graphmode.checks.gradients.slopes import Estimate, Slopes

__tracebackhide__ = True  # in failures, the user's frames are of interest

OTHER_STEPS: Final = (1 / 30, 1e-3, 30.0, 300.0, 1e-5)
"""Steps tried after a disagreement, relative to the first."""

MEASURED_STEPS: Final = (1 / 10, 1 / 30, 1 / 100, 30.0, 300.0)
"""The same for a function whose roughness is measured: with averages, which allow shorter steps."""

LARGER_STEPS: Final = (30.0, 300.0, 3000.0)
"""Steps that rounding disturbs less, for slopes that are small against the value."""

COARSE: Final = 1e5
"""Roughness, in machine epsilons of the value, from which a function must compute in a lower precision inside."""

_ROUNDING: Final = 3
"""How much rounding a verdict may rest on, in relative tolerances."""

_ROUNDINGS: Final = 30
"""How many times the rounding of the arguments a function may be off by without computing in a lower precision."""

_FAR_BETTER: Final = 1e-3
_ROUNDED: Final = 1e3
_SINGLE: Final = 2.0**-24
_SMALL: Final = 1e-3
_SAMPLES: Final = 9


def agrees(slopes: Slopes, direction: Vector, by_element: Vector, first: Estimate | None = None) -> bool:
    """Whether the slope agrees at the first step, or else at one where rounding allows a verdict.

    Args:
        by_element: the size of each element relative to the scale of its leaf.
        first: the estimate at the first step, where it is known.
    """
    first = first or slopes.central(direction)
    if first.agrees and slopes.roughness is None:
        return first.sensitive or not _contradicted(slopes, direction)
    if first.agrees and first.noise <= _allowed(slopes, first):
        return True
    return (
        _agrees_at_other_steps(slopes, direction, first)
        or _agrees_by_element(slopes, direction * by_element)
        or _vanishes(slopes, direction, first)
    )


def _contradicted(slopes: Slopes, direction: Vector) -> bool:
    """Whether larger steps, which rounding disturbs less, agree with each other and not with the gradient."""
    found = [slopes.central(direction, factor) for factor in LARGER_STEPS]
    return any(
        not near.agrees and not far.agrees and abs(near.numeric - far.numeric) < 0.1 * min(near.error, far.error)
        for near, far in itertools.pairwise(found)
    )


def _agrees_at_other_steps(slopes: Slopes, direction: Vector, first: Estimate) -> bool:
    measured = slopes.roughness is not None
    estimate = slopes.averaged if measured else slopes.central
    # A gradient of zero sets no scale; there the step must be far better than the one that disagreed.
    allowed = _allowed(slopes, first) or _FAR_BETTER * first.error
    for factor in MEASURED_STEPS if measured else OTHER_STEPS:
        if slopes.noise(first.step * factor) <= allowed * (3 if measured else 1):
            found = estimate(direction, factor)
            if found.agrees and found.noise <= allowed:
                return True
    return False


def _allowed(slopes: Slopes, estimate: Estimate) -> float:
    """The rounding of a difference up to which its agreement is a verdict."""
    return _ROUNDING * slopes.precision.rtol * estimate.size


def _agrees_by_element(slopes: Slopes, direction: Vector) -> bool:
    """With steps that follow each element, for leaves whose elements differ by orders of magnitude."""
    found = slopes.central(direction)
    return found.agrees and found.noise <= _allowed(slopes, found)


def _vanishes(slopes: Slopes, direction: Vector, first: Estimate) -> bool:
    """Whether a slope that should be 0 is there only because the step is long: it grows with it, as for x**3 at 0."""
    if first.size != 0 or not math.isfinite(first.error):
        return False
    longer = slopes.central(direction, 30.0)
    return math.isfinite(longer.error) and longer.error > 10 * first.error


def kinked(slopes: Slopes, direction: Vector, first: Estimate) -> bool:
    """Whether a kink explains the disagreement.

    At a kink the gradient may be anything between the slopes of the two sides; with one within the first step it is
    the slope of the other side. A function that only bends has slopes that come together as the step gets shorter.
    """
    gap = abs(first.right - first.left)
    if not 2 * first.tolerance < gap < math.inf:
        return False
    lower, upper = min(first.left, first.right), max(first.left, first.right)
    if _gap(slopes, direction, 1 / 30) > 0.5 * gap:
        return lower - first.tolerance - 0.01 * gap <= first.analytic <= upper + first.tolerance + 0.01 * gap
    if all(abs(_gap(slopes, direction, factor) / gap - factor) < 0.1 for factor in (1 / 2, 1 / 3)):
        return False
    return min(abs(first.analytic - lower), abs(first.analytic - upper)) <= first.tolerance


def _gap(slopes: Slopes, direction: Vector, factor: float) -> float:
    """How far the slopes of the two sides are apart over a shorter step."""
    found = slopes.central(direction, factor)
    return abs(found.right - found.left)


def roughness(slopes: Slopes, direction: Vector) -> float:
    """How far the function is from a straight line, or one with a kink, over a distance too small to bend it.

    A function that rounds its argument inside does not move over such a distance as its slope says: it is at least as
    rough as that, and as single precision.
    """
    reach = slopes.precision.step * _SMALL
    distances = np.linspace(-reach, reach, _SAMPLES)
    values = np.array([slopes.at(direction, float(distance)) for distance in distances])
    if not np.isfinite(values).all():
        return 0.0
    moved = values - values[0]
    basis = np.stack([np.ones(_SAMPLES), distances / reach, np.abs(distances) / reach], axis=1)
    coefficients = np.linalg.lstsq(basis, moved, rcond=None)[0]
    departure = float(np.max(np.abs(basis @ coefficients - moved)))
    if slopes.precision.dtype != "float64":
        return departure
    usual = slopes.central(direction)
    missing = abs(float(coefficients[1]) - usual.numeric * reach)
    of_arguments = slopes.of_arguments(direction, usual.left, usual.right)
    rounded = missing > _ROUNDED * (slopes.precision.eps * slopes.magnitude + of_arguments)
    return max(departure, missing, _SINGLE * slopes.magnitude) if rounded else departure


def measure(slopes: Slopes, direction: Vector) -> bool:
    """Let slopes know how rough the function is, where that is news; says whether it was.

    In float64 the usual guess, which is a large one, is good enough; in a lower precision it hides errors.
    """
    measured = 3 * roughness(slopes, direction)
    usual = slopes.noise(1.0)
    if slopes.precision.dtype == "float64" and measured <= usual:
        return False
    slopes.roughness = max(measured, slopes.precision.eps * slopes.magnitude, slopes.roughness or 0.0)
    return True


def coarse(slopes: Slopes, of_arguments: float = 0.0) -> bool:
    """Whether a function is as rough as a lower precision than that of the check.

    Args:
        of_arguments: what rounding of its arguments can do to its value.
    """
    allowed = COARSE * slopes.precision.eps * slopes.magnitude + _ROUNDINGS * of_arguments
    return (slopes.roughness or 0.0) > allowed
