"""Sees every compilation by Dynamo, whoever called torch.compile and however deep inside a library.

Attached by `watch.py` while somebody watches. torch offers no public event that would do: compile callbacks have no
arguments, are deleted by `torch._dynamo.reset()` and fire for the backward too, and a compiler backend of one's own sees
only what was compiled with it. All compilations, also failed ones and those in other threads, pass through
`torch._dynamo.convert_frame._compile` (torch 2.4 to 2.13), and their graphs through `OutputGraph.call_user_compiler`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo import convert_frame, output_graph

from pytest_graphmode.backends.torch.dynamo.frames import Frame
from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.identity import call_site
from pytest_graphmode.ledger import BuildReport
from pytest_graphmode.watch import Sink


class _Thread(threading.local):
    """The compilations under way in a thread, outermost first: a compiler backend may compile in its turn."""

    def __init__(self) -> None:
        self.running: list[_Compilation] = []


class DynamoSource:
    """Reports Dynamo's compilations; see `watch.EventSource`."""

    def __init__(self) -> None:
        self._thread = _Thread()

    def reset(self) -> None:
        torch._dynamo.reset()

    def attach(self, sink: Sink) -> Callable[[], None]:
        patches = [
            Patch(convert_frame, "_compile", lambda compile: self._compiling(compile, sink)),
            Patch(output_graph.OutputGraph, "call_user_compiler", self._compiling_graph),
        ]

        def detach() -> None:
            for patch in reversed(patches):
                patch.undo()

        return detach

    def _compiling(self, compile: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        def compiling(code: Any, globals: Any, locals: Any, *args: Any, **kwargs: Any) -> Any:
            compilation = _Compilation(Frame(code, locals, globals))
            self._thread.running.append(compilation)
            failed = True
            try:
                result = compile(code, globals, locals, *args, **kwargs)
                failed = False
                return result
            finally:
                self._thread.running.pop()
                compilation.report(sink, failed)

        return compiling

    def _compiling_graph(self, compile: Callable[..., Any]) -> Callable[..., Any]:
        def compiling(graph: Any, module: Any, *args: Any, **kwargs: Any) -> Any:
            made = compile(graph, module, *args, **kwargs)
            if self._thread.running:
                self._thread.running[-1].contents = GraphContents.of(module)
            return made

        return compiling


class _Compilation:
    """One call of `_compile`."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.contents: GraphContents | None = None
        self._identity = frame.identity
        self._arguments = tuple(leaf.argument for leaf in frame.leaves)
        self._call_site = call_site()
        self._start = time.perf_counter()

    def report(self, sink: Sink, failed: bool) -> None:
        if self.contents is None and not failed:
            return  # no operation, no graph
        contents = self.contents or GraphContents()
        sink.build(
            BuildReport(
                "torch",
                "compile",
                self._identity,
                self._arguments,
                nodes=contents.nodes,
                control_flow=contents.control_flow,
                seconds=time.perf_counter() - self._start,
                call_site=self._call_site,
                failed=failed,
                resumed=self.frame.resumed,
            )
        )


class Patch:
    """One attribute of torch's, replaced until undone.

    Raises:
        UnsupportedError: this version of torch has no such attribute.
    """

    def __init__(self, owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._owner, self._name = owner, name
        self._original = getattr(owner, name, None)
        if self._original is None:
            raise UnsupportedError(
                f"this torch has no {owner.__name__}.{name}, by which builds are counted: "
                "pytest-graphmode knows torch 2.4 to 2.13; look for a newer release of it"
            )
        setattr(owner, name, wrap(self._original))

    def undo(self) -> None:
        setattr(self._owner, self._name, self._original)
