"""One order of a check: a gradient, two directions, and what is done when one of them disagrees."""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np

from pytest_graphmode.checks.gradients import directions, messages
from pytest_graphmode.checks.gradients.arguments import Arguments, Leaf, Vector
from pytest_graphmode.checks.gradients.messages import Setting
from pytest_graphmode.checks.gradients.mismatch import LARGER_STEPS, agrees, coarse, measure
from pytest_graphmode.checks.gradients.program import Program
from pytest_graphmode.checks.gradients.search import Search
from pytest_graphmode.checks.gradients.slopes import Estimate, Slopes

__tracebackhide__ = True  # in failures, the user's frames are of interest

_LEAST: Final = 1e4
"""What a leaf contributes at least, in units of rounding, to be told from it and to be shrunk for."""


class LowPrecisionError(Exception):
    """The function computes in a lower precision than that of the check; the message says how that was seen."""


class Level:
    """The comparison of one order: first the gradient of the function, then that of a slope."""

    def __init__(
        self, program: Program, arguments: Arguments, setting: Setting, rng: np.random.Generator, last_resort: bool
    ) -> None:
        self._program = program
        self._arguments = arguments
        self._setting = setting
        self._rng = rng
        self._last_resort = last_resort
        self._level = setting.level

    def failure(self) -> str | None:
        """What is wrong with this order, None if nothing is.

        Raises:
            LowPrecisionError: the function computes in less than the precision of the check.
        """
        value, grads = self._program.gradient(self._level, self._arguments.point)
        self._require_precision()
        return self._obvious(value, grads) or self._compared(
            self._slopes(value, _joined(self._arguments.leaves, grads))
        )

    def _slopes(self, value: float, gradient: Vector) -> Slopes:
        return Slopes(
            functools.partial(self._program.value, self._level),
            self._arguments.rounded,
            self._arguments.point,
            value,
            gradient,
            self._setting.precision,
        )

    def _compared(self, slopes: Slopes) -> str | None:
        """The comparison along two directions."""
        least = _LEAST * slopes.noise(slopes.precision.step)
        pair = directions.pair(self._rng, self._arguments.leaves, slopes.point, slopes.gradient, least)
        if self._level + 1 < self._program.order:
            self._prepare_next(slopes.gradient, least)
        estimates = [slopes.central(direction) for direction in pair]
        for direction, first in zip(pair, estimates, strict=True):
            if not (first.agrees and first.sensitive):
                text = self._mismatch(slopes, direction, first)
                if text is not None:
                    return text
        return None

    def _prepare_next(self, gradient: Vector, least: float) -> None:
        """Choose the direction of the slope whose gradient is the second derivative."""
        leaves, point = self._arguments.leaves, self._arguments.point
        along = directions.scaled(directions.signed(self._rng, point.size), leaves, point)
        self._program.along(directions.balanced(along, leaves, gradient, least))

    def _require_precision(self) -> None:
        found = self._program.projection.dtypes - {"float64", "complex128"}
        if found and not self._last_resort:
            raise LowPrecisionError(f"it returns {', '.join(sorted(found))} for float64 arguments")

    def _obvious(self, value: float, grads: list[Vector | None]) -> str | None:
        """What can be told without a difference: values that are not finite, gradients of None."""
        if not math.isfinite(value):
            return messages.not_finite(self._setting, value)
        for leaf, grad in zip(self._arguments.leaves, grads, strict=True):
            if grad is None and leaf.size and self._level == 0:
                text = self._no_path(leaf, value)
                if text is not None:
                    return text
            if grad is not None and not np.isfinite(grad).all():
                coordinate = int(np.flatnonzero(~np.isfinite(grad))[0])
                return messages.gradient_not_finite(
                    self._setting, self._arguments, leaf, leaf.span.start + coordinate, float(grad[coordinate])
                )
        return None

    def _no_path(self, leaf: Leaf, value: float) -> str | None:
        """A gradient of None: the function ignores the argument, or the path from it is cut.

        A model may have weights that it does not use for these arguments; those that the test names it must.
        """
        direction = np.zeros_like(self._arguments.point)
        direction[leaf.span] = directions.signed(self._rng, leaf.size)
        direction = directions.scaled(direction, self._arguments.leaves, self._arguments.point)
        first = self._slopes(value, np.zeros_like(direction)).central(direction)
        if first.agrees and leaf.is_variable and self._arguments.name(leaf) not in self._setting.named:
            return None
        return messages.no_path(self._setting, self._arguments, leaf, None if first.agrees else first.numeric)

    def _mismatch(self, slopes: Slopes, direction: Vector, first: Estimate) -> str | None:
        """What a direction that the first step did not settle turns out to be; None if the gradient is right."""
        by_element = self._arguments.relative_sizes
        values = [slopes.value, *(slopes.at(direction, 0.0) for _ in range(3))]
        if (max(values) - min(values)) / first.step > 0.1 * first.error:
            return messages.not_deterministic(self._setting, values)
        if agrees(slopes, direction, by_element, first):
            return None
        if first.agrees:  # by its rounding only: a longer step is what told that it does not
            slopes = slopes.with_steps(LARGER_STEPS[1])
        elif measure(slopes, direction) and agrees(slopes, direction, by_element):
            return None
        if coarse(slopes, slopes.of_arguments(direction, first.left, first.right)) and not self._last_resort:
            raise LowPrecisionError("it computes in less than float64 inside")
        search = Search(slopes, self._arguments.leaves, direction, by_element)
        fault = search.fault()
        if fault is not None:
            return messages.wrong(self._setting, self._arguments, fault, slopes)
        return None if search.excused else messages.too_rough(self._setting, slopes, first)


def _joined(leaves: list[Leaf], grads: list[Vector | None]) -> Vector:
    """The gradient of all leaves; where there is no path it is zero."""
    return np.concatenate(
        [np.zeros(leaf.size) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True)]
    )
