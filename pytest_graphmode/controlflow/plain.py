"""Plain Python runs of a user's function: over NumPy values, or where it can't, over the framework's, eagerly.

The reference that `check.py` and `frozen.py` hold a graph against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode import calls

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend, Mode
    from pytest_graphmode.handle import Handle


World = tuple["Backend", "Mode"]


def numpy_world() -> World:
    from pytest_graphmode.backends.numpy import NumPy

    backend = NumPy()
    return backend, backend.mode("eager", "cpu")


def native_worlds(handle: Handle) -> Sequence[World]:
    """The variant's own framework, running Python as it is; the best first where there are several ways."""
    backend, mode = handle._framework, handle._mode
    if not mode.static:
        return [(backend, mode)]
    return [(backend, plain) for plain in mode.plain_modes(backend.mode("eager", handle.device))]


@contextmanager
def running_plainly(handle: Handle, world: World) -> Iterator[None]:
    """In the block the handle is that of plain Python, and nothing that runs counts as a call of the test's.

    NumPy warns of what frameworks compute in silence, such as a division by zero; so here it doesn't.
    """
    backend, mode = world
    scope = nullcontext() if mode is handle._mode else mode.scope()
    with scope, calls.uncounted(), handle.running_as(backend, mode), np.errstate(all="ignore"):
        yield


def run_plainly(handle: Handle, worlds: Sequence[World], run: Callable[[Mode], Any]) -> tuple[World, Any]:
    """The first of the worlds in which `run(mode)` works, and what it returns.

    A function may hold operations of its framework that take no NumPy arrays, say; only the last world's errors are
    the function's own.
    """
    for world in worlds[:-1]:
        with suppress(Exception), running_plainly(handle, world):
            return world, run(world[1])
    with running_plainly(handle, worlds[-1]):
        return worlds[-1], run(worlds[-1][1])
