"""What was built, called, broken and why: the plain records that event sources fill and every report reads.

`watcher.py` writes into a `GraphLedger`; `budget.py`, the handle and the reports read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from pytest_graphmode.arguments import Argument, root_of, tensor_argument, value_argument
from pytest_graphmode.identity import Identity
from pytest_graphmode.tally import EagerCounter, Window

__all__ = [
    "CAUSE_KINDS",
    "Argument",
    "BuildReport",
    "Cause",
    "CauseKind",
    "Condition",
    "Fallback",
    "GraphBreak",
    "GraphBuild",
    "GraphLedger",
    "root_of",
    "tensor_argument",
    "value_argument",
]

CauseKind = Literal[
    "shape",
    "dtype",
    "rank",
    "python-value",
    "structure",
    "new-function-object",
    "variable-creation",
    "grad-mode",
    "device",
    "train-eval",
    "layout",
    "global-state",
    "cache-reset",
    "guard",
    "fallback",
]
CAUSE_KINDS: Final[tuple[str, ...]] = get_args(CauseKind)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a graph was built again: what changed, from what to what, and what to do about it."""

    kind: str
    argument: str = ""
    before: str = ""
    after: str = ""
    hint: str = ""
    type_name: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.hint}" if self.hint else self.what

    @property
    def what(self) -> str:
        """The change without its hint: `x changed shape [32, 3] -> [7, 3]`."""
        if self.kind in _TOLD:
            return _TOLD[self.kind] + (f" (the earlier one {self.before})" if self.before else "")
        change = f"changed {self.before} -> {self.after}"
        if self.kind == "python-value":
            if self.before == self.after:
                change = f"changed to another one that also reads {self.after}"
            return f"{self.argument} is a Python {self.type_name} that {change}"
        if self.kind in _OF_TENSORS and self.argument:
            return f"{self.argument} changed {self.kind} {self.before} -> {self.after}"
        subject = self.argument or self.kind
        return f"{subject} {change}" if self.before or self.after else subject


