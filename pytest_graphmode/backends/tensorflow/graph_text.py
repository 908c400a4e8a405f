"""TensorFlow's graphs as text, those of functions and of sessions. Used by `--graph-trace`.

TensorFlow's own dumps, `tf.summary.trace_export` and `tf.debugging.experimental.enable_dump_debug_info`, hold graphs
that were run, in binary files for TensorBoard, and slow every operation down; so these are written where they are made,
which `tracing.py` and `growth.py` look at too.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pytest_graphmode.backends.patching import patched
from pytest_graphmode.backends.tensorflow.internals import SUPPORTED, session, tracing_compilation

_LONGEST: Final = 60


class GraphText:
    """A `Tracer`: a file for each concrete function, in the order they were traced, and for each session's graph.

    It replaces functions of TensorFlow once, and writes while there is a folder: an event source that came later may
    have replaced them again, and hold on to these.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._written = 0
        self._sessions: weakref.WeakKeyDictionary[Any, tuple[str, int]] = weakref.WeakKeyDictionary()
        self._undo: Callable[[], None] | None = None

    def start(self, folder: Path) -> None:
        self._folder, self._written = folder, len(list(folder.glob("*.pbtxt")))
        self._sessions.clear()
        if self._undo is None:
            traced = ("function_type", "type_context", "func_graph", "tracing_options")
            self._undo = patched(
                SUPPORTED,
                (tracing_compilation, "_create_concrete_function", self._tracing, traced),
                (session.BaseSession, "_extend_graph", self._extending, ("self",)),
            )

    def stop(self) -> None:
        self._folder = None

    def end(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()

    def _tracing(self, trace: Callable[..., Any]) -> Callable[..., Any]:
        def tracing(*args: Any, **kwargs: Any) -> Any:
            concrete = trace(*args, **kwargs)
            if self._folder is not None:
                self._write(self._name(concrete.graph.name), concrete.graph)
            return concrete

        return tracing

    def _extending(self, extend: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def extending(extended: Any) -> Any:
            if self._folder is not None:
                graph = extended.graph
                name, version = self._sessions.get(graph) or (self._name("session"), -1)
                if graph.version != version:
                    self._write(name, graph)
                    self._sessions[graph] = name, graph.version
            return extend(extended)

        return extending

    def _name(self, graph: str) -> str:
        self._written += 1
        return f"{self._written:03d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', graph)[:_LONGEST]}.pbtxt"

    def _write(self, name: str, graph: Any) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_text(str(graph.as_graph_def()), encoding="utf-8")
