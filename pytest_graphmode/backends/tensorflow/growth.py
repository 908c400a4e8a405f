"""TensorFlow 1 sessions under watch: a run on a graph that grew since the session's last run is a build.

Every run of a session passes `BaseSession._extend_graph`, which hands new operations to the runtime. `GrowthSource`
looks there for operations that the user's code added; the session mode marks its own with `owned`.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import tensorflow as tf
from tensorflow.python.client import session as session_module

from pytest_graphmode.backends.tensorflow import graph_nodes
from pytest_graphmode.backends.tensorflow.patching import patched
from pytest_graphmode.ledger.identity import Identity, call_site, is_library, place, token
from pytest_graphmode.ledger.ledger import BuildReport, Cause
from pytest_graphmode.ledger.watcher import Sink

_HINT: Final = (
    "build the graph once before the loop and feed values through placeholders; "
    "graph.finalize() makes TensorFlow refuse new operations"
)
_ONCE: Final = "make the graph and its session once, before the loop, and feed values through placeholders"
_NAMED_LINES: Final = 3
_KEPT: Final = "_graphmode_growth"


class _OwnRun(threading.local):
    depth = 0


class Growth:
    """What is known of one graph: which operations are the plugin's, and what each session has seen."""

    def __init__(self) -> None:
        self._seen: weakref.WeakKeyDictionary[Any, tuple[int, int]] = weakref.WeakKeyDictionary()
        self.lines: tuple[str, ...] = ()
        self.sessions = 0
        self._owned: list[range] = []
        self._own = _OwnRun()

    @property
    def own(self) -> bool:
        """Whether this thread is in a run of the plugin's own."""
        return self._own.depth > 0

    @contextmanager
    def own_run(self) -> Iterator[None]:
        """A run of the plugin's own in a block: it neither counts nor hides what the user added."""
        self._own.depth += 1
        try:
            yield
        finally:
            self._own.depth -= 1

    def own_operations(self, start: int, stop: int) -> None:
        if self._owned and self._owned[-1].stop == start:
            start = self._owned.pop().start
        self._owned.append(range(start, stop))

    def unchanged(self, graph: tf.Graph, session: Any) -> bool:
        """Whether the graph has nothing that the session's last run did not have."""
        return session in self._seen and self._seen[session][0] == graph.version

    def had(self, session: Any) -> int | None:
        """How many operations the session's last run had, None before the first."""
        return self._seen[session][1] if session in self._seen else None

    def added(self, graph: tf.Graph, session: Any) -> list[Any]:
        """The user's operations that the session's runs have not had yet; they count as had from now on."""
        start = self.had(session)
        self.sessions += start is None
        start = start or 0
        operations = graph.get_operations()
        self._seen[session] = (graph.version, len(operations))
        mine = [span for span in self._owned if span.stop > start]
        return [
            operation
            for index, operation in enumerate(operations[start:], start)
            if not any(index in span for span in mine)
        ]


def growth_of(graph: tf.Graph) -> Growth:
    """The record of a graph, made on first use; the graph itself keeps it."""
    growth: Growth | None = getattr(graph, _KEPT, None)
    if growth is None:
        growth = Growth()
        setattr(graph, _KEPT, growth)
    return growth


@contextmanager
def owned(graph: tf.Graph) -> Iterator[None]:
    """Operations added in the block are the plugin's, not the user's."""
    start = len(graph.get_operations())
    try:
        yield
    finally:
        growth_of(graph).own_operations(start, len(graph.get_operations()))


class GrowthSource:
    """Reports the builds of native TensorFlow 1 code; an `EventSource`."""

    def attach(self, sink: Sink) -> Callable[[], None]:
        # TensorFlow has no public event for a session that is extended; `run` and callables both pass here (2.16-2.21).
        def wrap(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def extend(session: Any) -> Any:
                _report(session, sink)
                return original(session)

            return extend

        return patched((session_module.BaseSession, "_extend_graph", wrap, ("self",)))


def _report(session: Any, sink: Sink) -> None:
    growth = growth_of(session.graph)
    if growth.own:
        return
    sink.call("tf", "session")
    if growth.unchanged(session.graph, session):
        return
    before = growth.had(session)
    added = growth.added(session.graph, session)
    if added:
        sink.build(_build(session, growth, added, before))


def _build(session: Any, growth: Growth, added: list[Any], before: int | None) -> BuildReport:
    lines = Counter(line for operation in added if (line := _user_line(operation)) is not None)
    growth.lines = growth.lines or tuple(lines) or ("?:0",)
    file, _, number = growth.lines[0].rpartition(":")
    nodes, control_flow, operations = graph_nodes.count(session.graph, added)
    cause = _anew(growth) if before is None else _grown(lines, before, before + len(added))
    return BuildReport(
        backend="tf",
        mode="session",
        # Graphs that the same lines made are one function, however often they are made.
        identity=Identity(
            "session.run", file, int(number), kinds=tuple(sorted(growth.lines)), owner=token(session), library=True
        ),
        nodes=nodes,
        call_site=call_site(),
        control_flow=control_flow,
        operations=operations,
        causes=(cause,),
        complete=True,
    )


def _anew(growth: Growth) -> Cause:
    """Why a session's first run is a build although the same lines had made a graph before."""
    what = "the same graph was given to a new session" if growth.sessions > 1 else "the same lines built a new graph"
    return Cause("new-function-object", what, hint=_ONCE)


def _grown(lines: Counter[str], before: int, after: int) -> Cause:
    named = [f"{_short(line)} (+{count})" for line, count in lines.most_common(_NAMED_LINES)]
    more = f" and {len(lines) - _NAMED_LINES} more lines" if len(lines) > _NAMED_LINES else ""
    where = f"operations were added at {', '.join(named)}{more}; " if named else ""
    return Cause("structure", "the session's graph", f"{before} operations", f"{after}", where + _HINT)


def _short(line: str) -> str:
    path, _, number = line.rpartition(":")
    return place(path, number)


def _user_line(operation: Any) -> str | None:
    """`file:line` of the user's code that made an operation."""
    for frame in reversed(operation.traceback):
        if not is_library(frame.filename):
            return f"{frame.filename}:{frame.lineno}"
    return None
