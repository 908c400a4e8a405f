"""Whether a function's code needs its framework's own values: what it reads, and what it calls by name.

Called by `plain.py`, which runs a function on NumPy's values otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.checks.statements import function_of, wrapped_by
from pytest_graphmode.ledger.places import is_library

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest


def framework_of(handle: Runtime) -> Callable[[object], bool]:
    """Tells whether an object belongs to the framework of a variant."""
    return _Framework(handle)


class _Framework:
    """Whether an object belongs to the variant's framework, by the packages that its class comes from."""

    def __init__(self, handle: Runtime) -> None:
        name = getattr(handle.backend.lib, "__name__", "")
        self._packages = {name.partition(".")[0], "keras", "tf_keras"} - {"numpy"}
        self._is_tensor = handle.mode.is_tensor

    def __call__(self, value: object) -> bool:
        if isinstance(value, (np.ndarray, np.generic)):
            return False
        homes = [value.__name__] if isinstance(value, ModuleType) else [getattr(value, "__module__", None) or ""]
        homes += [cls.__module__ for cls in type(value).__mro__]
        return any(str(home).partition(".")[0] in self._packages for home in homes) or self._is_tensor(value)


def uses(fn: Any, wanted: Callable[[object], bool], seen: set[int] | None = None) -> bool:
    """Whether a function is, reads, or calls by name something wanted; the handle's `lib` and `pick` lead to it."""
    seen = set() if seen is None else seen
    if id(fn) in seen:
        return False
    seen.add(id(fn))
    function, _ = function_of(fn)
    if function is None:
        return wanted(fn)
    if function is not fn and wanted(getattr(fn, "__self__", fn)) and not _decorates(fn):
        return True
    used = set(_names(function.__code__))
    if used & {"lib", "pick"}:
        return True
    values = [function.__globals__[name] for name in used if name in function.__globals__] + list(_cells(function))
    return any(wanted(value) and not _decorates(value) for value in values) or any(
        uses(value, wanted, seen) for value in values if callable(value) and not isinstance(value, type)
    )


def _decorates(value: object) -> bool:
    """Whether an object of a framework is no more than the user's function, decorated."""
    function, _ = function_of(value)
    return wrapped_by(value) is not None and function is not None and not is_library(function.__code__.co_filename)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _cells(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # the name is not bound yet
            yield cell.cell_contents