_OF_TENSORS: Final = ("shape", "dtype", "rank", "device", "layout", "structure")
_TOLD: Final[Mapping[str, str]] = {
    "new-function-object": "the same code was wrapped again, in a new function object without the graphs of the last",
    "variable-creation": "the first trace created variables, so the function was traced again without creating them",
    "cache-reset": "nothing it depends on changed, but the graph built before was not there",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a framework looks graphs up by besides the arguments: a device, a scope, a switch.

    `kind` is the kind of the cause that a change of it is.
    """

    kind: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class BuildReport:
    """One build as an event source saw it, before it is compared with earlier ones.

    `causes` holds what only the framework can know (a failed guard, variable creation); `considered` the names
    of the arguments that can cause a rebuild, None for all; `hints` a text by cause kind, in which
    `{argument}` stands for the argument's name. `internal` marks a framework's own machinery, `resumed` the rest of
    a function after a graph break. `conditions` are compared like arguments, and not shown.
    """

    backend: str
    mode: str
    identity: Identity
    arguments: tuple[Argument, ...] = ()
    nodes: int = 0
    seconds: float = 0.0
    call_site: str | None = None
    control_flow: Mapping[str, int] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    considered: frozenset[str] | None = None
    hints: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False
    internal: bool = False
    structure: str | None = None
    conditions: tuple[Condition, ...] = ()
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class GraphBuild:
    """One construction of a graph. `causes` is empty for the first build of a function in the test.

    `seconds` is wall-clock time of the build without the builds nested in it, which have their own. `nodes` is the
    number of operations of the graph and of all that it calls or loops over, each once (for a TensorFlow 1 session:
    added since the last run; for eager modes: the autograd nodes recorded). `control_flow` counts the `while`,
    `cond`, `scan` and `switch` operations among them. `number` counts the builds of one function, whose events have
    the same `group`.
    """

    function: str
    location: str
    backend: str
    mode: str
    group: int
    number: int
    arguments: tuple[Argument, ...] = ()
    nodes: int = 0
    seconds: float = 0.0
    call_site: str | None = None
    control_flow: Mapping[str, int] = field(default_factory=dict, hash=False)
    causes: tuple[Cause, ...] = ()
    failed: bool = False
    internal: bool = False
    recorded: bool = False
    structure: str | None = None
    resumed: bool = False

    @property
    def cause(self) -> Cause | None:
        """The first of `causes`."""
        return self.causes[0] if self.causes else None

    @property
    def rebuild(self) -> bool:
        """Whether this counts as a rebuild: not a first build, not TensorFlow's second trace for variables, and not
        the rest of a function after a graph break, which is built again because the function was.
        """
        again = self.number > 1 and not self.resumed
        return again and not any(cause.kind == "variable-creation" for cause in self.causes)

    @property
    def signature(self) -> str:
        """`x: float32[32, 3], training: True`."""
        return ", ".join(f"{argument.name}: {argument.text}" for argument in self.arguments)


@dataclass(frozen=True)
class GraphBreak:
    """A place where Dynamo ended one graph and began another: `where` is the user's line."""

    backend: str
    mode: str
    function: str
    where: str
    reason: str


@dataclass(frozen=True)
class Fallback:
    """A function that a framework silently gave up building graphs for, and runs eagerly since."""

    backend: str
    mode: str
    function: str
    location: str
    reason: str


class GraphLedger:
    """The record of a test or of a `watch` block; it grows while it watches and keeps its contents afterwards.

    Counts leave out the framework's own machinery, which is in `internal`. Eager modes add to the counts
    through counters, and have an event only for each new structure.
    """

    def __init__(self) -> None:
        self._events: list[GraphBuild] = []
        self._internal: list[GraphBuild] = []
        self._breaks: list[GraphBreak] = []
        self._fallbacks: list[Fallback] = []
        self._calls: dict[tuple[str, str], int] = {}
        self._windows: list[Window] = []

    # What event sources write, through `watcher.Recorder`.

    def add_build(self, build: GraphBuild) -> None:
        (self._internal if build.internal else self._events).append(build)

    def add_break(self, graph_break: GraphBreak) -> None:
        if graph_break not in self._breaks:
            self._breaks.append(graph_break)

    def add_fallback(self, fallback: Fallback) -> None:
        self._fallbacks.append(fallback)

    def add_call(self, key: tuple[str, str]) -> None:
        try:
            self._calls[key] += 1  # without a call in between, so that no other thread comes in between either
        except KeyError:
            self._calls.setdefault(key, 0)
            self._calls[key] += 1

    def add_counter(self, counter: EagerCounter) -> None:
        self._windows.append(Window.opened(counter))

    def clear(self) -> None:
        """Forget everything: the test proper begins."""
        for entries in (self._events, self._internal, self._breaks, self._fallbacks, self._windows):
            entries.clear()
        self._calls.clear()

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
    def graph_builds(self) -> int:
        """How many of the builds were of such a graph, and not recorded by autograd."""
        return sum(not event.recorded for event in self._events)

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
        static = {(e.group, e.structure or e.number) for e in self._events if not e.recorded}
        return len(static) + sum(len(window.since) for window in self._windows)

    def select(self, backend: str | None = None, mode: str | None = None) -> GraphLedger:
        """A ledger of what one backend, or one mode of it, did."""
        return self.part(lambda known, its: backend in (None, known) and mode in (None, its))

    def part(self, wanted: Callable[[str, str], bool]) -> GraphLedger:
        """A ledger of what those backends and modes did for which `wanted(backend, mode)` holds."""

        def kept(entry: GraphBuild | GraphBreak | Fallback | EagerCounter) -> bool:
            return wanted(entry.backend, entry.mode)

        part = GraphLedger()
        part._events = list(filter(kept, self._events))
        part._internal = list(filter(kept, self._internal))
        part._breaks = list(filter(kept, self._breaks))
        part._fallbacks = list(filter(kept, self._fallbacks))
        part._windows = [window for window in self._windows if kept(window.counter)]
        part._calls = {key: count for key, count in self._calls.items() if wanted(*key)}
        return part

    def with_internal(self) -> GraphLedger:
        """A ledger in which the framework's own machinery counts like the user's code."""
        whole = self.part(lambda backend, mode: True)
        whole._events += [replace(build, internal=False) for build in whole._internal]
        whole._internal = []
        return whole

    def built(self, group: int) -> int:
        """How often one function (the `group` of its events) was built."""
        static = sum(event.group == group and not event.recorded for event in self._events)
        return static + sum(window.built for window in self._windows if window.counter.group == group)

    @property
    def backends(self) -> tuple[tuple[str, str], ...]:
        """The `(backend, mode)` pairs that appear in the ledger, in the order of their first appearance."""
        pairs = [(event.backend, event.mode) for event in self._events]
        pairs += [(window.counter.backend, window.counter.mode) for window in self._windows]
        pairs += [(graph_break.backend, graph_break.mode) for graph_break in self._breaks]
        pairs += [(fallback.backend, fallback.mode) for fallback in self._fallbacks]
        return tuple(dict.fromkeys([*pairs, *self._calls]))

    def explain(self) -> str:
        """Every function with its builds, what caused each, and the hint; the text of a failing assertion too."""
        from pytest_graphmode.explain import explain

        return explain(self)
