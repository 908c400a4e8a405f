"""Sees every compilation by Dynamo, whoever called torch.compile and however deep inside a library.

Attached by `watcher.py` while somebody watches. torch offers no public event that would do: compile callbacks have no
arguments, are deleted by `torch._dynamo.reset()` and fire for the backward too, and a compiler backend of one's own
sees only what was compiled with it. All compilations, also failed ones and those in other threads, pass through
`torch._dynamo.convert_frame._compile` (torch 2.4 to 2.15), and their graphs through `OutputGraph.call_user_compiler`.
"""

from __future__ import annotations

import inspect
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch._dynamo import convert_frame, output_graph

from pytest_graphmode.backends.patching import patched
from pytest_graphmode.backends.torch import modules, state
from pytest_graphmode.backends.torch.dynamo import breaks, guards
from pytest_graphmode.backends.torch.dynamo.audit import Audit
from pytest_graphmode.backends.torch.dynamo.calls import Calls, Graphless
from pytest_graphmode.backends.torch.dynamo.frames import Frame
from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents
from pytest_graphmode.backends.torch.dynamo.hints import HINTS
from pytest_graphmode.backends.torch.dynamo.memory import Memory
from pytest_graphmode.backends.torch.versions import SUPPORTED
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger.closure import code_key
from pytest_graphmode.ledger.identity import call_site, token
from pytest_graphmode.ledger.ledger import BuildReport, Cause, Fallback, GraphBreak
from pytest_graphmode.ledger.watcher import Sink

# What `_compile` is given, by the names that torch gives it.
_NEEDED: Final = ("code", "globals", "locals")


class _Thread(threading.local):
    """The compilations under way in a thread, outermost first: a compiler backend may compile in its turn."""

    def __init__(self) -> None:
        self.running: list[_Compilation] = []
        self.built: tuple[int, set[tuple[str, str]]] = (0, set())

    def add(self, call: int, function: tuple[str, str]) -> None:
        """A function was built in a call."""
        if self.built[0] != call:
            self.built = (call, set())
        self.built[1].add(function)

    def has(self, call: int, function: tuple[str, str]) -> bool:
        return self.built[0] == call and function in self.built[1]


class _Seen:
    """What outlives one compilation: shared by all threads and by all times that somebody watches."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.graphless = Graphless()
        self.calls = Calls(self.graphless)
        self.audit = Audit()
        self.thread = _Thread()


class DynamoSource:
    """Reports Dynamo's compilations; see `sources.EventSource`."""

    def __init__(self) -> None:
        self._seen = _Seen()
        self._beginning = state.Beginning()

    def begin(self) -> None:
        """A run begins: its tests that assert counts start from the configuration of now."""
        self._beginning.remember()

    def start(self) -> None:
        self._beginning.restore()

    def reset(self) -> None:
        torch._dynamo.reset()

    def probe(self) -> None:
        again = types.FunctionType(_probed.__code__.replace(), globals())  # code of which there is no graph yet
        with state.compiling():
            torch.compile(again, backend=_without_compiler)(torch.zeros(1))

    def audit_start(self) -> int:
        return self._seen.audit.missed

    def audit(self, start: int) -> str | None:
        return self._seen.audit.differs(start)

    def attach(self, sink: Sink) -> Callable[[], None]:
        codes = _Codes()
        state.quiet_trace_log()
        self._seen.audit.begin()
        modules.hide_from_dynamo()
        return patched(
            SUPPORTED,
            (convert_frame, "_compile", lambda compile: self._compiling(compile, sink, codes)),
            (output_graph.OutputGraph, "call_user_compiler", self._compiling_graph),
            self._seen.calls.replacement(sink),
        )

    def _compiling(self, compile: Callable[..., Any], sink: Sink, codes: _Codes) -> Callable[..., Any]:
        parameters = inspect.signature(compile)
        _require(parameters)
        thread = self._seen.thread

        def compiling(*args: Any, **kwargs: Any) -> Any:
            given = parameters.bind(*args, **kwargs).arguments
            compilation = _Compilation(given, codes, self._seen)
            thread.running.append(compilation)
            error = made = None
            try:
                with modules.as_torchs_own():
                    made = compile(*args, **kwargs)
                    return made
            except BaseException as raised:
                error = raised
                raise
            finally:
                thread.running.pop()
                compilation.end(sink, made, error)

        return compiling

    def _compiling_graph(self, compile: Callable[..., Any]) -> Callable[..., Any]:
        def compiling(graph: Any, module: Any, *args: Any, **kwargs: Any) -> Any:
            made = compile(graph, module, *args, **kwargs)
            if self._seen.thread.running:
                self._seen.thread.running[-1].add(module)
            return made

        return compiling


def _require(parameters: inspect.Signature) -> None:
    missing = [name for name in _NEEDED if name not in parameters.parameters]
    if missing:
        raise UnsupportedError(
            f"torch._dynamo.convert_frame._compile of this version takes no {', '.join(missing)}, by which graphs are "
            f"counted: use {SUPPORTED}, or a later pytest-graphmode"
        )


