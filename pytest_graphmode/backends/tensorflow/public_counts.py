"""Holds TensorFlow's own counter of traces beside what was seen of them.

`tf.function` says of itself how many graphs it has (`experimental_get_tracing_count`). It can't be what counts: it is
one per object, nobody knows of functions that others made, and it misses traces that raise. But where it grows by other
than what was seen, what was seen is wrong. Called by `tracing.py`.
"""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any


class Record:
    """A tf.function that was called: its own counter, which outlives it, and how many builds of it were seen."""

    def __init__(self, function: Any, seen: Counter[str]) -> None:
        self.function = weakref.ref(function)
        self.name = function.name
        self._seen = seen
        self._public = 0
        self.first = self.now()

    def now(self) -> tuple[int, int]:
        """TensorFlow's count, as it was last known of a function that is gone, and ours."""
        function = self.function()
        if function is not None:
            self._public = function.experimental_get_tracing_count()
        return self._public, self._seen["builds"]


class PublicCounts:
    """How many graphs each tf.function had when it was first called, and how many were seen built since.

    A trace knows the captures of its function and not the function, so these stand for it.
    """

    def __init__(self) -> None:
        self._by_function: weakref.WeakKeyDictionary[Any, Record] = weakref.WeakKeyDictionary()
        self._records: set[Record] = set()
        self._seen: weakref.WeakKeyDictionary[Any, Counter[str]] = weakref.WeakKeyDictionary()
        self._apart: weakref.WeakKeyDictionary[Any, set[int]] = weakref.WeakKeyDictionary()

    def calling(self, function: Any) -> Record:
        """A tf.function is about to be called; `Record.now` is to be asked when the call ended."""
        record = self._by_function.get(function)
        if record is None:
            record = Record(function, self._seen.setdefault(function._function_captures, Counter()))
            self._by_function[function] = record
            self._records.add(record)
        return record

    def traced(self, options: Any, *, apart: bool) -> None:
        """A graph was built that its function is about to keep; `apart` for one of the plugin's own checks."""
        captures, cache = options.function_captures, options.function_cache
        if captures is not None and cache is not None:
            self._seen.setdefault(captures, Counter())["builds"] += 1
            if apart:
                self._apart.setdefault(captures, set()).add(len(cache))

    def emptied(self, captures: Any, graphs: int) -> None:
        """A function is about to lose all graphs that it has."""
        self._seen.setdefault(captures, Counter())["builds"] -= graphs
        self._apart.pop(captures, None)

    def held(self, options: Any) -> list[tuple[Any, Any]]:
        """The context and type of each graph that a function has, but for those of the plugin's own checks."""
        captures, cache = options.function_captures, options.function_cache
        if captures is None or cache is None:
            return []
        hidden = self._apart.get(captures, ())
        return [key for number, key in enumerate(cache._primary) if number not in hidden]

    def start(self) -> dict[Record, tuple[int, int]]:
        """Where the counters stand now, for `difference`; functions that are gone are forgotten."""
        self._records = {record for record in self._records if record.function() is not None}
        return {record: record.now() for record in self._records}

    def difference(self, start: Any) -> str | None:
        """How the public counters grew otherwise than what was seen; None where they did not."""
        for record in list(self._records):
            grown, seen = (now - then for now, then in zip(record.now(), start.get(record, record.first), strict=True))
            if grown != seen:
                return (
                    f"{record.name}.experimental_get_tracing_count() grew by {grown}, but {seen} builds of it were seen"
                )
        return None
