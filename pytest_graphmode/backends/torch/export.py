"""Sees torch's other ways to make a graph of a function: torch.jit.trace, torch.jit.script and torch.export.

Attached by `watcher.py`. Each call builds a graph, so each is reported; what they call of each other is part of it.
What the public functions end in is replaced, not they, so that copies of them that somebody has imported are seen too.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from torch import nn

from pytest_graphmode import identity
from pytest_graphmode.backends.patching import Function, patched
from pytest_graphmode.backends.torch.dynamo import frames
from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents
from pytest_graphmode.backends.torch.versions import SUPPORTED
from pytest_graphmode.calls import depth
from pytest_graphmode.identity import call_site
from pytest_graphmode.ledger import CAUSE_KINDS, Argument, BuildReport
from pytest_graphmode.watcher import Sink

_Inputs = tuple[Sequence[Any], Mapping[str, Any]]
_JIT_CONTROL_FLOW: Final = {"prim::Loop": "while", "prim::If": "cond"}


class _Thread(threading.local):
    building = False


class JitSource:
    """Reports torch.jit.trace and torch.jit.script; see `watcher.EventSource`."""

    def __init__(self) -> None:
        self._thread = _Thread()

    def attach(self, sink: Sink) -> Callable[[], None]:
        tracing = _Builder(
            "trace", self._thread, "jit", sink, _traced_inputs, _script_contents, "trace it once, and keep the result"
        )
        scripting = _Builder(
            "script", self._thread, "jit", sink, _no_inputs, _script_contents, "script it once, and keep the result"
        )
        return patched(
            SUPPORTED,
            (import_module("torch.jit._trace"), "_trace_impl", tracing.reporting),
            (import_module("torch.jit._script"), "_script_impl", scripting.reporting),
        )


class ExportSource:
    """Reports torch.export; see `watcher.EventSource`."""

    def attach(self, sink: Sink) -> Callable[[], None]:
        exporting = _Builder(
            "export",
            _Thread(),
            "export",
            sink,
            _exported_inputs,
            _program_contents,
            "export it once, and keep the program",
        )
        return patched(SUPPORTED, (import_module("torch.export._trace"), "_export", exporting.reporting))


@dataclass(frozen=True)
class _Builder:
    """One of torch's functions that build a graph of a function, their first parameter.

    `role` names it, `thread` knows whether one of them is at work, `inputs` finds the example inputs among the
    arguments, `contents` says what is in the graph that was returned.
    """

    role: str
    thread: _Thread
    mode: str
    sink: Sink
    inputs: Callable[[Mapping[str, Any]], _Inputs]
    contents: Callable[[Any], GraphContents]
    hint: str

    def reporting(self, build: Function) -> Function:
        signature = inspect.signature(build)

        def building(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            given = signature.bind(*args, **kwargs).arguments
            subject = next(iter(given.values()))
            if self.thread.building or isinstance(subject, type):
                return build(*args, **kwargs)
            inside, depth.inside = depth.inside, True  # the modules that are called now are a part of it
            self.thread.building = True
            start, made = time.perf_counter(), None
            try:
                made = build(*args, **kwargs)
                return made
            finally:
                self.thread.building, depth.inside = False, inside
                if made is not subject:
                    self._report(subject, self.inputs(given), made, time.perf_counter() - start)

        return building

    def _report(self, subject: Any, inputs: _Inputs, made: Any, seconds: float) -> None:
        module = subject if isinstance(subject, nn.Module) else None
        function = subject if module is None else module.forward
        contents = GraphContents() if made is None else self.contents(made)
        self.sink.build(
            BuildReport(
                "torch",
                self.mode,
                identity.of(function, owner=module, role=self.role),
                _arguments(function, inputs),
                nodes=contents.nodes,
                control_flow=contents.control_flow,
                seconds=seconds,
                call_site=call_site(),
                failed=made is None,
                hints=dict.fromkeys(CAUSE_KINDS, self.hint),
            )
        )


def _arguments(function: Any, inputs: _Inputs) -> tuple[Argument, ...]:
    named = frames.arguments_of(function, *inputs)
    return tuple(leaf.argument for name, source, value in named for leaf in frames.leaves(name, source, value))


def _traced_inputs(given: Mapping[str, Any]) -> _Inputs:
    args = given.get("example_inputs")
    positional = args if isinstance(args, (tuple, list)) else () if args is None else (args,)
    return positional, given.get("example_kwarg_inputs") or {}


def _exported_inputs(given: Mapping[str, Any]) -> _Inputs:
    return given.get("args") or (), given.get("kwargs") or {}


def _no_inputs(given: Mapping[str, Any]) -> _Inputs:
    return (), {}


def _program_contents(program: Any) -> GraphContents:
    return GraphContents.of(program.graph_module)


def _script_contents(scripted: Any) -> GraphContents:
    """The operations of a TorchScript graph, those in its loops and branches too; none for a module without forward."""
    graph = getattr(scripted, "inlined_graph", None)
    if graph is None:
        return GraphContents()
    found = Counter({name: len(graph.findAllNodes(kind)) for kind, name in _JIT_CONTROL_FLOW.items()})
    return GraphContents(_operations(graph), +found)


def _operations(block: Any) -> int:
    nodes = list(block.nodes())
    return len(nodes) + sum(_operations(inner) for node in nodes for inner in node.blocks())
