"""The wrappers around a call of `graphmode.function`: argument conversion and the counting of eager graphs.

They stand in the path of every call, so they do as little as they can: a type look-up for each argument, two reads
of a counter.
"""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

import numpy as np

from pytest_graphmode.backends.base import Mode
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.ledger.tally import EagerCounter

__tracebackhide__ = True

_CONTAINERS = (dict, list, tuple, np.ndarray, np.generic)


def converting(run: Callable[..., Any], convert: Callable[[Any], Any]) -> Callable[..., Any]:
    """`run` with the NumPy leaves of its arguments converted; a type found to have none is not looked at again."""
    plain: set[type] = {bool, int, float, complex, str, type(None)}

    def is_plain(value: Any) -> bool:
        return not isinstance(value, _CONTAINERS) and convert(value) is value

    def converted(value: Any) -> Any:
        if is_plain(value):
            plain.add(type(value))
            return value
        return convert(value)

    @functools.wraps(run)
    def call(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            if type(arg) not in plain:
                args = tuple([arg if type(arg) in plain else converted(arg) for arg in args])
                break
        if kwargs:
            kwargs = {name: converted(value) for name, value in kwargs.items()}
            return run(*args, **kwargs)
        return run(*args)

    return call


CALL: Final = "an eager call"
CHECK: Final = "a check"
FRAMEWORK: Final = "a framework's own work"


class _Here(threading.local):
    """What this thread's code is a part of, None for nothing.

    A `CALL` is counted whole, the calls in a `CHECK` are none of the test's, and `FRAMEWORK` work is counted as one: a
    module's outermost call, an export.

    One slot, since it is read in every eager call; the outermost of them has it, but for checks.
    """

    within: str | None = None


here = _Here()


def inside_function() -> bool:
    """Whether the caller is part of an eager call, of the test's or of a check's."""
    return here.within in (CALL, CHECK)


@contextmanager
def uncounted(applies: bool = True) -> Iterator[None]:
    """Eager calls in the block are a check's own and no calls of the test's; nothing where it does not apply."""
    kept = here.within
    here.within = CHECK if applies else kept
    try:
        yield
    finally:
        here.within = kept


def _no_drawing(outputs: Any) -> None:
    return None


def _not_compiling() -> bool:
    return False


def counted(run: Callable[..., Any], counter: EagerCounter, mode: Mode, recorder: Recorder) -> Callable[..., Any]:
    """`run` with each outermost call that recorded an autograd node counted as a build.

    The counts need no lock: CPython gives no other thread a turn between reading a number and writing it back.
    """
    nodes, compiling = mode.recorded_nodes, getattr(mode, "compiling", _not_compiling)
    draw = getattr(mode, "recorded_drawing", _no_drawing)
    structures = counter.structures

    @functools.wraps(run)
    def call(*args: Any, **kwargs: Any) -> Any:
        if compiling() or here.within is not None:
            return run(*args, **kwargs)
        here.within = CALL
        before = nodes()
        try:
            result = run(*args, **kwargs)
        finally:
            here.within = None
        counter.calls += 1
        recorded = nodes() - before
        if recorded:
            key = (recorder.structures and mode.fingerprint(result)) or recorded
            if key in structures:
                structures[key] += 1
            else:
                recorder.recorded(counter, recorded, key, functools.partial(draw, result))
        return result

    return call


@functools.cache
def _beside(code: types.CodeType, other: types.CodeType | None) -> types.CodeType:
    """A copy of `code` for each `other`.

    Dynamo keeps graphs by code and allows eight for each. A wrapper that only reports have shares its code with no more
    functions than what it wraps does, so that no report changes what is compiled.
    """
    return code.replace()


def timed(
    run: Callable[..., Any], inside: Callable[[], bool], recorder: Recorder, wait: Callable[[Any], object]
) -> Callable[..., Any]:
    """`run` with the seconds of each outermost call kept; `wait` returns when a result is computed."""
    times, called = recorder.times, False
    if times is None or inside():  # in torch's trace of a function code can't be given to one: the graph would break
        return run

    @functools.wraps(run)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal called
        if inside():
            return run(*args, **kwargs)
        builds, building = recorder.built
        started = perf_counter()
        result = run(*args, **kwargs)
        wait(result)
        seconds = perf_counter() - started
        builds_now, building_now = recorder.built
        times.add(seconds - (building_now - building), first=not called or builds_now != builds)
        called = True
        return result

    call.__code__ = _beside(call.__code__, getattr(run, "__code__", None))  # type: ignore[attr-defined]
    return identity.subject(call, run)
