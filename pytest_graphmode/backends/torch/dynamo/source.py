"""Sees every compilation by Dynamo, whoever called torch.compile and however deep inside a library.

Attached by `watcher.py` while somebody watches. torch offers no public event that would do: compile callbacks have no
arguments, are deleted by `torch._dynamo.reset()` and fire for the backward too, and a compiler backend of one's own
sees only what was compiled with it. All compilations, also failed ones and those in other threads, pass through
`torch._dynamo.convert_frame._compile` (torch 2.4 to 2.15), and their graphs through `OutputGraph.call_user_compiler`.
"""

from __future__ import annotations

import inspect
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch._dynamo import convert_frame, output_graph
from torch._dynamo.utils import graph_break_reasons

from pytest_graphmode.backends.patching import patched
from pytest_graphmode.backends.torch import modules, state
from pytest_graphmode.backends.torch.dynamo import breaks, guards, memory, outputs
from pytest_graphmode.backends.torch.dynamo.counters import Audit, Calls
from pytest_graphmode.backends.torch.dynamo.frames import Frame
from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents, drawing
from pytest_graphmode.backends.torch.dynamo.hints import HINTS
from pytest_graphmode.backends.torch.dynamo.managers import GuardManager
from pytest_graphmode.ledger.closure import code_key
from pytest_graphmode.ledger.drawing import Drawing, drawn_for
from pytest_graphmode.ledger.identity import call_site, token
from pytest_graphmode.ledger.ledger import BuildReport, Cause, Fallback, GraphBreak
from pytest_graphmode.ledger.watcher import Sink

_FRAME: Final = ("code", "globals", "locals")  # the parameters of `_compile` that a frame is told by


