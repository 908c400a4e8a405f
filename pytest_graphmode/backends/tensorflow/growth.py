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

from pytest_graphmode.backends.patching import patched
from pytest_graphmode.backends.tensorflow.graph_nodes import measured
from pytest_graphmode.backends.tensorflow.internals import SUPPORTED, session
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


class Depth(threading.local):
    """In how many blocks of a kind this thread is."""

    depth = 0

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


class Growth:
    """What is known of one graph: which operations are the plugin's, and what each session has seen.

    Runs in `own_runs` are the plugin's too: they neither count nor hide what the user added.
    """

    def __init__(self) -> None:
        self._seen: weakref.WeakKeyDictionary[Any, tuple[int, int]] = weakref.WeakKeyDictionary()
        self.lines: tuple[str, ...] = ()
        self.sessions = 0
        self._owned: set[int] = set()
        self.own_runs = Depth()

    def own_operations(self, start: int, stop: int) -> None:
        self._owned.update(range(start, stop))

    def added(self, graph: tf.Graph, session: Any) -> tuple[list[Any], int | None]:
        """The user's operations that the session's runs have not had yet, and how many operations they had.

        The new ones count as had from now on. The number is None before the first run.
        """
        version, before = self._seen.get(session, (None, None))
        if version == graph.version:
            return [], before
        self.sessions += before is None
        operations, start = graph.get_operations(), before or 0
        self._seen[session] = (graph.version, len(operations))
        mine = [operation for index, operation in enumerate(operations[start:], start) if index not in self._owned]
        return mine, before


def growth_of(graph: tf.Graph) -> Growth:
    """The record of a graph, made on first use; the graph itself keeps it."""
    if not hasattr(graph, _KEPT):
        setattr(graph, _KEPT, Growth())
    growth: Growth = getattr(graph, _KEPT)
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
        def wrap(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def extend(extended: Any) -> Any:
                growth = growth_of(extended.graph)
                if not growth.own_runs.depth:
                    added, before = growth.added(extended.graph, extended)
                    if added:
                        sink.build(_build(extended, growth, added, before, sink))
                    sink.call("tf", "session")
                return original(extended)

            return extend

        return patched(SUPPORTED, (session.BaseSession, "_extend_graph", wrap, ("self",)))


def _build(session: Any, growth: Growth, added: list[Any], before: int | None, sink: Sink) -> BuildReport:
    lines = Counter(line for operation in added if (line := _user_line(operation)) is not None)
    growth.lines = growth.lines or tuple(lines) or ("?:0",)
    file, _, number = growth.lines[0].rpartition(":")
    kinds = tuple(sorted(growth.lines))  # graphs that the same lines made are one function, however often
    cause = _anew(growth) if before is None else _grown(lines, before, before + len(added))
    report = BuildReport(
        backend="tf",
        mode="session",
        identity=Identity("session.run", file, int(number), kinds=kinds, owner=token(session), library=True),
        call_site=call_site(),
        causes=(cause,),
        complete=True,
    )
    return measured(report, session.graph, sink, added)


def _anew(growth: Growth) -> Cause:
    """Why a session's first run is a build although the same lines had made a graph before."""
    what = "the same graph was given to a new session" if growth.sessions > 1 else "the same lines built a new graph"
    return Cause("new-function-object", what, hint=_ONCE)


def _grown(lines: Counter[str], before: int, after: int) -> Cause:
    named = [f"{place(*line.rsplit(':', 1))} (+{count})" for line, count in lines.most_common(_NAMED_LINES)]
    more = f" and {len(lines) - _NAMED_LINES} more lines" if len(lines) > _NAMED_LINES else ""
    where = f"operations were added at {', '.join(named)}{more}; " if named else ""
    return Cause("structure", "the session's graph", f"{before} operations", f"{after}", where + _HINT)


def _user_line(operation: Any) -> str | None:
    """`file:line` of the user's code that made an operation."""
    frames = (frame for frame in reversed(operation.traceback) if not is_library(frame.filename))
    return next((f"{frame.filename}:{frame.lineno}" for frame in frames), None)
