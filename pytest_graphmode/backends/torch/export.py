"""Sees what torch.export makes: each call of it builds a graph, so each is reported.

Attached by `watcher.py`. What the public function ends in is replaced, not it, so that copies of it that somebody has
imported are seen too.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from torch import nn

from pytest_graphmode.backends.calls import FRAMEWORK, being
from pytest_graphmode.backends.patching import Function, patched
from pytest_graphmode.backends.torch.dynamo import frames
from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents, drawing
from pytest_graphmode.backends.torch.state import SUPPORTED
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.drawing import drawn_for
from pytest_graphmode.ledger.identity import call_site
from pytest_graphmode.ledger.ledger import CAUSE_KINDS, Argument, BuildReport
from pytest_graphmode.ledger.watcher import Sink

_HINTS: Final = dict.fromkeys(CAUSE_KINDS, "export it once, and keep the program")


class ExportSource:
    """Reports torch.export; see `watcher.EventSource`."""

    def __init__(self) -> None:
        self._thread = threading.local()

    def attach(self, sink: Sink) -> Callable[[], None]:
        module = import_module("torch.export._trace")
        return patched(SUPPORTED, (module, "_export", lambda export: self._reporting(export, sink)))

    def _reporting(self, export: Function, sink: Sink) -> Function:
        signature = inspect.signature(export)

        def exporting(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if getattr(self._thread, "exporting", False):
                return export(*args, **kwargs)
            given = signature.bind(*args, **kwargs).arguments
            self._thread.exporting = True
            start, program = time.perf_counter(), None
            try:
                with being(FRAMEWORK):  # the modules that are called now are a part of it
                    program = export(*args, **kwargs)
                return program
            finally:
                self._thread.exporting = False
                sink.build(_report(sink, given, program, time.perf_counter() - start))

        return exporting


def _report(sink: Sink, given: Mapping[str, Any], program: Any, seconds: float) -> BuildReport:
    subject = next(iter(given.values()))
    module = subject if isinstance(subject, nn.Module) else None
    function = subject if module is None else module.forward
    graph = None if program is None else program.graph_module
    contents = GraphContents() if graph is None else GraphContents.of(graph)
    return BuildReport(
        "torch",
        "export",
        identity.of(function, owner=module, role="export"),
        _arguments(function, given),
        **vars(contents),
        seconds=seconds,
        call_site=call_site(),
        failed=program is None,
        hints=_HINTS,
        drawing=None if graph is None else drawn_for(sink, contents.nodes, lambda: drawing(graph)),
    )


def _arguments(function: Any, given: Mapping[str, Any]) -> tuple[Argument, ...]:
    named = frames.arguments_of(frames.positional(function), given.get("args") or (), given.get("kwargs") or {})
    return tuple(leaf.argument for name, source, value in named for leaf in frames.leaves(name, source, value))
