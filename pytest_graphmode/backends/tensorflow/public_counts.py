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


class _Seen:
    """How many builds of one function were seen."""

    __slots__ = ("builds",)

    def __init__(self) -> None:
        self.builds = 0


class _Record:
    """A function that was called: its counter when its last call ended, which outlives it, and what was seen of it."""

    __slots__ = ("function", "name", "public", "seen")

    def __init__(self, function: Any, seen: _Seen) -> None:
        self.function = weakref.ref(function)
        self.name = function.name
        self.seen = seen
        self.public: int = function.experimental_get_tracing_count()

    @property
    def counts(self) -> tuple[int, int]:
        return self.public, self.seen.builds


class PublicCounts:
    """How many graphs each tf.function had when it was first called, and how many were seen built since.

    A trace knows the captures of its function and not the function, so these stand for it.
    """

    def __init__(self) -> None:
        self._by_function: weakref.WeakKeyDictionary[Any, _Record] = weakref.WeakKeyDictionary()
        self._records: dict[_Record, tuple[int, int]] = {}  # with the counts at the first call
        self._seen: weakref.WeakKeyDictionary[Any, _Seen] = weakref.WeakKeyDictionary()
        self._apart: weakref.WeakKeyDictionary[Any, set[int]] = weakref.WeakKeyDictionary()

    def calling(self, function: Any) -> _Record:
        """A tf.function is about to be called; `called` is told when the call ended."""
        record = self._by_function.get(function)
        if record is None:
            record = _Record(function, self._seen.setdefault(function._function_captures, _Seen()))
            self._by_function[function] = record
            self._records[record] = record.counts
        return record

    def called(self, record: _Record, function: Any) -> None:
        record.public = function.experimental_get_tracing_count()

    def traced(self, options: Any, *, apart: bool) -> None:
        """A graph was built that its function is about to keep; `apart` for one of the plugin's own checks."""
        captures, cache = options.function_captures, options.function_cache
        if captures is None or cache is None:
            return
        self._seen.setdefault(captures, _Seen()).builds += 1
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

    def start(self) -> dict[_Record, tuple[int, int]]:
        """Where the counters stand now, for `difference`; functions that are gone are forgotten."""
        for record in list(self._records):
            if record.function() is None:
                del self._records[record]
        return {record: self._now(record) for record in list(self._records)}

    def difference(self, start: Any) -> str | None:
        """How the public counters grew otherwise than what was seen; None where they did not."""
        for record, first in list(self._records.items()):
            public, seen = self._now(record)
            before, seen_before = start.get(record, first)
            if public - before != seen - seen_before:
                return (
                    f"{record.name}.experimental_get_tracing_count() grew by {public - before}, but "
                    f"{seen - seen_before} builds of it were seen"
                )
        return None

    def _now(self, record: _Record) -> tuple[int, int]:
        function = record.function()
        if function is not None:
            self.called(record, function)
        return record.counts
