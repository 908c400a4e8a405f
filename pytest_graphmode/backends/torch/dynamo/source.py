"""Sees every compilation by Dynamo, whoever called torch.compile and however deep inside a library.

Attached by `watcher.py` while somebody watches. torch offers no public event that would do: compile callbacks have no
arguments, are deleted by `torch._dynamo.reset()` and fire for the backward too, and a compiler backend of one's own
sees only what was compiled with it. All compilations, also failed ones and those in other threads, pass through
`torch._dynamo.convert_frame._compile` (torch 2.4 to 2.13), and their graphs through `OutputGraph.call_user_compiler`.
"""

from __future__ import annotations

import inspect
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch._dynamo import convert_frame, output_graph

from pytest_graphmode.backends.patching import patched
from pytest_graphmode.backends.torch import modules
from pytest_graphmode.backends.torch.dynamo import breaks, guards
from pytest_graphmode.backends.torch.dynamo.frames import Frame
from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents
from pytest_graphmode.backends.torch.versions import SUPPORTED
from pytest_graphmode.identity import call_site, token
from pytest_graphmode.ledger import BuildReport, Cause, Fallback, GraphBreak
from pytest_graphmode.watcher import Sink


class _Thread(threading.local):
    """The compilations under way in a thread, outermost first: a compiler backend may compile in its turn."""

    def __init__(self) -> None:
        self.running: list[_Compilation] = []


class DynamoSource:
    """Reports Dynamo's compilations; see `watcher.EventSource`."""

    def __init__(self) -> None:
        self._thread = _Thread()

    def reset(self) -> None:
        torch._dynamo.reset()

    def attach(self, sink: Sink) -> Callable[[], None]:
        codes = _Codes()
        modules.hide_from_dynamo()
        return patched(
            SUPPORTED,
            (convert_frame, "_compile", lambda compile: self._compiling(compile, sink, codes)),
            (output_graph.OutputGraph, "call_user_compiler", self._compiling_graph),
        )

    def _compiling(self, compile: Callable[..., Any], sink: Sink, codes: _Codes) -> Callable[..., Any]:
        parameters = inspect.signature(compile)

        def compiling(*args: Any, **kwargs: Any) -> Any:
            given = parameters.bind(*args, **kwargs).arguments
            if given.get("export"):
                return compile(*args, **kwargs)  # a part of what `export.py` reports
            compilation = _Compilation(given, codes)
            self._thread.running.append(compilation)
            error = None
            try:
                with modules.as_torchs_own():
                    return compile(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                self._thread.running.pop()
                compilation.report(sink, error)

        return compiling

    def _compiling_graph(self, compile: Callable[..., Any]) -> Callable[..., Any]:
        def compiling(graph: Any, module: Any, *args: Any, **kwargs: Any) -> Any:
            made = compile(graph, module, *args, **kwargs)
            if self._thread.running:
                self._thread.running[-1].contents = GraphContents.of(module)
            return made

        return compiling


class _Codes:
    """What became of the code objects that were compiled: graphs are kept on them, and one line can have several."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, str], dict[int, bool]] = {}

    def causes(self, code: types.CodeType) -> tuple[Cause, ...] | None:
        """Why code has no graph in the cache: none known for its first time, None where its last trace raised."""
        seen = self._place(code)
        if seen.get(token(code), False):
            return None
        if not seen:
            return ()
        return (Cause("cache-reset" if token(code) in seen else "new-function-object"),)

    def add(self, code: types.CodeType, failed: bool) -> None:
        self._place(code)[token(code)] = failed

    def _place(self, code: types.CodeType) -> dict[int, bool]:
        return self._seen.setdefault((code.co_filename, code.co_firstlineno, code.co_name), {})


class _Compilation:
    """One call of `_compile`, described before torch changes the frame.

    Attributes:
        contents: what is in the graph, once there is one.
    """

    def __init__(self, given: dict[str, Any], codes: _Codes) -> None:
        self.contents: GraphContents | None = None
        self._frame = Frame(given["code"], given["locals"], given["globals"])
        self._one_graph = bool(given.get("one_graph"))
        self._identity = self._frame.identity
        self._arguments = tuple(leaf.argument for leaf in self._frame.leaves)
        self._codes = codes
        self._causes = guards.causes(_entries(given), self._frame) or codes.causes(given["code"])
        self._call_site = call_site()
        self._trail = breaks.Trail()
        self._start = time.perf_counter()

    def report(self, sink: Sink, error: BaseException | None) -> None:
        """Tell what came of it: a graph, a failure, breaks, nothing at all."""
        seconds = time.perf_counter() - self._start
        for graph_break in self._breaks(error):
            sink.graph_break(graph_break)
        given_up = error is not None and breaks.is_silent(error, self._one_graph)
        if error is not None and given_up and (breaks.is_limit(error) or self._frame.outermost):
            sink.fallback(self._fallback(error))
        failed = error is not None and (not given_up or breaks.raised(error))
        self._codes.add(self._frame.code, failed)
        if self.contents is not None or failed:
            sink.build(self._built(seconds, failed))

    def _breaks(self, error: BaseException | None) -> Iterator[GraphBreak]:
        yield from self._trail.breaks()
        if error is None or breaks.is_limit(error) or breaks.raised(error):
            return
        if breaks.is_silent(error, self._one_graph):
            yield self._placed(breaks.skipped(error))

    def _placed(self, graph_break: GraphBreak) -> GraphBreak:
        """A break for which torch names no line is at the function."""
        where = graph_break.where or self._identity.location
        return replace(graph_break, where=where, function=graph_break.function or self._identity.name)

    def _fallback(self, error: BaseException) -> Fallback:
        return Fallback("torch", "compile", self._identity.name, self._identity.location, breaks.given_up(error))

    def _built(self, seconds: float, failed: bool) -> BuildReport:
        contents = self.contents or GraphContents()
        return BuildReport(
            "torch",
            "compile",
            self._identity,
            self._arguments,
            nodes=contents.nodes,
            control_flow=contents.control_flow,
            seconds=seconds,
            call_site=self._call_site,
            causes=self._causes or (),
            considered=None if self._causes is None else frozenset(),  # the guards have said it all
            hints=guards.HINTS,
            failed=failed,
            resumed=self._frame.resumed,
        )


def _entries(given: dict[str, Any]) -> list[Any]:
    """The graphs that a function's code has in Dynamo's cache: a list, in torch 2.4 linked to each other."""
    entries = given.get("cache_entries_for_reasons", given.get("cache_entries"))
    if entries is not None:
        return list(entries)
    linked, entry = [], given.get("cache_entry")
    while entry is not None:
        linked.append(entry)
        entry = entry.next
    return linked
