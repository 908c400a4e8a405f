"""Sees every trace of a tf.function, whoever wrote it, and every call that needed none.

Attached by `watcher.py` while somebody watches. TensorFlow offers no public event for a trace: its counters are per
function object and miss failed traces. All traces, nested, threaded, failed and by `get_concrete_function`, pass
through `tracing_compilation._create_concrete_function` (TensorFlow 2.16 to 2.21).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.tensorflow import fallbacks, graph_nodes, trace_types, traced_function
from pytest_graphmode.backends.tensorflow.internals import (
    ConcreteFunction,
    Function,
    FunctionCache,
    context,
    function_context,
    tracing_compilation,
)
from pytest_graphmode.backends.tensorflow.patching import existing, patched
from pytest_graphmode.identity import call_site
from pytest_graphmode.ledger import BuildReport, Cause, Condition
from pytest_graphmode.watcher import Sink

__tracebackhide__ = True

_XLA: Final = "_XlaMustCompile"

_HINTS: Final[Mapping[str, str]] = {
    "shape": "tf.function(reduce_retracing=True) or an input_signature with None",
    "rank": "pass tensors of one rank, or an input_signature with tf.TensorSpec(None)",
    "dtype": "cast {argument} before the call, or accept one build per dtype",
    "python-value": "pass a tensor, or accept one build per value",
    "python-object": "pass an equal value each time, or accept one build per value",
    "structure": "pass {argument} with the same keys, length and types each time",
    "new-function-object": "wrap the function once, outside the loop, and call that",
    "variable-creation": "create variables before the first call if tracing twice takes too long",
    "device": "call the function on one device, or accept one build per device",
    "global-state": "enter the scope before the first call, and call the function only inside or only outside of it",
    "cache-reset": "TensorFlow keeps no graph of a trace that raised: let the function fail before it is traced",
}
_HINTS_IF_RELAXED: Final[Mapping[str, str]] = {
    **_HINTS,
    "shape": "reduce_retracing is on and relaxes this dimension from here on; to save this build too, pad the data "
    "to one shape (for batches: drop_remainder=True)",
}


class _Thread(threading.local):
    """What one thread is in the middle of: the type its next trace was looked up by, seconds spent in nested traces."""

    wanted: Any = None
    nested: float = 0.0


class TracingSource:
    """Reports the traces and calls of tf.functions; see `watcher.EventSource`."""

    def __init__(self) -> None:
        self._thread = _Thread()

    def attach(self, sink: Sink) -> Callable[[], None]:
        existing(tf.__internal__.FuncGraph, "_get_function")  # what `graph_nodes.py` follows calls by
        return patched(
            (tracing_compilation, "_create_concrete_function", lambda trace: self._tracing(trace, sink)),
            (FunctionCache, "generalize", self._generalizing),
            (Function, "_call", lambda call: _calling(call, sink, _mode_of_function)),
            (ConcreteFunction, "_call_impl", lambda call: _calling(call, sink, _mode_of_concrete_function)),
            fallbacks.replacement(sink),
        )

    def reset(self) -> None:
        """Make AutoGraph say again which functions it can't transform; what was traced stays."""
        fallbacks.forget()

    def _generalizing(self, generalize: Callable[..., Any]) -> Callable[..., Any]:
        """With reduce_retracing the trace is of a generalized type; this call is the last to see the actual one."""

        def remembering(cache: Any, context: Any, function_type: Any) -> Any:
            self._thread.wanted = function_type
            return generalize(cache, context, function_type)

        return remembering

    def _tracing(self, trace: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        def tracing(function_type: Any, type_context: Any, func_graph: Any, tracing_options: Any) -> Any:
            __tracebackhide__ = True
            wanted, self._thread.wanted = self._thread.wanted, None
            report = _Report(wanted or function_type, tracing_options)
            outer, self._thread.nested = self._thread.nested, 0.0
            start = time.perf_counter()
            failed = True
            try:
                concrete = trace(function_type, type_context, func_graph, tracing_options)
                failed = False
                return concrete
            finally:
                seconds = time.perf_counter() - start
                sink.build(report.finished(func_graph, seconds - self._thread.nested, failed))
                self._thread.nested = outer + seconds

        return tracing


def _calling(call: Callable[..., Any], sink: Sink, mode: Callable[[Any], str]) -> Callable[..., Any]:
    """Report the calls that Python makes, not those inside a graph under construction."""
    executing_eagerly = context.executing_eagerly

    def calling(function: Any, /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if executing_eagerly():
            sink.call("tf", mode(function))
        return call(function, *args, **kwargs)

    return calling


def _mode_of_function(function: Any) -> str:
    return "xla" if function._jit_compile else "graph"


def _mode_of_concrete_function(function: Any) -> str:
    return _mode(getattr(function, "_attrs", None))


def _mode(attributes: Mapping[str, Any] | None) -> str:
    return "xla" if attributes and attributes.get(_XLA) else "graph"


class _Report:
    """What is known when a trace begins: the function may change what it closes over while it is traced."""

    def __init__(self, function_type: Any, options: Any) -> None:
        self._mode = _mode(options.attributes)
        self._subject = traced_function.subject(options)
        self._arguments = trace_types.arguments(function_type.parameters, self._subject.names)
        self._conditions = _conditions(options.scope_type)
        self._hints = _HINTS_IF_RELAXED if options.reduce_retracing else _HINTS
        self._causes = (Cause("variable-creation"),) if _repeats_for_variables(options) else ()
        self._call_site = call_site()

    def finished(self, graph: Any, seconds: float, failed: bool) -> BuildReport:
        nodes, control_flow = graph_nodes.count(graph)
        return BuildReport(
            backend="tf",
            mode=self._mode,
            identity=self._subject.identity,
            arguments=self._arguments,
            nodes=nodes,
            seconds=seconds,
            call_site=self._call_site,
            control_flow=control_flow,
            causes=self._causes,
            hints=self._hints,
            failed=failed,
            internal=self._subject.internal,
            conditions=self._conditions,
        )


def _repeats_for_variables(options: Any) -> bool:
    """Whether the one trace so far was made to create variables, so that this one repeats it without creating any."""
    scopes = tracing_compilation.ScopeType
    cache = options.function_cache
    return options.scope_type is scopes.NO_VARIABLE_CREATION and cache is not None and len(cache) == 1


def _conditions(scope_type: Any) -> tuple[Condition, ...]:
    """What else TensorFlow looks traces up by, as text."""
    return tuple(
        Condition("device" if name == "device_functions" else "global-state", _STATE.get(name, name), str(value))
        for name, value in function_context.make_function_context(scope_type).context._asdict().items()
    )


_STATE: Final[Mapping[str, str]] = {
    "parent_graph": "the graph around the call",
    "device_functions": "the call",
    "colocation_stack": "tf.colocate_with",
    "in_cross_replica_context": "the cross-replica context of tf.distribute",
    "variable_policy": "the variable policy of saving",
    "xla_context_id": "the XLA context",
}
