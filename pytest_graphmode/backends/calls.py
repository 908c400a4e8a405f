"""The wrappers around a call of `graphmode.function`: argument conversion and the counting of eager graphs.

They stand in the path of every call, so they do as little as they can: a type look-up for each argument, two reads
of a counter.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import get_ident
from time import perf_counter
from typing import Any, Final

import numpy as np

from pytest_graphmode.backends.base import Mode
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.ledger.tally import EagerCounter

__tracebackhide__ = True

_CONTAINERS = (dict, list, tuple, np.ndarray, np.generic)


class _Conversion:
    """Arguments with their NumPy leaves converted; `plain` are the types found to have none, not looked at again."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self._convert = convert
        self.plain: set[type] = {bool, int, float, complex, str, type(None)}

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind in self.plain:
            return value
        made = self._convert(value)
        if made is value and not isinstance(value, _CONTAINERS):
            self.plain.add(kind)
        return made


def converting(run: Callable[..., Any], convert: Callable[[Any], Any]) -> Callable[..., Any]:
    """`run` with the NumPy leaves of its arguments converted."""
    converted = _Conversion(convert)
    plain = converted.plain

    @functools.wraps(run)
    def call(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            if type(arg) not in plain:
                args = tuple([converted(arg) for arg in args])
                break
        if kwargs:
            kwargs = {name: converted(value) for name, value in kwargs.items()}
            return run(*args, **kwargs)
        return run(*args)

    return call


CALL: Final = "an eager call"
CHECK: Final = "a check"
FRAMEWORK: Final = "a framework's own work"

within: Final[dict[int, str]] = {}
"""What the code of a thread is a part of, by the thread's number; nothing where it is a part of none of these.

A `CALL` is counted whole, the calls in a `CHECK` are none of the test's, and `FRAMEWORK` work is counted as one: a
module's outermost call, an export. A thread has one entry, that of the outermost of them, but for checks. It is read in
every eager call, and so no `threading.local`, which takes three times as long.
"""


def here() -> str | None:
    """What the caller is a part of."""
    return within.get(get_ident())


def inside_function() -> bool:
    """Whether the caller is part of an eager call, of the test's or of a check's."""
    return here() in (CALL, CHECK)


@contextmanager
def being(part: str) -> Iterator[None]:
    """The block is this, and no part of what is around it."""
    thread, around = get_ident(), here()
    within[thread] = part
    try:
        yield
    finally:
        if around is None:
            del within[thread]
        else:
            within[thread] = around


def uncounted(applies: bool = True) -> AbstractContextManager[None]:
    """Eager calls in the block are a check's own and no calls of the test's; nothing where it does not apply."""
    return being(CHECK) if applies else nullcontext()


def _no_drawing(outputs: Any) -> None:
    return None


def _not_compiling() -> bool:
    return False


def counted(
    run: Callable[..., Any], counter: EagerCounter, mode: Mode, recorder: Recorder, convert: Callable[[Any], Any]
) -> Callable[..., Any]:
    """`run` as `converting` makes it, each outermost call that recorded an autograd node counted as a build.

    It does what it must in the fewest steps, which all show in the time of an eager call. The counts need no lock:
    CPython gives no other thread a turn between reading a number and writing it back.
    """
    nodes, compiling = mode.recorded_nodes, getattr(mode, "compiling", _not_compiling)
    draw = getattr(mode, "recorded_drawing", _no_drawing)
    converted, tally = _Conversion(convert), counter.tally
    plain = converted.plain

    @functools.wraps(run)
    def call(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            if type(arg) not in plain:
                args = tuple([converted(arg) for arg in args])
                break
        if kwargs:
            kwargs = {name: converted(value) for name, value in kwargs.items()}
        thread = None if compiling() else get_ident()  # no :=, which AutoGraph can't convert in a tf.function
        if thread is None or thread in within:
            return run(*args, **kwargs)
        within[thread] = CALL
        before = nodes()
        try:
            result = run(*args, **kwargs) if kwargs else run(*args)
        finally:
            del within[thread]
        recorded = nodes() - before
        key = recorded and ((recorder.structures and mode.fingerprint(result)) or recorded)
        if key in tally:
            tally[key] += 1
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
