"""Sees every trace of jax.jit: the event source for JAX, whoever called jit and however deep in a library.

`watcher.py` attaches it once JAX is imported. JAX explains its cache misses in a log; the explaining frame names the
function that is traced, and the step of jit around it has the arguments, the graph, the time and failures.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import jax

from pytest_graphmode import identity
from pytest_graphmode.backends.jax import description
from pytest_graphmode.backends.jax.variables import Signal
from pytest_graphmode.causes import RECENT
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger import Argument, BuildReport, Cause, Condition
from pytest_graphmode.watcher import Sink

HINTS: Final[Mapping[str, str]] = {
    "shape": "jax.jit builds a graph for each shape: pad {argument} to one size, or to a few",
    "rank": "jax.jit builds a graph for each rank: reshape {argument}, or use jax.vmap for the additional axis",
    "dtype": "convert {argument} to one dtype before the call with jax.numpy.asarray(value, dtype); weak dtypes are "
    "those of Python numbers",
    "python-value": "{argument} is static (static_argnums, static_argnames): pass it as an array, or accept one build "
    "per value",
    "structure": "pass {argument} with one structure, None and missing keys included",
    "new-function-object": "jax.jit keeps its graphs with the function object: wrap the function once, outside of the "
    "loop, and not as a lambda or partial made anew",
    "cache-reset": "jax.clear_caches(), clear_cache() and a trace that raises leave no graph",
    "global-state": "jax.jit builds a graph for each configuration: set it once, before the first call",
    "device": "keep {argument} on one device with jax.device_put",
}

_EXPLAINERS: Final = ("explain", "explain_tracing_cache_miss")
_LOGGERS: Final = (
    "jax._src.interpreters.partial_eval",
    "jax._src.pjit",
    "jax._src.compiler",
    "jax._src.compilation_cache",
)
_CONTEXT: Final = "racing context doesn't match"


class TracingSource:
    """Reports a build for each trace of jax.jit on a cache miss, nested and failed ones and those in threads too."""

    def __init__(self) -> None:
        self._open = _Open()
        self._past: dict[int, deque[_Past]] = {}
        self._latest: tuple[Condition, ...] = ()

    def attach(self, sink: Sink) -> Callable[[], None]:
        """Watch until the returned function is called.

        Raises:
            UnsupportedError: this version of JAX lacks the private step of jit that is watched.
        """
        pjit = sys.modules.get("jax._src.pjit")
        step = getattr(pjit, "_infer_params", None)
        if pjit is None or step is None:
            raise UnsupportedError(
                f"JAX {jax.__version__} has no jax._src.pjit._infer_params, by which traces are seen: use a version of "
                "JAX that this version of pytest-graphmode names, or a newer pytest-graphmode"
            )
        pjit._infer_params = self._watched(step, sink)  # type: ignore[attr-defined]
        ignore = self._listen()

        def detach() -> None:
            pjit._infer_params = step  # type: ignore[attr-defined]
            ignore()
            self._past.clear()

        return detach

    def reset(self) -> None:
        """Drop every graph that JAX has cached."""
        jax.clear_caches()
        self._past.clear()

    def _listen(self) -> Callable[[], None]:
        """Have JAX explain its cache misses to this source, and to the user's log only if it did before."""
        wanted = bool(jax.config.jax_explain_cache_misses)
        listener = _Listener(self._open, silent=not wanted)
        jax.config.update("jax_explain_cache_misses", True)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(listener)

        def ignore() -> None:
            jax.config.update("jax_explain_cache_misses", wanted)
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(listener)

        return ignore

    def _watched(self, step: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        """jit's step that finds or traces a graph, with what it traces reported.

        It is private: JAX's public monitoring events have neither arguments nor graphs, and miss a jit within a jit.
        """

        @functools.wraps(step)
        def watched(*inputs: Any) -> Any:
            trace = _Trace(*_call(inputs), time.perf_counter())
            self._open.traces.append(trace)
            try:
                found = step(*_explainable(inputs))
            except Signal:
                raise
            except BaseException as error:
                if trace.explanation is not None or trace.broke(error):
                    sink.build(self._report(trace, None))
                raise
            finally:
                self._open.traces.pop()
            if trace.explanation is not None:
                sink.build(self._report(trace, _graph(found)))
            return found

        return watched

    def _report(self, trace: _Trace, graph: Any) -> BuildReport:
        seconds = time.perf_counter() - trace.started
        found = description.identity_of(trace.function)
        arguments, tree = description.arguments_of(trace.function, trace.args, trace.kwargs, trace.static)
        past = _Past(arguments, tree, self._conditions())
        earlier = self._past.setdefault(found.owner, deque(maxlen=RECENT))
        causes = past.causes(earlier, trace.explanation or "")
        earlier.append(past)
        return BuildReport(
            backend="jax",
            mode="jit",
            identity=found,
            arguments=arguments,
            nodes=0 if graph is None else description.nodes(graph),
            seconds=seconds,
            call_site=identity.call_site(),
            control_flow={} if graph is None else description.control_flow(graph),
            causes=causes,
            conditions=past.conditions,
            hints=HINTS,
            failed=graph is None,
            internal=description.is_internal(found),
        )

    def _conditions(self) -> tuple[Condition, ...]:
        """JAX's configuration; builds that had the same share one object."""
        found = description.conditions()
        if found != self._latest:
            self._latest = found
        return self._latest


@dataclass
class _Trace:
    """A call of jit that missed the fast path; it is tracing if JAX gives it an explanation."""

    function: Callable[..., Any]
    statics: tuple[Sequence[int], Sequence[str]]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    started: float
    explanation: str | None = None

    def static(self, number: int, name: str) -> bool:
        numbers, names = self.statics
        return number in numbers or name in names

    def broke(self, error: BaseException) -> bool:
        """Whether an exception came out of the function, and not from the arguments it was to be traced with."""
        codes = description.codes(self.function)
        traceback = error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code in codes:
                return True
            traceback = traceback.tb_next
        return False


@dataclass(frozen=True)
class _Past:
    """What a trace of a function depended on, for what the leaves of its arguments do not tell."""

    arguments: tuple[Argument, ...]
    tree: str
    conditions: tuple[Condition, ...]

    def causes(self, earlier: Iterable[_Past], explanation: str) -> tuple[Cause, ...]:
        """What changed since an earlier trace with the same leaves."""
        same = [past for past in earlier if past.arguments == self.arguments]
        if not same:
            return ()
        if all(past.tree != self.tree for past in same):
            return (Cause("structure", "the arguments", same[-1].tree, self.tree),)
        if _CONTEXT in explanation and all(past.conditions == self.conditions for past in same):
            return (Cause("global-state", "the context of jax.jit (a mesh, an axis, a context manager)"),)
        return ()


class _Open(threading.local):
    """The calls of jit that are under way in a thread, the innermost last."""

    def __init__(self) -> None:
        self.traces: list[_Trace] = []


class _Listener(logging.Filter):
    """Hands JAX's explanations of cache misses to the trace they belong to."""

    def __init__(self, waiting: _Open, *, silent: bool) -> None:
        super().__init__()
        self._waiting = waiting
        self._silent = silent

    def filter(self, record: logging.LogRecord) -> bool:
        frame = _explaining(sys._getframe())
        if frame is not None and self._waiting.traces:
            trace = self._waiting.traces[-1]
            function = frame.f_locals.get("fun", frame.f_locals.get("f"))
            if any(trace.function is seen for seen in (function, getattr(function, "f", None))):
                trace.explanation = record.getMessage()
        return not (self._silent and "CACHE MISS" in str(record.msg))


def _explaining(frame: FrameType | None) -> FrameType | None:
    while frame is not None and frame.f_code.co_name not in _EXPLAINERS:
        frame = frame.f_back
    return frame


def _call(
    inputs: Sequence[Any],
) -> tuple[Callable[..., Any], tuple[Sequence[int], Sequence[str]], Sequence[Any], Mapping[str, Any]]:
    """The function, its static parameters, and the arguments of a call of jit."""
    *head, args, kwargs = inputs
    info = head[-1]
    function = head[0] if len(head) == 2 else info.fun  # JAX 0.4 has the function among the rest
    return function, (info.static_argnums, info.static_argnames), args, kwargs


def _explainable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with a name for callable objects, which the explanations of JAX 0.4.30 fail without."""
    info = inputs[0]
    if not hasattr(info, "_replace") or getattr(info, "fun_sourceinfo", "") is not None:
        return inputs
    return (info._replace(fun_sourceinfo=f"{type(info.fun).__name__} at <unknown>:0"), *inputs[1:])


def _graph(found: tuple[Any, ...]) -> Any:
    """The traced graph in what jit's step returned."""
    params = getattr(found[0], "params", None) or found[1]
    return params["jaxpr"]
