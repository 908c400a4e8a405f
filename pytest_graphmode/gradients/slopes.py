"""Central differences of one function at one point, with what is known about their error.

Steps are relative to a direction whose entries have the scale of their leaves. The default step is the cube root of the
machine epsilon, which balances truncation and rounding of a central difference (Press et al., Numerical Recipes, 5.7).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pytest_graphmode.gradients.arguments import Vector

OTHER_STEPS: Final = (1 / 30, 1e-3, 30.0, 300.0, 1e-5)
"""Steps tried after a mismatch, relative to the first."""

LARGER_STEPS: Final = (30.0, 300.0)
SENSITIVE: Final = 1e-4
"""The rounding of a difference, relative to the slope, up to which agreement means something."""


@dataclass(frozen=True)
class Precision:
    """What a dtype can resolve: its machine epsilon, the relative step, and the tolerances on a slope."""

    dtype: str
    eps: float
    step: float
    rtol: float
    atol: float

    def noise(self, value: float, step: float) -> float:
        """What rounding of the function can do to a slope."""
        return 10 * self.eps * abs(value) / step


_EPS: Final = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_RTOL: Final = {"float64": 1e-6, "float32": 1e-3, "float16": 5e-2, "bfloat16": 2e-1}


def precision_of(dtype: str, rtol: float | None, atol: float | None, eps: float | None) -> Precision:
    """The steps and tolerances of a dtype, or those asked for."""
    epsilon = _EPS[dtype]
    return Precision(
        dtype,
        epsilon,
        eps if eps is not None else epsilon ** (1 / 3),
        rtol if rtol is not None else _RTOL[dtype],
        atol if atol is not None else 0.0,
    )


@dataclass(frozen=True)
class Estimate:
    """One central difference and what the gradient says it should be.

    `size` is the 2-norm of gradient times direction, which `tolerance` is relative to; `noise` the part of the
    tolerance that is due to rounding.
    """

    step: float
    numeric: float
    analytic: float
    size: float
    noise: float
    tolerance: float

    @property
    def error(self) -> float:
        """How far apart they are; infinite where the function is not finite."""
        difference = abs(self.numeric - self.analytic)
        return difference if math.isfinite(difference) else math.inf

    @property
    def agrees(self) -> bool:
        return self.error <= self.tolerance

    @property
    def sensitive(self) -> bool:
        """Whether rounding is small against the slope, so that an error would show."""
        return self.noise <= SENSITIVE * self.size or self.size == 0


class Slopes:
    """Slopes of `evaluate` at `point`, where it has this value and gradient.

    `rounded` gives the point that is really evaluated when a vector is asked for, in the dtype of the check.
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
        self.evaluate = evaluate
        self.point = point
        self.value = value
        self.gradient = gradient
        self.precision = precision
        self.evaluations = 0
        self.extra_noise = 0.0
        self._rounded = rounded

    def central(self, direction: Vector, factor: float = 1.0) -> Estimate:
        """The difference over a step of `factor` times the usual one, divided by the step really taken."""
        step = self.precision.step * factor
        upper, lower = self._rounded(self.point + step * direction), self._rounded(self.point - step * direction)
        above, below = self._at(upper), self._at(lower)
        taken = np.subtract(upper, lower, where=direction != 0, out=np.zeros_like(upper)) / (2 * step)
        return self._estimate(step, (above - below) / (2 * step), taken, max(abs(above), abs(below)))

    def _at(self, vector: Vector) -> float:
        self.evaluations += 1
        return self.evaluate(vector)

    def _estimate(self, step: float, numeric: float, taken: Vector, magnitude: float) -> Estimate:
        terms = self.gradient * taken
        size = float(np.sqrt(terms @ terms))
        noise = self.precision.noise(max(abs(self.value), magnitude), step) + self.extra_noise / step
        tolerance = self.precision.rtol * size + noise + self.precision.atol * float(np.sqrt(taken @ taken))
        return Estimate(step, numeric, float(terms.sum()), size, noise, tolerance)

    def agree(self, direction: Vector) -> bool:
        """Whether the slope agrees at the first step, or else at one where rounding allows a verdict."""
        first = self.central(direction)
        if first.agrees:
            return first.sensitive or not self._contradicted(direction)
        return self._agrees_elsewhere(first, direction)

    def _contradicted(self, direction: Vector) -> bool:
        """Whether larger steps, which rounding disturbs less, agree with each other and not with the gradient."""
        near, far = (self.central(direction, factor) for factor in LARGER_STEPS)
        apart = abs(near.numeric - far.numeric)
        return not near.agrees and not far.agrees and apart < 0.1 * min(near.error, far.error)

    def _agrees_elsewhere(self, first: Estimate, direction: Vector) -> bool:
        for factor in OTHER_STEPS:
            found = self.central(direction, factor)
            if found.agrees and found.noise <= self.precision.rtol * max(found.size, abs(found.numeric)):
                return True
        return self._agrees_by_element(direction) or self._vanishes(first, direction)

    def _agrees_by_element(self, direction: Vector) -> bool:
        """The same with steps that follow each element, for leaves whose elements differ by orders of magnitude."""
        scaled = np.where(self.point == 0, direction, np.abs(self.point) * np.sign(direction))
        if np.array_equal(scaled, direction):
            return False
        found = self.central(scaled)
        return found.agrees and found.sensitive

    def _vanishes(self, first: Estimate, direction: Vector) -> bool:
        """Whether a slope that should be 0 goes there with the step, as that of x**3 at 0 does."""
        if first.size != 0 or not math.isfinite(first.error):
            return False
        closer = [self.central(direction, factor) for factor in (1 / 30, 1 / 900)]
        errors = [first.error, *(found.error - found.noise for found in closer)]
        return errors[1] <= errors[0] / 20 and errors[2] <= max(errors[1], 0.0) / 20

    def kinked(self, direction: Vector) -> bool:
        """Whether the function has a kink here in this direction and the gradient lies between the two slopes."""
        wide, narrow = (self._sides(direction, factor) for factor in (1.0, 1 / 30))
        allowed = self.central(direction).tolerance
        gaps = [abs(right - left) for left, right in (wide, narrow)]
        if not (gaps[0] > 10 * allowed and gaps[1] > 0.5 * gaps[0]):
            return False
        analytic = self.central(direction).analytic
        return min(wide) - allowed - 0.01 * gaps[0] <= analytic <= max(wide) + allowed + 0.01 * gaps[0]

    def _sides(self, direction: Vector, factor: float) -> tuple[float, float]:
        """The slopes on the two sides of the point."""
        step = self.precision.step * factor
        above, below = (self._at(self._rounded(self.point + sign * step * direction)) for sign in (1, -1))
        return (self.value - below) / step, (above - self.value) / step

    def measured_noise(self, direction: Vector) -> float:
        """The roughness of the function near the point: half the largest departure from a straight line."""
        distances = self.precision.step * 1e-3 * np.arange(-2, 3)
        values = [self._at(self._rounded(self.point + distance * direction)) for distance in distances]
        line = np.polyfit(distances, values, 1)
        return float(np.max(np.abs(np.polyval(line, distances) - values)))