class DynamoSource:
    """Reports Dynamo's compilations; see `sources.EventSource`. What it keeps, it keeps over all times of watching."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.audited = Audit()
        self._beginning: state.Dynamo | None = None

    def begin(self) -> None:
        """A run begins: its tests that assert counts start from the configuration of now."""
        self._beginning = state.Dynamo.now()

    def start(self) -> None:
        self._beginning = self._beginning or state.Dynamo.by_default()
        self._beginning.restore()

    def reset(self) -> None:
        state.reset()

    def probe(self) -> None:
        again = types.FunctionType(_probed.__code__.replace(), globals())  # code of which there is no graph yet
        with state.compiling():
            torch.compile(again, backend=lambda module, inputs: module.forward)(torch.zeros(1))

    def audit_start(self) -> int:
        return self.audited.missed

    def audit(self, start: int) -> str | None:
        return self.audited.differs(start)

    def attach(self, sink: Sink) -> Callable[[], None]:
        codes = _Codes()
        self.audited.begin()
        modules.hide_from_dynamo()
        return patched(
            state.SUPPORTED,
            (convert_frame, "_compile", lambda compile: self._compiling(compile, sink, codes), _FRAME),
            (output_graph.OutputGraph, "call_user_compiler", lambda compile: self._compiling_graph(compile, sink)),
            self.calls.replacement(sink),
            *outputs.replacements(),
        )

    def _compiling(self, compile: Callable[..., Any], sink: Sink, codes: _Codes) -> Callable[..., Any]:
        parameters = inspect.signature(compile)

        def compiling(*args: Any, **kwargs: Any) -> Any:
            state.quiet_trace_log()  # here, since pytest sees to loggers that are there when a test's phase begins
            compilation = _Compilation(parameters.bind(*args, **kwargs).arguments, codes, self)
            self.calls.running.append(compilation)
            error = made = None
            try:
                with modules.as_torchs_own():
                    made = compile(*args, **kwargs)
                    return made
            except BaseException as raised:
                error = raised
                raise
            finally:
                self.calls.running.pop()
                compilation.end(sink, made, error)

        return compiling

    def _compiling_graph(self, compile: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        def compiling(graph: Any, module: Any, *args: Any, **kwargs: Any) -> Any:
            made = compile(graph, module, *args, **kwargs)
            if self.calls.running:
                self.calls.running[-1].add(module, sink)
            return made

        return compiling


def _probed(x: torch.Tensor) -> torch.Tensor:
    return x + 1


class _Codes:
    """What became of the code objects that were compiled: graphs are kept on them, and one line can have several."""

    def __init__(self) -> None:
        self._failed: dict[int, dict[int, bool]] = {}
        self._objects: set[tuple[int, int]] = set()

    def causes(self, frame: Frame) -> tuple[Cause, ...] | None:
        """Why code has no graph in the cache: none known for its first time, None where others have to say.

        That is where its last trace raised, and where torch (2.4) has graphs for each module and this one is new.
        """
        known, code = self._failed.get(code_key(frame.code), {}), token(frame.code)
        if known.get(code) or (code in known and _object(frame) not in self._objects):
            return None
        return (Cause("cache-reset" if code in known else "new-function-object"),) if known else ()

    def add(self, frame: Frame, failed: bool) -> None:
        self._failed.setdefault(code_key(frame.code), {})[token(frame.code)] = failed
        self._objects.add(_object(frame))


def _object(frame: Frame) -> tuple[int, int]:
    return token(frame.code), token(frame.bound) if frame.bound is not None else 0


class _Compilation:
    """One call of `_compile`, described before torch changes the frame.

    Nothing that goes wrong in describing it reaches the code that is compiled: it is noted.
    """

    def __init__(self, given: Mapping[str, Any], codes: _Codes, source: DynamoSource) -> None:
        self._source = source
        self._codes = codes
        self._graphs = 0
        self._contents: GraphContents | None = None
        self._drawing: Drawing | None = None
        self._exporting = bool(given.get("export"))  # a part of what `export.py` reports
        self._one_graph = bool(given.get("one_graph"))
        self._failure: Exception | None = None
        try:
            self._describe(given)
        except Exception as error:
            self._failure = error
        self._breaks_before = len(graph_break_reasons)
        self._start = time.perf_counter()

    def _describe(self, given: Mapping[str, Any]) -> None:
        frame = self._frame = Frame(given["code"], given["locals"], given["globals"])
        self._conditions = memory.conditions()
        reusable = memory.reusable(_entries(given), frame)
        # torch logs no recompilation where its graphs are of other objects, and kept by object (torch 2.4).
        exceeds = getattr(given.get("cache_size"), "will_compilation_exceed", None)
        existing = bool(reusable) and (exceeds is None or bool(exceeds(1)))
        if existing:
            causes: tuple[Cause, ...] | None = guards.causes(reusable[0], frame)
        else:
            causes = None if reusable else self._codes.causes(frame)
        self._build = BuildReport(
            "torch",
            "compile",
            frame.identity,
            tuple(leaf.argument for leaf in frame.leaves),
            call_site=call_site(),
            causes=causes or (),
            complete=causes is not None,  # the guards have said it all
            hints=HINTS,
            resumed=frame.rest is not None,
            existing=existing,
            of_others=memory.are_of_others(reusable, frame),
            called=not self._source.calls.waiting,
        )

    def add(self, module: Any, sink: Sink) -> None:
        """A graph was made for it."""
        self._graphs += 1
        try:
            self._contents = GraphContents.of(module)
        except Exception as error:
            self._contents, self._failure = GraphContents(), error
        else:
            self._drawing = drawn_for(sink, self._contents.nodes, lambda: drawing(module))

    def end(self, sink: Sink, made: Any, error: BaseException | None) -> None:
        """Tell what came of it: a graph, a failure, breaks, nothing at all."""
        self._source.audited.report(self._graphs)
        if self._exporting:
            return
        try:
            if self._failure is not None:
                raise self._failure
            self._report(sink, made, error)
        except AssertionError:
            raise  # a block asked to be told at once of what exceeds its limits
        except Exception as failure:
            sink.not_counted("torch", f"a compilation can't be described: {type(failure).__name__}: {failure}")

    def _report(self, sink: Sink, made: Any, error: BaseException | None) -> None:
        seconds = time.perf_counter() - self._start
        identity = self._build.identity
        found = list(self._breaks(error))
        for graph_break in found:
            sink.graph_break(graph_break)
        given_up = breaks.is_silent(error, self._one_graph)
        if error is not None and given_up and (breaks.is_limit(error) or self._frame.outermost):
            reason = breaks.given_up(error, self._build.causes)
            sink.fallback(Fallback("torch", "compile", identity.name, identity.location, reason, identity.file))
        failed = error is not None and (not given_up or breaks.raised(error))
        self._codes.add(self._frame, failed)
        graphless = self._contents is None and not found  # after a break its rest may have a graph
        manager = memory.remember(made, self._frame, self._conditions, graphless=graphless)
        try:
            # Around a function with a break stand more or fewer wrappers of the plugin's, depending on the options.
            again = self._build.existing and error is None and not (self._frame.of_plugin and found)
            if self._contents is not None or failed or again:
                sink.build(self._built(seconds, failed, manager))
        finally:
            if self._contents is not None:
                self._source.calls.ran_graph(sink)

    def _breaks(self, error: BaseException | None) -> Iterator[GraphBreak]:
        yield from breaks.since(self._breaks_before)
        if error is None or breaks.is_limit(error) or breaks.raised(error):
            return
        if breaks.is_silent(error, self._one_graph):
            found, identity = breaks.skipped(error), self._build.identity
            # torch may name no line: then it is at the function
            yield replace(found, where=found.where or identity.location, function=found.function or identity.name)

    def _built(self, seconds: float, failed: bool, manager: GuardManager | None) -> BuildReport:
        built, function = self._source.calls.built, self._frame.function_key
        if not self._build.resumed:
            built.add(function)
        return replace(
            self._build,
            **vars(self._contents or GraphContents()),
            seconds=seconds,
            failed=failed,
            with_its_function=self._build.resumed and function in built,
            graphless=self._contents is None and not failed,
            began=self._start,
            depends_on=lambda: memory.in_words(manager, self._conditions),
            drawing=self._drawing,
        )


def _entries(given: Mapping[str, Any]) -> list[Any]:
    """The graphs that a function's code has in Dynamo's cache: a list, in torch 2.4 linked to each other."""
    entries = given.get("cache_entries_for_reasons", given.get("cache_entries"))
    if entries is not None:
        return list(entries)
    linked, entry = [], given.get("cache_entry")
    while entry is not None:
        linked.append(entry)
        entry = entry.next
    return linked
