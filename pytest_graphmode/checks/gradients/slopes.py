"""Central differences of one function at one point, with what is known about their error.

Steps are relative to a direction whose entries have the scale of their leaves. The default step is the cube root of the
machine epsilon, which balances truncation and rounding of a central difference (Press et al., Numerical Recipes, 5.7).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pytest_graphmode.checks.gradients.arguments import Vector
from pytest_graphmode.checks.gradients.directions import norm

__tracebackhide__ = True  # in failures, the user's frames are of interest

_AVERAGED: Final = 25
"""How many differences an average is made of."""


@dataclass(frozen=True)
class Precision:
    """What a dtype can resolve: its machine epsilon, the relative step, and the tolerances on a slope.

    `share` is the part of a slope that counts where it is larger than the 2-norm of its terms, as it is by far where
    many of them have one sign: a low precision can't resolve an error in one of them there. `sensitive` is the rounding
    of a difference, relative to the slope, up to which agreement needs no second look, which only float64 affords.
    """

    dtype: str
    eps: float
    step: float
    rtol: float
    atol: float
    share: float
    sensitive: float


_EPS: Final = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_SHARE: Final = 0.1
# Wide enough for right networks with kinks, narrow enough for errors of 1 % (float16 and bfloat16: of their own size).
_RTOL: Final = {"float64": 1e-6, "float32": 1e-3, "float16": 5e-2, "bfloat16": 2e-1}


@functools.lru_cache(maxsize=64)
def precision_of(dtype: str, rtol: float | None, atol: float | None, eps: float | None) -> Precision:
    """The steps and tolerances of a dtype, or those asked for."""
    epsilon = _EPS[dtype]
    return Precision(
        dtype,
        epsilon,
        eps if eps is not None else epsilon ** (1 / 3),
        rtol if rtol is not None else _RTOL[dtype],
        atol if atol is not None else 0.0,
        *((0.0, 1e-4) if dtype == "float64" else (_SHARE, math.inf)),
    )


@dataclass(frozen=True)
class Estimate:
    """One central difference and what the gradient says it should be.

    `left` and `right` are the slopes on the two sides; `size` is what `tolerance` is relative to: the 2-norm of
    gradient times direction, or a share of its sum where that is more; `noise` is the part of the tolerance that is
    due to rounding; `sensitive` says whether that is small against the slope, so that an error would show.
    """

    step: float
    left: float
    right: float
    analytic: float
    size: float
    noise: float
    tolerance: float
    sensitive: bool

    @property
    def numeric(self) -> float:
        """The central difference: the mean of both sides."""
        return (self.left + self.right) / 2

    @property
    def error(self) -> float:
        """How far apart they are; infinite where the function is not finite."""
        difference = abs(self.numeric - self.analytic)
        return difference if math.isfinite(difference) else math.inf

    @property
    def agrees(self) -> bool:
        return self.error <= self.tolerance


class Slopes:
    """Slopes of `evaluate` at `point`, where it has this value and gradient.

    `rounded` gives the point that is really evaluated when one is asked for, in the dtype of the check; `magnitude` is
    the largest value met within the first step; `roughness` is what the function was measured to be off by (until then
    that is taken from its dtype).
    """

    def __init__(
        self,
        evaluate: Callable[[Vector], float],
        rounded: Callable[[Vector], Vector],
        point: Vector,
        value: float,
        gradient: Vector,
        precision: Precision,
    ) -> None:
        self.point = point
        self.value = value
        self.gradient = gradient
        self.precision = precision
        self.magnitude = abs(value)
        self.evaluations = 0
        self.roughness: float | None = None
        self._evaluate = evaluate
        self._rounded = rounded
        self._finite = bool(np.isfinite(point).all())

    def with_steps(self, factor: float) -> Slopes:
        """The same slopes over steps that many times as long."""
        precision = replace(self.precision, step=self.precision.step * factor)
        return Slopes(self._evaluate, self._rounded, self.point, self.value, self.gradient, precision)

    def at(self, direction: Vector, distance: float) -> float:
        """The value at a distance along a direction."""
        return self._at(self._rounded(self.point + distance * direction))

    def central(self, direction: Vector, factor: float = 1.0) -> Estimate:
        """The difference over a step of `factor` times the usual one, divided by the step really taken."""
        step = self.precision.step * factor
        shift = step * direction
        upper, lower = self._rounded(self.point + shift), self._rounded(self.point - shift)
        above, below = self._at(upper), self._at(lower)
        if factor <= 1:
            self.magnitude = max(self.magnitude, abs(above), abs(below))
        terms = self.gradient * (taken := self._taken(upper, lower) / (2 * step))
        analytic = float(terms.sum())
        size = max(norm(terms), self.precision.share * abs(analytic))
        noise = self.noise(step, max(abs(above), abs(below)))
        tolerance = self.precision.rtol * size + noise
        if self.precision.atol:
            tolerance += self.precision.atol * norm(taken)
        left, right = (self.value - below) / step, (above - self.value) / step
        rounding = self.of_arguments(direction, left, right) / step
        noise, tolerance = noise + rounding, tolerance + rounding
        sensitive = size == 0 or noise <= self.precision.sensitive * size
        return Estimate(step, left, right, analytic, size, noise, tolerance, sensitive)

    def averaged(self, direction: Vector, factor: float) -> Estimate:
        """The mean of differences over several steps of about this length, which rounding disturbs less."""
        found = [self.central(direction, factor * spread) for spread in np.linspace(0.7, 1.3, _AVERAGED)]
        middle = found[_AVERAGED // 2]
        noise = middle.noise / math.sqrt(_AVERAGED)
        return replace(
            middle,
            left=sum(estimate.left for estimate in found) / _AVERAGED,
            right=sum(estimate.right for estimate in found) / _AVERAGED,
            noise=noise,
            tolerance=middle.tolerance - middle.noise + noise,
        )

    def of_arguments(self, direction: Vector, left: float, right: float) -> float:
        """What rounding of the arguments can do to a value, where the slopes on the two sides are these.

        Most of it is in the step really taken. At a kink it is not, and `|x - c|` at c has no value of its own to
        measure rounding by.
        """
        slope = max(abs(left), abs(right))
        if not math.isfinite(slope) or not self._finite:
            return 0.0
        moved = norm(direction)
        reach = norm(self.point[direction != 0]) / moved if moved else 0.0
        return 4 * self.precision.eps * reach * slope

    def noise(self, step: float, magnitude: float = 0.0) -> float:
        """What rounding of the function can do to a slope over a step, where its values are of this magnitude."""
        if self.roughness is not None:
            return self.roughness / step
        return 10 * self.precision.eps * max(abs(self.value), magnitude) / step

    def _at(self, vector: Vector) -> float:
        self.evaluations += 1
        return self._evaluate(vector)

    def _taken(self, upper: Vector, lower: Vector) -> Vector:
        """The way between two points; elements that are not finite do not move."""
        if self._finite:
            return upper - lower
        return np.subtract(upper, lower, where=np.isfinite(self.point), out=np.zeros_like(upper))
