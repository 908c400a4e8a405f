"""Whether a graph built for some callbacks serves later calls: only where nothing that they read can have changed.

Used by `verbs.py` for verbs at top level, which nobody asked to be functions with values frozen in them.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from pytest_graphmode.identity import is_library

_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, np.generic)
_CONTAINERS: Final = (list, tuple, set, frozenset, dict)
_MOST_BYTES: Final = 10_000


class Snapshot:
    """What functions, and the functions they call by name, read besides their arguments.

    Snapshots compare equal where the same code reads the same values. They hold the objects they have seen, so that no
    other object gets the identity of one of them.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]], is_constant: Callable[[object], bool]) -> None:
        self._is_constant = is_constant
        self._seen: list[object] = []
        self._walking: set[int] = set()
        self.key: Hashable = None
        try:
            self.key = tuple([self._of(function) for function in functions])
        except _MayChangeError:
            self._seen.clear()

    @property
    def complete(self) -> bool:
        """Whether everything that the functions read is known; False where an object may have changed inside."""
        return self.key is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.complete and self.key == other.key

    __hash__ = None  # type: ignore[assignment]

    def _of(self, value: Any) -> Hashable:
        if isinstance(value, _PLAIN):
            return (type(value), repr(value))
        if isinstance(value, np.ndarray):  # a constant for some backends, and yet writable
            return _contents(value)
        if self._is_constant(value) or isinstance(value, (type, types.BuiltinFunctionType, np.ufunc)):
            return self._itself(value)
        if type(value) in _CONTAINERS:
            parts = value.items() if isinstance(value, dict) else value
            return (type(value), *[self._of(part) for part in parts])
        if isinstance(value, types.MethodType):
            return (self._of(value.__func__), self._of(value.__self__))
        if isinstance(value, functools.partial):
            return (self._of(value.func), self._of(value.args), self._of(value.keywords))
        if isinstance(value, types.ModuleType) and is_library(getattr(value, "__file__", None) or "<frozen"):
            return self._itself(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        raise _MayChangeError

    def _itself(self, value: object) -> Hashable:
        self._seen.append(value)
        return ("object", id(value))

    def _function(self, function: types.FunctionType) -> Hashable:
        if id(function) in self._walking or is_library(function.__code__.co_filename):
            return self._itself(function)
        self._walking.add(id(function))
        self._seen.append(function.__code__)
        read = (function.__defaults__, function.__kwdefaults__, *_cells(function), *_globals(function))
        return (id(function.__code__), *[self._of(value) for value in read])


class _MayChangeError(Exception):
    """An object whose state may change without notice."""


def _contents(array: np.ndarray[Any, Any]) -> Hashable:
    if array.nbytes > _MOST_BYTES or array.dtype == object:
        raise _MayChangeError
    return (array.dtype.str, array.shape, array.tobytes())


def _cells(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # the name is not bound yet
            yield cell.cell_contents


def _globals(function: types.FunctionType) -> Iterator[Any]:
    """The globals that a function names; attributes by such a name count too, which does no harm."""
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
