"""Holds TensorFlow's own counter of traces beside what was seen of them.

`tf.function` says of itself how many graphs it has (`experimental_get_tracing_count`). It can't be what counts: it is
one per object, nobody knows of functions that others made, and it misses traces that raise. But where it grows by other
than what was seen, what was seen is wrong. Called by `tracing.py`.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Held:
    """A graph that a tf.function has: the type and the context that it is looked up by."""

    function_type: Any
    context: Any


class PublicCounts:
    """How many graphs each tf.function had when it was first called, and how many were seen built since.

    A trace knows the captures of its function and not the function, so these stand for it.
    """

    def __init__(self) -> None:
        self._functions: weakref.WeakKeyDictionary[Any, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._apart: weakref.WeakKeyDictionary[Any, set[int]] = weakref.WeakKeyDictionary()

    def called(self, function: Any) -> None:
        """A tf.function is about to be called."""
        if function not in self._functions:
            self._functions[function] = self._now(function)

    def traced(self, options: Any, *, apart: bool) -> None:
        """A graph was built that its function is about to keep; `apart` for one of the plugin's own checks."""
        captures, cache = options.function_captures, options.function_cache
        if captures is None or cache is None:
            return
        self._seen[captures] = self._seen.get(captures, 0) + 1
        if apart:
            self._apart.setdefault(captures, set()).add(len(cache))

    def held(self, options: Any) -> list[Held]:
        """The graphs that a function has already, but for those of the plugin's own checks."""
        captures, cache = options.function_captures, options.function_cache
        if captures is None or cache is None:
            return []
        hidden = self._apart.get(captures, ())
        keys = [Held(function_type, context) for context, function_type in getattr(cache, "_primary", ())]
        found = keys or [Held(concrete.function_type, None) for concrete in cache.values()]
        return [one for number, one in enumerate(found) if number not in hidden]

    def start(self) -> dict[Any, tuple[int, int]]:
        """Where the counters stand now, for `difference`."""
        return {weakref.ref(function): self._now(function) for function in list(self._functions)}

    def difference(self, start: Any) -> str | None:
        """How the public counters grew otherwise than what was seen; None where they did not."""
        for function, first in list(self._functions.items()):
            public, seen = self._now(function)
            before, seen_before = start.get(weakref.ref(function), first)
            if public - before != seen - seen_before:
                return (
                    f"{function.name}.experimental_get_tracing_count() grew by {public - before}, but "
                    f"{seen - seen_before} builds of it were seen"
                )
        return None

    def _now(self, function: Any) -> tuple[int, int]:
        return function.experimental_get_tracing_count(), self._seen.get(function._function_captures, 0)
