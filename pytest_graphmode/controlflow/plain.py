"""Plain Python runs of a user's function: over NumPy values, or where it can't, over the framework's, eagerly.

The reference that `check.py` and `frozen.py` hold a graph against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode import calls

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend, Mode
    from pytest_graphmode.handle import Handle


def numpy_world() -> tuple[Backend, Mode]:
    from pytest_graphmode.backends.numpy import NumPy

    backend = NumPy()
    return backend, backend.mode("eager", "cpu")


def eager_world(handle: Handle) -> tuple[Backend, Mode]:
    """The variant's own framework, running Python as it is."""
    backend, mode = handle._framework, handle._mode
    return backend, backend.mode("eager", handle.device) if mode.static else mode


@contextmanager
def running_plainly(handle: Handle, backend: Backend, mode: Mode) -> Iterator[None]:
    """In the block the handle is that of plain Python, and nothing that runs counts as a call of the test's.

    NumPy warns of what frameworks compute in silence, such as a division by zero; so here it doesn't.
    """
    with calls.uncounted(), handle.running_as(backend, mode), np.errstate(all="ignore"):
        yield


def run_plainly(handle: Handle, run: Callable[[Mode], Any]) -> Any:
    """What `run(mode)` returns over NumPy, or where that raises, over the variant's framework run eagerly.

    The function may hold operations of the framework that take no NumPy arrays, or take them for something else; only
    the second run's errors are the function's own.
    """
    try:
        backend, mode = numpy_world()
        with running_plainly(handle, backend, mode):
            return run(mode)
    except Exception:
        backend, mode = eager_world(handle)
        with running_plainly(handle, backend, mode):
            return run(mode)
