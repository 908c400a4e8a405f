"""The check itself: which dtype, which orders, and one failure for whatever goes wrong."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_graphmode.backends import calls
from pytest_graphmode.checks.gradients import messages
from pytest_graphmode.checks.gradients.arguments import Arguments
from pytest_graphmode.checks.gradients.level import Level, LowPrecisionError
from pytest_graphmode.checks.gradients.messages import Setting
from pytest_graphmode.checks.gradients.program import NothingToDifferentiateError, Program
from pytest_graphmode.checks.gradients.slopes import precision_of
from pytest_graphmode.checks.gradients.variables import Variables, variables_of
from pytest_graphmode.errors import PrecisionWarning, UnsupportedCheckError, UnsupportedError
from pytest_graphmode.ledger.watcher import watcher

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest


def check_grads(
    handle: Runtime,
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
    handle.require_function("graphmode.check_grads", fn)
    _require_legal(order, rtol, atol, eps)
    with watcher.paused(), calls.uncounted(not handle.mode.static):
        found = variables_of(handle, fn, args, variables)
        with found.kept():
            failure, note = _failure(handle, fn, args, found, order, (rtol, atol, eps), float64)
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


def _failure(
    handle: Runtime,
    fn: Callable[..., Any],
    args: Sequence[Any],
    variables: Variables,
    order: int,
    wanted: tuple[float | None, float | None, float | None],
    float64: bool,
) -> tuple[AssertionError | None, str]:
    """What is wrong, found in float64 or else in the variant's dtype, and why it was not float64."""
    setting = Setting(fn, str(handle.variant), precision_of("float64", *wanted), named=variables.named)
    try:
        return _Check(handle, setting, args, variables, order).failure(), ""
    except _NotInFloat64Error as error:
        reason = str(error)
    if float64:
        return AssertionError(messages.not_in_float64(setting, reason)), ""
    dtype = handle.variant.dtype
    setting = replace(setting, precision=precision_of(dtype, *wanted), note=reason)
    return _Check(handle, setting, args, variables, order).failure(), messages.fell_back(setting, reason)


class _NotInFloat64Error(Exception):
    """The function can't be checked in float64; the message says why."""


class _Check:
    """One check of a function in one dtype."""

    def __init__(
        self, handle: Runtime, setting: Setting, args: Sequence[Any], variables: Variables, order: int
    ) -> None:
        self._handle = handle
        self._setting = setting
        self._args = args
        self._variables = variables
        self._order = order
        self._rng = handle.rng_of_checks

    @property
    def _last_resort(self) -> bool:
        """Whether there is no lower dtype to go to."""
        return self._setting.precision.dtype == self._handle.variant.dtype

    def failure(self) -> AssertionError | None:
        """What is wrong, None if nothing is; raises `_NotInFloat64Error` where a lower dtype is to be tried."""
        with ExitStack() as stack:
            self._enter_dtype(stack)
            try:
                return self._run()
            except UnsupportedError as error:
                text = self._setting.text(f"the {self._setting.subject} can't be checked", str(error))
                return UnsupportedCheckError(text)
            except NothingToDifferentiateError as error:
                return AssertionError(messages.no_output(self._setting, str(error)))
            except LowPrecisionError as error:
                raise _NotInFloat64Error(str(error)) from None
            except Exception as error:
                if self._last_resort:
                    raise
                raise _NotInFloat64Error(f"in float64 it raised {_summary(error)}") from None

    def _enter_dtype(self, stack: ExitStack) -> None:
        try:
            stack.enter_context(self._handle.using_dtype(self._setting.precision.dtype))
            if not self._last_resort:
                stack.enter_context(self._variables.in_dtype(self._setting.precision.dtype))
        except UnsupportedError as error:
            if self._last_resort:
                raise
            raise _NotInFloat64Error(str(error)) from None

    def _run(self) -> AssertionError | None:
        arguments = Arguments(self._handle, self._setting.fn, self._args, self._variables.by_name)
        if not arguments.point.size:
            return AssertionError(messages.no_leaf(self._setting, self._args))
        program = Program(self._handle, self._setting.fn, arguments, self._order, self._rng)
        for level in range(self._order):
            setting = replace(self._setting, level=level) if level else self._setting
            text = Level(program, arguments, setting, self._rng, self._last_resort).failure()
            if text is not None:
                return AssertionError(text)
        return None


def _summary(error: Exception) -> str:
    """An exception in one line; of those that AutoGraph writes anew the original one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = lines[-1] if lines[0] == "in user code:" else f"{type(error).__name__}: {lines[0]}"
    return text if len(text) <= 200 else text[:197] + "..."
