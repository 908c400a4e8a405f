"""The check itself: which dtype, which orders, and one failure for whatever goes wrong."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.backends import calls
from pytest_graphmode.backends.names import complex_of, real_of
from pytest_graphmode.checks.gradients import search
from pytest_graphmode.checks.gradients.differences import (
    Differences,
    Estimate,
    balanced,
    pair,
    precision_of,
    scaled,
    signed,
)
from pytest_graphmode.checks.gradients.leaves import Leaves, Part, Vector
from pytest_graphmode.checks.gradients.messages import Wording
from pytest_graphmode.checks.gradients.program import DifferentiatedProgram, NothingToDifferentiateError
from pytest_graphmode.errors import PrecisionWarning, UnsupportedCheckError, UnsupportedError
from pytest_graphmode.ledger.watcher import watcher

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

_BESIDE: Final = 1e-3
"""How far a point beside a kink is from it, relative to each element: far beyond a step, and still the same place."""


def check_grads(
    runtime: Runtime,
    fn: Callable[..., Any],
    *args: Any,
    variables: Any = None,
    order: int = 1,
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    float64: bool = False,
) -> None:
    """What `Handle.check_grads` does, and documents."""
    __tracebackhide__ = True
    runtime.require_function("graphmode.check_grads", fn)
    _require_legal(order, rtol, atol, eps)
    with watcher.paused(), calls.uncounted(not runtime.mode.static):
        leaves = Leaves(runtime, fn, args, variables)
        wording = Wording(fn, str(runtime.variant), leaves, precision_of("float64", rtol, atol, eps))
        note = ""
        with leaves.kept():
            try:
                failure = _failure(runtime, wording, order)
            except _NotInFloat64Error as error:
                wording = replace(wording, note=str(error))
                if float64:
                    failure = AssertionError(wording.not_in_float64())
                else:
                    wording = replace(wording, precision=precision_of(real_of(runtime.variant.dtype), rtol, atol, eps))
                    failure, note = _failure(runtime, wording, order), wording.fell_back()
    if failure is not None:
        raise failure
    if note:
        warnings.warn(note, PrecisionWarning, stacklevel=3)  # at the line of the test


def _require_legal(order: int, rtol: float | None, atol: float | None, eps: float | None) -> None:
    if type(order) is not int or order not in (1, 2):
        raise ValueError(f"check_grads: order must be 1 or 2, not {order!r}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"check_grads: {name} must be a number from 0 up, not {value!r}")
    if eps is not None and not 0 < eps < 1:
        raise ValueError(f"check_grads: eps must be a step between 0 and 1, relative to each argument, not {eps!r}")


class _NotInFloat64Error(Exception):
    """The function can't be checked in float64; the message says why."""


def _failure(runtime: Runtime, wording: Wording, order: int) -> AssertionError | None:
    """What is wrong, None if nothing is; raises `_NotInFloat64Error` where a lower dtype is to be tried."""
    last_resort = wording.precision.dtype == real_of(runtime.variant.dtype)
    with ExitStack() as in_dtype:
        try:
            _enter_dtype(in_dtype, runtime, wording, last_resort)
        except UnsupportedError as error:
            if last_resort:
                raise
            raise _NotInFloat64Error(str(error)) from None
        try:
            text = wording.no_leaf() or _GradientCheck(runtime, wording, order, last_resort).failure()
            return AssertionError(text) if text else None
        except UnsupportedError as error:
            return UnsupportedCheckError(wording.unsupported(str(error)))
        except NothingToDifferentiateError as error:
            return AssertionError(wording.no_output(str(error)))
        except _NotInFloat64Error:
            raise
        except Exception as error:
            if last_resort:
                raise
            raise _NotInFloat64Error(f"in float64 it raised {_summary(error)}") from None


def _enter_dtype(block: ExitStack, runtime: Runtime, wording: Wording, last_resort: bool) -> None:
    """Have the runtime and the variables in the dtype of the check; these stay as they are in the variant's own."""
    dtype, of_variant = wording.precision.dtype, runtime.variant.dtype
    block.enter_context(runtime.using_dtype(dtype if of_variant == real_of(of_variant) else complex_of(dtype)))
    if not last_resort:
        block.enter_context(wording.leaves.in_dtype(dtype))


