"""The plugin's side of `toylib`: the backend `toy`, over NumPy, and the event source that sees what `jit` builds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_graphmode import BackendSpec, SourceSpec
from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.numpy import NumPy, NumPyEager
from pytest_graphmode.ledger.drawing import Drawing, GraphNode
from pytest_graphmode.ledger.identity import of
from pytest_graphmode.ledger.ledger import BuildReport, value_argument
from pytest_graphmode.ledger.watcher import Sink

SPEC = BackendSpec(
    name="toy",
    modes=("graph", "eager"),
    default_mode="graph",
    module="toylib",
    distributions=("toylib",),
    target="toybackend:Toy",
    sources=(SourceSpec(("toylib",), "toybackend:ToySource"),),
    tracer="toybackend:ToyTracer",
)
ABSENT = BackendSpec(
    name="absent",
    modes=("eager",),
    default_mode="eager",
    module="no_such_framework",
    distributions=("no-such-framework",),
    target="toybackend:Toy",
)


class Graph(NumPyEager):
    name = "graph"
    static = True

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        import toylib

        made: Callable[..., Any] = toylib.jit(fn)
        return made


class Toy(NumPy):
    name = "toy"

    def devices(self) -> Sequence[str]:
        return ("cpu", "gpu:0")

    def mode(self, name: str, device: str) -> Mode:
        return {"graph": Graph, "eager": NumPyEager}[name]()


def _drawn(function: Callable[..., Any], value: Any) -> Drawing:
    kind = type(value).__name__
    return Drawing((GraphNode("argument", "value", "input", dtype=kind), GraphNode(function.__name__, inputs=(0,))))


class ToySource:
    """Patches `toylib` while watching."""

    def attach(self, sink: Sink) -> Callable[[], None]:
        import toylib

        build, call = toylib._build, toylib._call

        def reporting_build(function: Callable[..., Any], value: Any) -> Any:
            argument = value_argument("value", type(value).__name__)
            hints = {"python-value": "pass one type"}
            now = time.perf_counter()
            drawing = _drawn(function, value) if sink.drawing else None
            report = BuildReport(
                "toy", "graph", of(function), (argument,), nodes=1, seconds=0.25, hints=hints, began=now
            )
            sink.build(replace(report, drawing=drawing))
            return build(function, value)

        def reporting_call(graph: Callable[..., Any], value: Any) -> Any:
            sink.call("toy", "graph")
            return call(graph, value)

        def detach() -> None:
            toylib._build, toylib._call = build, call

        toylib._build, toylib._call = reporting_build, reporting_call
        return detach

    def reset(self) -> None:
        import toylib

        toylib.clear_caches()


class ToyTracer:
    """Writes the name of each function that `jit` builds a graph of.

    It patches `toylib` once: a source that was attached later may have patched it again.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._undo: Callable[[], None] | None = None

    def start(self, folder: Path) -> None:
        self._folder = folder
        if self._undo is not None:
            return
        import toylib

        build = toylib._build

        def writing(function: Callable[..., Any], value: Any) -> Any:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                with open(self._folder / "builds.txt", "a") as file:
                    print(function.__name__, type(value).__name__, file=file)
            return build(function, value)

        def undo() -> None:
            toylib._build = build

        toylib._build, self._undo = writing, undo

    def stop(self) -> None:
        self._folder = None

    def end(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
