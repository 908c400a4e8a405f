"""A clock that `check_not_frozen` can stop and move, as code reads it through `time` and `datetime`."""

from __future__ import annotations

import datetime
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import CellType, FunctionType, ModuleType
from typing import Any, Final

from pytest_graphmode.ledger.identity import is_library

__tracebackhide__ = True  # in failures, the user's frames are of interest

_CLOCKS: Final = ("time", "monotonic", "perf_counter")
_TICK: Final = 1e-3


class Clock:
    """Every clock there is, `shift` seconds later.

    In the thread that called `stop` the clocks stand, except that each reading takes a millisecond: two runs of a
    function then read the same times, and a loop that waits for a deadline ends.
    """

    def __init__(self) -> None:
        self.shift = 0.0
        self._thread: int | None = None
        self._readings = 0

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The clocks of this thread stand, at the same time in every such block."""
        self._thread, self._readings = threading.get_ident(), 0
        try:
            yield
        finally:
            self._thread = None

    def reading(self, real: Callable[[], float]) -> Callable[[], float]:
        """A clock that reads like `real`."""
        start = real()

        def read() -> float:
            if threading.get_ident() != self._thread:
                return real() + self.shift
            self._readings += 1
            return start + self.shift + self._readings * _TICK

        return read

    @contextmanager
    def installed(self, fn: Callable[..., Any]) -> Iterator[None]:
        """In the block all code reads these clocks: as attributes of the modules, and by names of the user's own.

        A name like that of `from time import time` is looked for in the user's modules and in what `fn` closes over.
        """
        clocks = self._replacements()
        with ExitStack() as stack:
            for namespace in (vars(time), vars(datetime), *_namespaces(fn)):
                for name, value in list(namespace.items()):
                    if id(value) in clocks:
                        namespace[name] = clocks[id(value)]
                        stack.callback(namespace.__setitem__, name, value)
            for cell in list(_cells(fn)):  # before a clock put in one of them is itself looked through
                value = cell.cell_contents
                if id(value) in clocks:
                    cell.cell_contents = clocks[id(value)]
                    stack.callback(setattr, cell, "cell_contents", value)
            yield

    def _replacements(self) -> dict[int, Any]:
        """A clock for the id of each that it replaces; ids, since other values must not be compared with them."""
        replaced: dict[int, Any] = {}
        for name in _CLOCKS:
            seconds = self.reading(getattr(time, name))
            replaced[id(getattr(time, name))] = seconds
            replaced[id(getattr(time, f"{name}_ns"))] = _nanoseconds(seconds)
        now = replaced[id(time.time)]
        replaced[id(datetime.datetime)] = _datetime(now)
        replaced[id(datetime.date)] = _date(now)
        return replaced


def _nanoseconds(seconds: Callable[[], float]) -> Callable[[], int]:
    return lambda: int(seconds() * 1e9)


class _StandsFor(type):
    """A class in place of another, of which all its instances are."""

    stands_for: Any

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.stands_for)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.stands_for)


def _datetime(now: Callable[[], float]) -> type:
    class Datetime(datetime.datetime, metaclass=_StandsFor):
        stands_for = datetime.datetime

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return cls.stands_for(*args, **kwargs)

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return cls.stands_for.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.timezone.utc).replace(tzinfo=None)

    return Datetime


def _date(now: Callable[[], float]) -> type:
    class Date(datetime.date, metaclass=_StandsFor):
        stands_for = datetime.date

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return cls.stands_for(*args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return cls.stands_for.fromtimestamp(now())

    return Date


def _namespaces(fn: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """The globals of the user's modules, and of `fn`."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
        if isinstance(file, str) and not is_library(file):
            yield vars(module)
    for function in _functions(fn):
        yield function.__globals__


def _cells(fn: Callable[..., Any]) -> Iterator[CellType]:
    for function in _functions(fn):
        for cell in function.__closure__ or ():
            if _filled(cell):
                yield cell


def _functions(fn: Any, seen: set[int] | None = None) -> Iterator[FunctionType]:
    """`fn` and the functions it closes over, partials, methods and wrappers looked through."""
    seen = set() if seen is None else seen
    if id(fn) in seen:
        return
    seen.add(id(fn))
    for inner in (getattr(fn, name, None) for name in ("func", "__func__", "__wrapped__")):
        if callable(inner):
            yield from _functions(inner, seen)
    if isinstance(fn, FunctionType):
        yield fn
        for cell in fn.__closure__ or ():
            if _filled(cell) and callable(cell.cell_contents):
                yield from _functions(cell.cell_contents, seen)


def _filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - reading it is the question
    except ValueError:
        return False
    return True