def _summary(error: Exception) -> str:
    """An exception in one line; of those that AutoGraph writes anew the original one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = lines[-1] if lines[0] == "in user code:" else f"{type(error).__name__}: {lines[0]}"
    return text if len(text) <= 200 else text[:197] + "..."


class _GradientCheck:
    """One check of a function in one dtype: a gradient of each order, first of the function, then of a slope."""

    def __init__(self, runtime: Runtime, wording: Wording, order: int, last_resort: bool) -> None:
        self._leaves = wording.leaves
        self._parts = wording.leaves.parts
        self._wordings = [replace(wording, level=level) for level in range(order)] if order > 1 else [wording]
        self._rng = runtime.rng_of_checks
        self._last_resort = last_resort
        self._program = DifferentiatedProgram(runtime, wording.fn, self._leaves, order, self._rng)

    def failure(self) -> str | None:
        """What is wrong with the first order that is, None if nothing is."""
        for wording in self._wordings:
            value, grads = self._program.gradient(wording.level, self._leaves.point)
            self._require_precision()
            text = self._obvious(wording, value, grads)
            text = text or self._compared(wording, self._differences(wording, self._leaves.point, value, grads))
            if text is not None:
                return text
        return None

    def _require_precision(self) -> None:
        found = self._program.projection.dtypes - {"float64", "complex128"}
        if found and not self._last_resort:
            raise _NotInFloat64Error(f"it returns {', '.join(sorted(found))} for float64 arguments")

    def _obvious(self, wording: Wording, value: float, grads: list[Vector | None]) -> str | None:
        """What can be told without a difference: values that are not finite, gradients of None."""
        if not math.isfinite(value):
            return wording.not_finite(value)
        for part, grad in zip(self._parts, grads, strict=True):
            if grad is None and part.size and wording.level == 0:
                text = self._no_path(wording, part, value)
                if text is not None:
                    return text
            if grad is not None and not np.isfinite(grad).all():
                place = int(np.flatnonzero(~np.isfinite(grad))[0])
                return wording.gradient_not_finite(part, part.span.start + place, float(grad[place]))
        return None

    def _no_path(self, wording: Wording, part: Part, value: float) -> str | None:
        """A gradient of None: the function ignores the argument, or the path from it is cut.

        A model may have weights that it does not use for these arguments; those that the test names it must.
        """
        direction = np.zeros_like(self._leaves.point)
        direction[part.span] = signed(self._rng, part.size)
        direction = scaled(direction, self._parts, self._leaves.point)
        first = self._differences(wording, self._leaves.point, value, [None] * len(self._parts)).along(direction)
        if first.agrees and part.is_variable and self._leaves.name(part) not in self._leaves.named:
            return None
        return wording.no_path(part, None if first.agrees else first.numeric)

    def _differences(self, wording: Wording, point: Vector, value: float, grads: list[Vector | None]) -> Differences:
        """Differences with the gradient of all leaves; where there is no path it is zero."""
        joined = [np.zeros(p.size) if grad is None else grad for p, grad in zip(self._parts, grads, strict=True)]
        evaluate = functools.partial(self._program.value, wording.level)
        return Differences(evaluate, self._leaves.rounded, point, value, np.concatenate(joined), wording.precision)

    def _compared(self, wording: Wording, differences: Differences, *, beside: bool = False) -> str | None:
        """The comparison along two directions; `beside` a kink that was met before."""
        directions = pair(self._rng, self._parts, differences)
        if wording.level + 1 < len(self._wordings) and not beside:
            along = scaled(signed(self._rng, differences.point.size), self._parts, differences.point)
            self._program.along(balanced(along, self._parts, differences))
        for direction, first in [(direction, differences.along(direction)) for direction in directions]:
            text = None if first.settles else self._mismatch(wording, differences, direction, first, beside=beside)
            if text is not None:
                return text
        return None

    def _mismatch(
        self, wording: Wording, differences: Differences, direction: Vector, first: Estimate, *, beside: bool
    ) -> str | None:
        """What a direction that the first step did not settle turns out to be; None if the gradient is right."""
        values = [differences.value, *(differences.evaluate(differences.point) for _ in range(3))]
        if (max(values) - min(values)) / first.step > 0.1 * first.error:
            return wording.not_deterministic(values)
        suspect = search.suspect(differences, direction, first, self._leaves.relative_sizes)
        if suspect is None:
            return None
        if suspect.coarse and not self._last_resort:
            raise _NotInFloat64Error("it computes in less than float64 inside")
        if suspect.excused and not (beside and suspect.jumps):
            return None if beside else self._beside(wording)
        return wording.wrong(search.fault(differences, self._parts, suspect), differences)

    def _beside(self, wording: Wording) -> str | None:
        """What is wrong at a point beside a kink, which hides errors in other elements."""
        away = scaled(signed(self._rng, self._leaves.point.size), self._parts, self._leaves.point)
        point = self._leaves.point + _BESIDE * away * self._leaves.relative_sizes
        value, grads = self._program.gradient(wording.level, point)
        if not math.isfinite(value) or not all(grad is None or np.isfinite(grad).all() for grad in grads):
            return None  # the kink is at the edge of the function's domain
        return self._compared(wording, self._differences(wording, point, value, grads), beside=True)
