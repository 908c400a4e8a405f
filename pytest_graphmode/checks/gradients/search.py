"""What a direction that the first step did not settle turns out to be, and the element whose gradient is wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pytest_graphmode.checks.gradients.differences import Differences, Estimate
from pytest_graphmode.checks.gradients.leaves import Part, Vector

__tracebackhide__ = True  # in failures, the user's frames are of interest

SHORTER: Final = (1 / 30, 1e-3, 1e-5)
"""Steps relative to the first one, tried after it: rounding allows these where the first meets a kink or a bend."""

LONGER: Final = (30.0, 300.0, 3000.0)
"""The same for slopes that are small against the rounding of the value. Both were found by trial on the tables of
tests/backends/gradient_cases: over 20 draws of each case no right gradient needed another step."""

LOW: Final = (1 / 3, 1 / 10)
"""All that rounding allows in a low precision."""

_COARSE: Final = 1e4
"""How many times its rounding in float64 a slope is off by at least if it is computed in float32."""

_FAR_BETTER: Final = 1e-3
"""How much less than the first error the rounding of a step must be where a gradient of zero sets no scale."""


@dataclass(frozen=True)
class Suspect:
    """A direction along which the gradient disagrees, with the difference that shows it best.

    `factor` is the step of that one relative to the first; `coarse` says whether the function computes in a lower
    precision than that of the check, `kinked` whether the slopes of the two sides stay apart as the step gets shorter,
    and `jumps` whether they even part, as those of a jump do.
    """

    direction: Vector
    factor: float
    estimate: Estimate
    coarse: bool
    kinked: bool
    jumps: bool

    @property
    def excused(self) -> bool:
        """Whether the gradient lies between the slopes on the two sides of a kink, where it may be anything."""
        estimate = self.estimate
        return self.kinked and estimate.error <= 0.51 * estimate.gap + estimate.tolerance


def suspect(differences: Differences, direction: Vector, first: Estimate, relative_sizes: Vector) -> Suspect | None:
    """What speaks against a gradient that the first difference did not settle; None if another says that it is right.

    Args:
        relative_sizes: the size of each element relative to the scale of its leaf, for steps that follow the elements
            where these differ by orders of magnitude.
    """
    found = {1.0: first}
    for factor in (*SHORTER, *LONGER) if differences.precision.dtype == "float64" else LOW:
        found[factor] = differences.along(direction, factor)
        if found[factor].agrees and found[factor].noise <= (first.allowed or _FAR_BETTER * first.error):
            return None
    by_element = differences.along(direction * relative_sizes)
    if by_element.agrees and by_element.noise <= by_element.allowed:
        return None
    consistent = _consistent(found, LONGER if first.agrees else (1.0, *SHORTER))
    if first.agrees and consistent is None:
        return None  # by its rounding, and nothing speaks against it
    if first.allowed == 0 and 10 * first.error < found.get(LONGER[0], first).error < math.inf:
        return None  # it grows with the step, as for x**3 at 0: there is no slope
    if first.error == math.inf > by_element.error:
        direction, consistent, found = direction * relative_sizes, 1.0, {1.0: by_element}
    factor = consistent or 1.0
    one = found[factor]
    shorter = differences.along(direction, factor / 30)
    kinked = 2 * one.tolerance < one.gap < 2 * shorter.gap < math.inf
    return Suspect(direction, factor, one, _is_coarse(found), kinked, kinked and shorter.gap > 3 * one.gap)


def _consistent(found: dict[float, Estimate], factors: Sequence[float]) -> float | None:
    """The first step whose difference agrees with that over the next one, and not with the gradient."""
    for factor, following in itertools.pairwise(factor for factor in factors if factor in found):
        one, other = found[factor], found[following]
        if not one.agrees and abs(one.numeric - other.numeric) < 0.1 * min(one.error, other.error):
            return factor
    return None


def _is_coarse(found: dict[float, Estimate]) -> bool:
    """Whether slopes over steps too small to bend the function differ by more than its rounding in float64.

    A function that rounds its arguments to float32 moves over the shortest ones not at all, or too far; beyond a kink
    nearby these agree.
    """
    if SHORTER[-1] not in found:
        return False
    slopes = [found[factor].numeric for factor in (1.0, *SHORTER)]
    agree = slopes[2] != 0 and abs(slopes[2] - slopes[3]) < 0.1 * abs(slopes[2])
    return not agree and max(slopes[:3]) - min(slopes[:3]) > _COARSE * found[SHORTER[1]].noise


Block = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Fault:
    """Coordinates along which the gradient is wrong: one, or several where no single one stands out."""

    coordinates: Block
    direction: Vector
    estimate: Estimate


def fault(differences: Differences, parts: Sequence[Part], suspect: Suspect) -> Fault:
    """The worst wrong element: blocks that disagree, leaves first, are halved until one coordinate is left."""
    worst = Fault(np.arange(differences.point.size), suspect.direction, suspect.estimate)
    blocks = [np.arange(part.span.start, part.span.stop) for part in parts if part.size]
    while blocks:
        found = [_within(differences, block, suspect) for block in blocks]
        candidate = max(found, key=lambda one: _excess(one.estimate, suspect.kinked))
        if _excess(candidate.estimate, suspect.kinked) <= 1:
            break
        worst = candidate
        blocks = np.array_split(worst.coordinates, 2) if worst.coordinates.size > 1 else []
    return worst


def _within(differences: Differences, block: Block, suspect: Suspect) -> Fault:
    direction = np.zeros_like(suspect.direction)
    direction[block] = suspect.direction[block]
    return Fault(block, direction, differences.along(direction, suspect.factor))


def _excess(estimate: Estimate, kinked: bool) -> float:
    """The error, less what a kink may explain, in tolerances."""
    error = estimate.error - (estimate.gap / 2 if kinked and estimate.error < math.inf else 0.0)
    return error / estimate.tolerance if estimate.tolerance else math.inf * (error > 0)
