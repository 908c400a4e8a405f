"""What was built, called, broken and why, over a test or a block: what event sources fill and every report reads.

`recorder.py` writes into a `GraphLedger`; `budget.py`, the handle and the reports read it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pytest_graphmode.errors import SuggestsNames
from pytest_graphmode.ledger.arguments import Argument, root_of, tensor_argument, value_argument
from pytest_graphmode.ledger.builds import (
    AFTER_BREAK,
    CAUSE_KINDS,
    BuildReport,
    Cause,
    Condition,
    Fallback,
    GraphBreak,
    GraphBuild,
    is_function,
    is_within,
)
from pytest_graphmode.ledger.tally import EagerCounter, Window

__all__ = [
    "CAUSE_KINDS",
    "Argument",
    "BuildReport",
    "Cause",
    "Condition",
    "Fallback",
    "GraphBreak",
    "GraphBuild",
    "GraphLedger",
    "root_of",
    "tensor_argument",
    "value_argument",
]


class GraphLedger(SuggestsNames):
    """The record of a test or of a `watch` block; it grows while it watches and keeps its contents afterwards.

    Counts leave out the framework's own machinery, which is in `internal`. Eager modes add to the counts
    through counters, and have an event only for each new structure. `started` is when it began by `time.perf_counter`.
    """

    _called = "ledger"

    def __init__(self) -> None:
        self.clear()

    # What event sources write, through `recorder.Recorder`.

    def add_build(self, build: GraphBuild) -> None:
        (self._internal if build.internal else self._events).append(build)

    def add_break(self, graph_break: GraphBreak) -> None:
        if graph_break not in self._breaks:
            self._breaks.append(graph_break)

    def add_fallback(self, fallback: Fallback) -> None:
        self._fallbacks.append(fallback)

    def add_call(self, key: tuple[str, str, str]) -> None:
        try:
            self._calls[key] += 1  # without a call in between, so that no other thread comes in between either
        except KeyError:
            self._calls.setdefault(key, 0)
            self._calls[key] += 1

    def add_uncountable(self, key: tuple[str, str]) -> None:
        self._uncountable.add(key)

    def add_note(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)

    def add_hidden(self) -> None:
        self._hidden += 1

    def add_counter(self, counter: EagerCounter) -> None:
        self._windows.append(Window.opened(counter))

    def clear(self) -> None:
        """Forget everything: the test proper begins."""
        self._events: list[GraphBuild] = []
        self._internal: list[GraphBuild] = []
        self._breaks: list[GraphBreak] = []
        self._fallbacks: list[Fallback] = []
        self._calls: dict[tuple[str, str, str], int] = {}
        self._uncountable: set[tuple[str, str]] = set()
        self._windows: list[Window] = []
        self._notes: list[str] = []
        self._hidden = 0
        self.started = time.perf_counter()

    def close(self) -> None:
        """Stop following the eager counters, which may go on counting."""
        self._windows = [window.closed() for window in self._windows]

    # What tests and reports read.

    @property
    def events(self) -> tuple[GraphBuild, ...]:
        """The builds in the order they ended; one of each structure for eager modes."""
        return tuple(self._events)

    @property
    def internal(self) -> tuple[GraphBuild, ...]:
        """Builds of the framework's own machinery (tf.data, variable initialisers), which no count includes."""
        return tuple(self._internal)

    @property
    def graph_breaks(self) -> tuple[GraphBreak, ...]:
        """The distinct places where Dynamo broke a graph, with the reason."""
        return tuple(self._breaks)

    @property
    def fallback_reasons(self) -> tuple[Fallback, ...]:
        """The functions that a framework gave up building graphs for."""
        return tuple(self._fallbacks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong beside the code under test: a hook of a plugin that raised, say."""
        return tuple(self._notes)

    @property
    def hidden_graphs(self) -> int:
        """How many graphs the plugin's own checks built or called, which no count includes."""
        return self._hidden

    @property
    def uncountable_calls(self) -> frozenset[tuple[str, str]]:
        """The `(backend, mode)` pairs whose calls the framework does not tell of, so that `calls` lacks them."""
        return frozenset(self._uncountable)

    @property
    def builds(self) -> int:
        """How many graphs were traced, compiled or recorded."""
        return self.graph_builds + sum(window.built for window in self._windows)

    @property
    def rebuilds(self) -> int:
        """How many of the builds were of a function that had been built before in the same test."""
        static = sum(event.rebuild for event in self._events if not event.recorded)
        return static + sum(window.rebuilt for window in self._windows)

    @property
    def breaks(self) -> int:
        """How many distinct source lines broke a graph."""
        return len({graph_break.where for graph_break in self._breaks})

    @property
    def fallbacks(self) -> int:
        """How many functions fell back to eager execution."""
        return len(self._fallbacks)

    @property
    def calls(self) -> int:
        """How many calls of watched functions ran, with or without a build."""
        return self.graph_calls + sum(window.called for window in self._windows)

    @property
    def graph_calls(self) -> int:
        """How many of the calls were of a graph that is built once and run many times."""
        return sum(self._calls.values())

    @property
    def calls_by_function(self) -> dict[str, int]:
        """The calls by the names of functions, by `backend:mode` where none is known."""
        found = Counter[str]()
        for (backend, mode, function), count in list(self._calls.items()):
            found[function or f"{backend}:{mode}"] += count
        for window in self._windows:
            found[window.counter.function] += window.called
        return dict(found)

    @property
    def called_unbuilt(self) -> bool:
        """Whether a graph that was there before may have been called, with functions inside of it that nobody tells."""
        names = {event.function.removesuffix(AFTER_BREAK).rpartition(".")[2] for event in self._events}
        named = {function.rpartition(".")[2] for _, _, function in self._calls}
        return self.graph_calls > self.graph_builds if "" in named else not named <= names

    @property
    def functions_seen(self) -> tuple[str, ...]:
        """The functions that were built, called eagerly, broken or given up, each with its place."""
        seen = [(event.function, event.location) for event in self._events]
        counters = [window.counter for window in self._windows if window.called]
        seen += [(counter.function, counter.location) for counter in counters]
        seen += [(graph_break.function, graph_break.where) for graph_break in self._breaks]
        seen += [(fallback.function, fallback.location) for fallback in self._fallbacks]
        return tuple(f"{function} ({place})" for function, place in dict.fromkeys(seen))

    @property
    def graph_builds(self) -> int:
        """How many of the builds were of such a graph, and not recorded by autograd."""
        return sum(not event.recorded and not event.graphless for event in self._events)

    @property
    def nodes(self) -> int:
        """Operations in the graphs built; for eager modes the autograd nodes recorded."""
        static = sum(event.nodes for event in self._events if not event.recorded)
        return static + sum(window.nodes for window in self._windows)

    @property
    def seconds(self) -> float:
        """Seconds spent building graphs."""
        return sum(event.seconds for event in self._events)

    @property
    def structures(self) -> int:
        """How many different graphs there were: by fingerprint where kept, else by node count."""
        static = {(e.group, e.structure or e.number) for e in self._events if not (e.recorded or e.graphless)}
        return len(static) + sum(len(window.since) for window in self._windows)

    @property
    def recorded_modes(self) -> frozenset[tuple[str, str]]:
        """The `(backend, mode)` pairs that record a graph on every call."""
        return frozenset((window.counter.backend, window.counter.mode) for window in self._windows)

    def select(self, backend: str | None = None, mode: str | None = None) -> GraphLedger:
        """A ledger of what one backend, or one mode of it, did."""
        return self.part(lambda known, its: backend in (None, known) and mode in (None, its))

    def part(self, wanted: Callable[[str, str], bool]) -> GraphLedger:
        """A ledger of what those backends and modes did for which `wanted(backend, mode)` holds."""

        def kept(entry: GraphBuild | GraphBreak | Fallback | EagerCounter) -> bool:
            return wanted(entry.backend, entry.mode)

        part = self._filtered(kept)
        part._windows = [window for window in self._windows if kept(window.counter)]
        part._calls = {key: count for key, count in self._calls.items() if wanted(*key[:2])}
        return part

    def _filtered(self, kept: Callable[[Any], bool]) -> GraphLedger:
        """A ledger of some of the builds, breaks and fallbacks, with all calls and eager counters."""
        part = GraphLedger()
        part.started = self.started
        part._events = list(filter(kept, self._events))
        part._internal = list(filter(kept, self._internal))
        part._breaks = list(filter(kept, self._breaks))
        part._fallbacks = list(filter(kept, self._fallbacks))
        part._windows, part._calls = list(self._windows), dict(self._calls)
        part._uncountable, part._notes, part._hidden = set(self._uncountable), list(self._notes), self._hidden
        return part

    def static(self) -> GraphLedger:
        """A ledger without the graphs that autograd records: of those that are built once and run many times."""
        part = self._filtered(lambda entry: not getattr(entry, "recorded", False))
        part._windows = []
        return part

    def per_object(self) -> GraphLedger:
        """A ledger in which the first build in another object (another model of a class) is no rebuild."""
        whole = self._filtered(lambda entry: True)
        whole._events = [replace(build, again=build.rebuild and not build.new_object) for build in whole._events]
        return whole

    def within(self, package: str) -> GraphLedger:
        """A ledger of what happened in the code of one package, or module, of this dotted name."""
        return self._filtered(lambda entry: is_within(entry, package))

    def of_function(self, name: str) -> GraphLedger:
        """A ledger of one function, by its name or the last part of it."""
        part = self._filtered(lambda entry: is_function(entry.function, name))
        part._windows = [window for window in self._windows if is_function(window.counter.function, name)]
        return part

    def without_breaks_outside(self, packages: Sequence[str]) -> GraphLedger:
        """A ledger of all but the graph breaks in code that is in none of these packages."""
        whole = self._filtered(lambda entry: True)
        whole._breaks = [one for one in self._breaks if any(is_within(one, package) for package in packages)]
        return whole

    def with_internal(self) -> GraphLedger:
        """A ledger in which the framework's own machinery counts like the user's code."""
        whole = self.part(lambda backend, mode: True)
        whole._events += [replace(build, internal=False) for build in whole._internal]
        whole._internal = []
        return whole

    def built(self, group: int) -> int:
        """How often one function (the `group` of its events) was built."""
        static = sum(event.group == group and not (event.recorded or event.graphless) for event in self._events)
        return static + sum(window.built for window in self._windows if window.counter.group == group)

    @property
    def backends(self) -> tuple[tuple[str, str], ...]:
        """The `(backend, mode)` pairs that appear in the ledger, in the order of their first appearance."""
        pairs = [(event.backend, event.mode) for event in self._events]
        pairs += [(window.counter.backend, window.counter.mode) for window in self._windows]
        pairs += [(graph_break.backend, graph_break.mode) for graph_break in self._breaks]
        pairs += [(fallback.backend, fallback.mode) for fallback in self._fallbacks]
        return tuple(dict.fromkeys([*pairs, *(key[:2] for key in self._calls)]))

    def explain(self) -> str:
        """Every function with its builds, what caused each, and the hint; the text of a failing assertion too."""
        from pytest_graphmode.ledger.explain import explain

        return explain(self)
