"""Plain Python runs of a user's function: over NumPy values, or where it can't, over the framework's, eagerly.

The reference that `control_flow.py` and `frozen.py` hold a graph against.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.backends import calls
from pytest_graphmode.checks.statements import function_of, values_read, wrapped_by
from pytest_graphmode.ledger.closure import nested
from pytest_graphmode.ledger.places import is_library

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend, Mode
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

World = tuple["Backend", "Mode"]


def native_worlds(runtime: Runtime) -> Sequence[World]:
    """The variant's own framework, running Python as it is; the best first where there are several ways."""
    backend, mode = runtime.backend, runtime.mode
    if not mode.static:
        return [(backend, mode)]
    return [(backend, plain) for plain in mode.plain_modes(backend.mode("eager", runtime.variant.device))]


def worlds_for(runtime: Runtime, fn: Callable[..., Any]) -> Sequence[World]:
    """Where `fn` can run: NumPy's world first, unless its code names the framework, whose functions take no arrays."""
    from pytest_graphmode.backends.numpy import NumPy
    from pytest_graphmode.backends.xp.arrays import Arrays

    packages = {getattr(runtime.backend.lib, "__name__", "").partition(".")[0], "keras", "tf_keras"} - {"numpy"}

    def of_framework(value: object) -> bool:
        if isinstance(value, (np.ndarray, np.generic)):
            return False
        if isinstance(value, Arrays):  # graphmode.xp, taken out of the handle before
            return True
        homes = [value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)]
        homes += [cls.__module__ for cls in type(value).__mro__]
        return any(str(home).partition(".")[0] in packages for home in homes) or runtime.mode.is_tensor(value)

    native, numpy = native_worlds(runtime), NumPy()
    of_handle = ("lib", "pick")
    return native if uses(fn, of_framework, of_handle) else [(numpy, numpy.mode("eager", "cpu")), *native]


def uses(fn: Any, wanted: Callable[[object], bool], names: Collection[str] = (), seen: set[int] | None = None) -> bool:
    """Whether a function is, reads, or calls by name something wanted, or names one of these attributes."""
    seen = set() if seen is None else seen
    if id(fn) in seen:
        return False
    seen.add(id(fn))
    function, _ = function_of(fn)
    if function is None:
        return wanted(fn)
    if function is not fn and wanted(getattr(fn, "__self__", fn)) and not _decorates(fn):
        return True
    if any(name in code.co_names for code in nested(function.__code__) for name in names):
        return True
    values = list(values_read(function).values())
    return any(wanted(value) and not _decorates(value) for value in values) or any(
        uses(value, wanted, names, seen) for value in values if callable(value) and not isinstance(value, type)
    )


def _decorates(value: object) -> bool:
    """Whether an object of a framework is no more than the user's function, decorated."""
    function, _ = function_of(value)
    return wrapped_by(value) is not None and function is not None and not is_library(function.__code__.co_filename)


def run_plainly(runtime: Runtime, worlds: Sequence[World], run: Callable[[Mode], Any]) -> tuple[World, Any]:
    """The first of the worlds in which `run(mode)` works, and what it returns.

    A function may hold operations of its framework that take no NumPy arrays, say, though none was seen in its code;
    errors that it raises by itself are its own in any world.
    """
    world, *others = worlds
    try:
        with _running_in(world, runtime):
            return world, run(world[1])
    except Exception as error:
        if not others or _of_the_user(error):
            raise
    return run_plainly(runtime, others, run)


@contextmanager
def _running_in(world: World, runtime: Runtime) -> Iterator[None]:
    """In the block the runtime is that of plain Python, and nothing that runs counts as a call of the test's.

    What the code decorates with the framework's own compiler is plain Python too. NumPy warns of what frameworks
    compute in silence, such as a division by zero; so here it doesn't.
    """
    backend, mode = world
    scope = nullcontext() if mode is runtime.mode else mode.scope()
    plainly = runtime.mode.undecorated()
    with scope, plainly, calls.uncounted(), runtime.running_as(backend, mode), np.errstate(all="ignore"):
        yield


def _of_the_user(error: Exception) -> bool:
    """Whether user code raised an error by itself, rather than a framework, or Python, over a value's type."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or is_library(trace.tb_frame.f_code.co_filename):
        return False
    if isinstance(error, (ArithmeticError, AssertionError, LookupError)):
        return True
    raised = trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and not isinstance(error, (TypeError, NotImplementedError))
