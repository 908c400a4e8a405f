"""Plain Python runs of a user's function: over NumPy values, or where it can't, over the framework's, eagerly.

The reference that `check.py` and `frozen.py` hold a graph against.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.backends import calls
from pytest_graphmode.checks.uses import framework_of, uses
from pytest_graphmode.ledger.places import is_library

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend, Mode
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest


World = tuple["Backend", "Mode"]


def numpy_world() -> World:
    from pytest_graphmode.backends.numpy import NumPy

    backend = NumPy()
    return backend, backend.mode("eager", "cpu")


def native_worlds(handle: Runtime) -> Sequence[World]:
    """The variant's own framework, running Python as it is; the best first where there are several ways."""
    backend, mode = handle.backend, handle.mode
    if not mode.static:
        return [(backend, mode)]
    return [(backend, plain) for plain in mode.plain_modes(backend.mode("eager", handle.variant.device))]


def worlds_for(handle: Runtime, fn: Callable[..., Any]) -> Sequence[World]:
    """Where `fn` can run: NumPy's world first, unless its code names the framework, whose functions take no arrays."""
    native = native_worlds(handle)
    return native if uses(fn, framework_of(handle)) else [numpy_world(), *native]


@contextmanager
def running_plainly(handle: Runtime, world: World) -> Iterator[None]:
    """In the block the handle is that of plain Python, and nothing that runs counts as a call of the test's.

    What the code decorates with the framework's own compiler is plain Python too. NumPy warns of what frameworks
    compute in silence, such as a division by zero; so here it doesn't.
    """
    backend, mode = world
    scope = nullcontext() if mode is handle.mode else mode.scope()
    plainly = handle.mode.undecorated()
    with scope, plainly, calls.uncounted(), handle.running_as(backend, mode), np.errstate(all="ignore"):
        yield


def run_plainly(handle: Runtime, worlds: Sequence[World], run: Callable[[Mode], Any]) -> tuple[World, Any]:
    """The first of the worlds in which `run(mode)` works, and what it returns.

    A function may hold operations of its framework that take no NumPy arrays, say, though none was seen in its code;
    errors that it raises by itself are its own in any world.
    """
    for world in worlds[:-1]:
        with suppress(_WrongWorldError), running_plainly(handle, world), _own_errors_raised():
            return world, run(world[1])
    with running_plainly(handle, worlds[-1]):
        return worlds[-1], run(worlds[-1][1])


class _WrongWorldError(Exception):
    """A function can't run on the values of a world."""


@contextmanager
def _own_errors_raised() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _of_the_user(error):
            raise
        raise _WrongWorldError from error


def _of_the_user(error: Exception) -> bool:
    """Whether user code raised an error by itself, rather than a framework, or Python, over a value's type."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    if is_library(code.co_filename):
        return False
    if isinstance(error, (ArithmeticError, AssertionError, LookupError)):
        return True
    raised = code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and not isinstance(error, (TypeError, NotImplementedError))
