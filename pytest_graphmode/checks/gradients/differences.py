"""Central differences of one function at one point along directions, with what is known about their error.

Directions have random signs and magnitudes of 0.5 to 1.5 times the scale of each leaf: with plain +-1 the errors of a
permuted gradient can cancel exactly. Steps are relative to a direction. The first one is the cube root of the machine
epsilon, which balances truncation and rounding of a central difference (Press et al., Numerical Recipes, 5.7).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pytest_graphmode.checks.gradients.leaves import Part, Vector

__tracebackhide__ = True  # in failures, the user's frames are of interest


# Tolerances were found by trial on the tables of tests/backends/gradient_cases, 20 draws of each: in float64 right ReLU
# networks and sorts fail at 1e-7, and errors of 1e-5 pass at 1e-5; in float32 errors of 1 % pass at 2e-2. The others
# allow errors of the size of their own.
_EPS: Final = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_RTOL: Final = {"float64": 1e-6, "float32": 1e-3, "float16": 5e-2, "bfloat16": 2e-1}
_ROUNDING: Final = {"float64": 3, "float32": 10, "float16": 3, "bfloat16": 3}
"""How much rounding a verdict may rest on, in relative tolerances."""
_BEND: Final = 0.1
"""How much of a slope a bend or kink may explain in a low precision."""
_DOMINANCE: Final = 30.0
"""How many times the contribution of the least leaf another one may have before it is shrunk."""
_LEAST: Final = 1e4
"""What a leaf contributes at least, in units of rounding, to be told from it and to be shrunk for."""


@dataclass(frozen=True)
class Precision:
    """What a dtype can resolve: its machine epsilon, the relative step, and the tolerances on a slope."""

    dtype: str
    eps: float
    step: float
    rtol: float
    atol: float


@functools.lru_cache(maxsize=64)
def precision_of(dtype: str, rtol: float | None, atol: float | None, eps: float | None) -> Precision:
    """The steps and tolerances of a dtype, or those asked for."""
    epsilon = _EPS[dtype]
    step = epsilon ** (1 / 3) if eps is None else eps
    return Precision(dtype, epsilon, step, _RTOL[dtype] if rtol is None else rtol, atol or 0.0)


@dataclass(frozen=True)
class Estimate:
    """One central difference and what the gradient says it should be.

    `left` and `right` are the slopes on the two sides, `noise` is the part of the tolerance that is due to rounding,
    and `allowed` as much of it as a verdict may rest on: 0 where the gradient is, which sets no scale.
    """

    step: float
    left: float
    right: float
    analytic: float
    noise: float
    tolerance: float
    allowed: float
    precision: Precision

    @property
    def numeric(self) -> float:
        """The central difference: the mean of both sides."""
        return (self.left + self.right) / 2

    @property
    def gap(self) -> float:
        """How far the slopes of the two sides are apart."""
        return abs(self.right - self.left)

    @property
    def error(self) -> float:
        """How far apart they are; infinite where the function is not finite."""
        difference = abs(self.numeric - self.analytic)
        return difference if math.isfinite(difference) else math.inf

    @property
    def agrees(self) -> bool:
        return self.error <= self.tolerance

    @property
    def settles(self) -> bool:
        """Whether the first step needs no other to say that the gradient is right."""
        return self.agrees and (self.noise <= self.allowed or self.allowed == 0 or self.precision.dtype != "float64")


@dataclass
class Differences:
    """Differences of `evaluate` at `point`, where it has this value and gradient.

    `rounded` gives the point that is really evaluated when one is asked for, in the dtype of the check.
    """

    evaluate: Callable[[Vector], float]
    rounded: Callable[[Vector], Vector]
    point: Vector
    value: float
    gradient: Vector
    precision: Precision

    def __post_init__(self) -> None:
        self._moving = np.isfinite(self.point)  # elements that are not finite stay where they are

    def along(self, direction: Vector, factor: float = 1.0) -> Estimate:
        """The difference over a step of `factor` times the usual one, divided by the step really taken."""
        precision, step = self.precision, self.precision.step * factor
        shift = step * direction
        upper, lower = self.rounded(self.point + shift), self.rounded(self.point - shift)
        above, below = self.evaluate(upper), self.evaluate(lower)
        taken = np.subtract(upper, lower, where=self._moving, out=np.zeros_like(upper)) / (2 * step)
        terms = self.gradient * taken
        size = norm(terms)
        left, right = (self.value - below) / step, (above - self.value) / step
        noise = 10 * precision.eps * max(abs(self.value), abs(above), abs(below)) / step
        noise += self._noise_of_arguments(direction, max(abs(left), abs(right))) / step
        tolerance = precision.rtol * size + noise + precision.atol * (norm(taken) if precision.atol else 0.0)
        if precision.dtype != "float64" and math.isfinite(left) and math.isfinite(right):
            # So long a step bends or meets kinks, and shorter ones drown in rounding: the slopes of both sides count.
            tolerance += min(abs(right - left) / 2, _BEND * size)
        allowed = _ROUNDING[precision.dtype] * precision.rtol * size
        return Estimate(step, left, right, float(terms.sum()), noise, tolerance, allowed, precision)

    def _noise_of_arguments(self, direction: Vector, slope: float) -> float:
        """What rounding of the arguments can do to a value: at a kink most of it is not in the step really taken.

        `|x - c|` at c has no value of its own to measure rounding by.
        """
        if not self._moving.all() or not math.isfinite(slope) or not direction.any():
            return 0.0
        return 4 * self.precision.eps * norm(self.point[direction != 0]) / norm(direction) * slope


# Directions.


def norm(vector: Vector) -> float:
    """The 2-norm."""
    return math.sqrt(float(vector @ vector))


def signed(rng: np.random.Generator, size: int | tuple[int, ...]) -> Vector:
    """Numbers of 0.5 to 1.5 with random signs."""
    drawn = rng.uniform(-1.0, 1.0, size)
    return drawn + np.copysign(0.5, drawn)


def scaled(direction: Vector, parts: Sequence[Part], point: Vector) -> Vector:
    """Directions, along the last axis, with the scale of each leaf; elements that are not finite do not move."""
    for part in parts:
        direction[..., part.span] *= part.scale
    return direction if np.isfinite(point).all() else np.where(np.isfinite(point), direction, 0.0)


def pair(rng: np.random.Generator, parts: Sequence[Part], differences: Differences) -> list[Vector]:
    """Two directions: signs at random, and signs equal to the gradient's.

    A leaf with a gradient of zero, which may be a term left out, shows in the first one, where the others are shrunk
    as far as rounding allows. In the second one all terms add up; it is shorter, so that the function bends less.
    """
    gradient = differences.gradient
    first, second = scaled(signed(rng, (2, gradient.size)), parts, differences.point)
    aligned = np.where(gradient == 0, second, np.copysign(second, gradient))
    if len(parts) > 1:
        unseen = any(not gradient[part.span].any() for part in parts)
        first = balanced(first, parts, differences, drown_none=unseen)
        aligned = balanced(aligned, parts, differences)
    terms = gradient * aligned
    total = float(terms.sum())
    return [first, aligned * math.sqrt(norm(terms) / total) if total else aligned]


def balanced(direction: Vector, parts: Sequence[Part], differences: Differences, *, drown_none: bool = False) -> Vector:
    """The direction with leaves shrunk that would drown an error in the others.

    Without this a small leaf that was dropped from the gradient was missed in all of 20 draws, with it in none. No leaf
    is shrunk to where rounding of the function would hide it; with `drown_none` all others are shrunk to that.
    """
    precision = differences.precision
    least = _LEAST * 10 * precision.eps * abs(differences.value) / precision.step
    sizes = [norm((differences.gradient * direction)[part.span]) for part in parts]
    seen = [size for size in sizes if size > 0]
    if not seen:
        return direction
    limit = _DOMINANCE * (least if drown_none else max(min(seen), least))
    shrunk = direction.copy()
    for part, size in zip(parts, sizes, strict=True):
        if size > limit:
            shrunk[part.span] *= limit / size
    return shrunk