def _probed(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def _without_compiler(module: Any, inputs: Any) -> Any:
    return module.forward


class _Codes:
    """What became of the code objects that were compiled: graphs are kept on them, and one line can have several."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[int, bool]] = {}
        self._objects: set[tuple[int, int]] = set()

    def causes(self, frame: Frame) -> tuple[Cause, ...] | None:
        """Why code has no graph in the cache: none known for its first time, None where others have to say.

        That is where its last trace raised, and where torch (2.4) has graphs for each module and this one is new.
        """
        code = frame.code
        seen = self._alike(code)
        if seen.get(token(code), False):
            return None
        if token(code) in seen and self._object(frame) not in self._objects:
            return None
        if not seen:
            return ()
        return (Cause("cache-reset" if token(code) in seen else "new-function-object"),)

    def add(self, frame: Frame, failed: bool) -> None:
        self._alike(frame.code)[token(frame.code)] = failed
        self._objects.add(self._object(frame))

    @staticmethod
    def _object(frame: Frame) -> tuple[int, int]:
        return token(frame.code), token(frame.bound) if frame.bound is not None else 0

    def _alike(self, code: types.CodeType) -> dict[int, bool]:
        return self._seen.setdefault(code_key(code), {})


class _Compilation:
    """One call of `_compile`, described before torch changes the frame.

    Nothing that goes wrong in describing it reaches the code that is compiled: it is noted.
    """

    def __init__(self, given: Mapping[str, Any], codes: _Codes, seen: _Seen) -> None:
        self._seen = seen
        self._codes = codes
        self._graphs = 0
        self._contents: GraphContents | None = None
        self._exporting = bool(given.get("export"))  # a part of what `export.py` reports
        self._one_graph = bool(given.get("one_graph"))
        self._call_site = call_site()
        self._call = seen.calls.number
        self._causes: tuple[Cause, ...] | None = ()
        self._failure: Exception | None = None
        try:
            self._describe(given)
        except Exception as error:
            self._failure = error
        self._trail = breaks.Trail()
        self._start = time.perf_counter()

    def _describe(self, given: Mapping[str, Any]) -> None:
        self._frame = Frame(given["code"], given["locals"], given["globals"])
        self._identity = self._frame.identity
        self._arguments = tuple(leaf.argument for leaf in self._frame.leaves)
        reusable = self._seen.memory.reusable(_entries(given), self._frame)
        self._existing = bool(reusable) and _is_recompilation(given)
        self._of_others = self._seen.memory.of_others(reusable, self._frame)
        if self._existing:
            self._causes = guards.causes(reusable, self._frame, self._seen.memory)
        else:
            self._causes = None if reusable else self._codes.causes(self._frame)

    def add(self, module: Any) -> None:
        """A graph was made for it."""
        self._graphs += 1
        try:
            self._contents = GraphContents.of(module)
        except Exception as error:
            self._contents, self._failure = GraphContents(), error

    def end(self, sink: Sink, made: Any, error: BaseException | None) -> None:
        """Tell what came of it: a graph, a failure, breaks, nothing at all."""
        self._seen.audit.report(self._graphs)
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
        found = list(self._breaks(error))
        for graph_break in found:
            sink.graph_break(graph_break)
        given_up = error is not None and breaks.is_silent(error, self._one_graph)
        if error is not None and given_up and (breaks.is_limit(error) or self._frame.outermost):
            sink.fallback(self._fallback(error))
        failed = error is not None and (not given_up or breaks.raised(error))
        self._remember(made, failed, goes_on=bool(found))
        if self._contents is not None:
            self._seen.calls.built(sink)
        if self._contents is not None or failed or (self._existing and error is None):
            sink.build(self._built(seconds, failed))

    def _remember(self, made: Any, failed: bool, *, goes_on: bool) -> None:
        self._codes.add(self._frame, failed)
        code = self._seen.memory.add(made, self._frame)
        if code is not None and self._contents is None and not goes_on:  # else its rest may have a graph
            self._seen.graphless.add(code)

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
        return Fallback(
            "torch",
            "compile",
            self._identity.name,
            self._identity.location,
            breaks.given_up(error, self._causes or ()),
            self._identity.file,
        )

    def _built(self, seconds: float, failed: bool) -> BuildReport:
        contents = self._contents or GraphContents()
        return BuildReport(
            "torch",
            "compile",
            self._identity,
            self._arguments,
            nodes=contents.nodes,
            control_flow=contents.control_flow,
            operations=contents.operations,
            seconds=seconds,
            call_site=self._call_site,
            causes=self._causes or (),
            complete=self._causes is not None,  # the guards have said it all
            hints=HINTS,
            failed=failed,
            resumed=self._frame.rest is not None,
            with_its_function=self._with_its_function(),
            existing=self._existing,
            of_others=self._of_others,
            graphless=self._contents is None and not failed,
        )

    def _with_its_function(self) -> bool:
        """Whether this is the rest of a function that was itself built in the same call; notes it where it is none."""
        if self._frame.rest is not None:
            return self._seen.thread.has(self._call, self._frame.function_key)
        self._seen.thread.add(self._call, self._frame.function_key)
        return False


def _is_recompilation(given: Mapping[str, Any]) -> bool:
    """What torch logs as a recompilation: it leaves out graphs of other objects, where graphs are kept by object."""
    exceeds = getattr(given.get("cache_size"), "will_compilation_exceed", None)
    return True if exceeds is None else bool(exceeds(1))


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
