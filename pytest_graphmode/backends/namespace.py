"""`graphmode.xp`: NumPy-named functions on a backend's tensors, the same for every backend.

The functions are written once, in `pytest_graphmode.backends.xp`, on autoray's translation of the backend and the
gaps that the backend's own `namespace` module fills. Values, shapes and dtypes are NumPy's: arguments are promoted by
NumPy's rules, Python scalars are weak as in NumPy 2, and tensors made from floats have the variant's default dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_graphmode.backends.xp.linalg import Linalg
from pytest_graphmode.backends.xp.statistics import Statistics


class Namespace(Statistics):
    """NumPy's functions for one variant; a backend names its library, its tensors and dtypes and its gaps."""

    def __init__(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> None:
        """Keep how to make a tensor (from a NumPy array and a dtype name) and how to ask the default dtype's name."""
        super().__init__(place, dtype)
        self.linalg = Linalg(self)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"graphmode.xp has no {name!r}: it holds NumPy-named functions that every backend has; "
            f"use graphmode.lib for the framework's own functions or graphmode.pick for one implementation each",
            name=name,
            obj=self,
        )
