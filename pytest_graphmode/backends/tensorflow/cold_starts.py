"""Lets a test that asserts counts start without the graphs that its functions had before, as Dynamo's and JAX's do.

TensorFlow has no list of all tf.functions, and many are traced while nobody watches. So none is emptied when the test
begins, but each when the test uses it first. What somebody holds by itself, a ConcreteFunction or the graph of another
function that calls this one, stays. So do variables: a function that created some is traced once then, and not twice.
Called by `tracing.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class ColdStarts:
    """The functions that were used since the test began, by their captures: they are what a trace knows of them."""

    def __init__(self) -> None:
        self._used: weakref.WeakSet[Any] | None = None

    def begin(self) -> None:
        """From now on each function loses, when it is used first, the graphs that it has."""
        self._used = weakref.WeakSet()

    def end(self) -> None:
        """Functions keep what they have."""
        self._used = None

    def emptying(self, find: Callable[..., Any], emptied: Callable[[Any, int], None]) -> Callable[..., Any]:
        """Around the step that looks a graph up or makes one, under the function's own lock; `emptied` is told of the
        captures of each function that lost graphs, and how many.
        """

        def finding(args: Any, kwargs: Any, tracing_options: Any) -> Any:
            __tracebackhide__ = True
            captures, cache = tracing_options.function_captures, tracing_options.function_cache
            used = self._used
            if used is not None and captures is not None and cache is not None and captures not in used:
                used.add(captures)
                if len(cache):
                    emptied(captures, len(cache))
                    cache.clear()
            return find(args, kwargs, tracing_options)

        return finding
