"""Sees every trace of a tf.function, whoever wrote it, and every call that needed none.

Attached by `watcher.py` while somebody watches. TensorFlow offers no public event for a trace: its counters are per
function object and miss failed traces. All traces, nested, threaded, failed and by `get_concrete_function`, pass
through `tracing_compilation._create_concrete_function` (TensorFlow 2.16 to 2.21).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.patching import existing, patched
from pytest_graphmode.backends.tensorflow import autograph, graph_nodes, trace_types, traced_function
from pytest_graphmode.backends.tensorflow.hints import hints
from pytest_graphmode.backends.tensorflow.internals import (
    SUPPORTED,
    ConcreteFunction,
    Function,
    FunctionCache,
    context,
    function_context,
    polymorphic_function,
    tracing_compilation,
)
from pytest_graphmode.backends.tensorflow.trace_types import FunctionMemory
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.ledger import Argument, BuildReport, Cause, Condition
from pytest_graphmode.ledger.watcher import Sink

__tracebackhide__ = True

_XLA: Final = "_XlaMustCompile"


class _Traces(threading.local):
    """What one thread is in the middle of: the type its next trace was looked up by, seconds spent in nested traces."""

    wanted: Any = None
    nested: float = 0.0


class FunctionSource:
    """Reports the traces and calls of tf.functions; an `EventSource`."""

    def __init__(self) -> None:
        self._thread = _Traces()
        self._classes: weakref.WeakKeyDictionary[Any, type] = weakref.WeakKeyDictionary()
        # By their weak keys; the set keeps the records of functions that are gone.
        self._called: weakref.WeakKeyDictionary[Any, CalledFunction] = weakref.WeakKeyDictionary()
        self._records: set[CalledFunction] = set()
        # A trace knows the captures of its function and not the function, so these stand for it.
        self._memories: weakref.WeakKeyDictionary[Any, FunctionMemory] = weakref.WeakKeyDictionary()

    def attach(self, sink: Sink) -> Callable[[], None]:
        # What `graph_nodes.py` follows calls by.
        existing(SUPPORTED, tf.__internal__.FuncGraph, "_get_function", ("self", "name"))
        traced = ("function_type", "type_context", "func_graph", "tracing_options")
        return patched(
            SUPPORTED,
            (tracing_compilation, "_create_concrete_function", lambda trace: self._tracing(trace, sink), traced),
            (FunctionCache, "generalize", self._generalizing, ("self", "context", "function_type")),
            (Function, "_call", lambda call: self._calling(call, sink), ("self", "args", "kwds")),
            (ConcreteFunction, "_call_impl", lambda call: _calling_concrete(call, sink), ("self",)),
            (polymorphic_function, "class_method_to_instance_method", self._binding, ("original_function", "instance")),
            autograph.giving_up(sink),
        )

    def reset(self) -> None:
        """Make AutoGraph say again which functions it can't transform; what was traced stays."""
        autograph.forget()

    def probe(self) -> None:
        """Build one graph; not by a call, which builds none under run_functions_eagerly."""
        tf.function(lambda x: x, autograph=False).get_concrete_function(tf.TensorSpec([]))

    def audit_start(self) -> dict[CalledFunction, tuple[int, int]]:
        """Where the counters of all functions stand now; functions that are gone are forgotten."""
        self._records = {record for record in self._records if record.function() is not None}
        return {record: record.now() for record in self._records}

    def audit(self, start: dict[CalledFunction, tuple[int, int]]) -> str | None:
        """How the public counters grew otherwise than what was seen; None where they did not."""
        for record in list(self._records):
            grown, seen = (now - then for now, then in zip(record.now(), start.get(record, record.first), strict=True))
            if grown != seen:
                return (
                    f"{record.name}.experimental_get_tracing_count() grew by {grown}, but {seen} builds of it were seen"
                )
        return None

    def _memory(self, captures: Any) -> FunctionMemory:
        return FunctionMemory() if captures is None else self._memories.setdefault(captures, FunctionMemory())

    def _generalizing(self, generalize: Callable[..., Any]) -> Callable[..., Any]:
        """With reduce_retracing the trace is of a generalized type; this call is the last to see the actual one."""

        def remembering(cache: Any, context: Any, function_type: Any) -> Any:
            self._thread.wanted = function_type
            return generalize(cache, context, function_type)

        return remembering

    def _binding(self, bind: Callable[..., Any]) -> Callable[..., Any]:
        """TensorFlow holds the objects of methods weakly: one that nobody keeps is gone when `Net().step(x)` traces."""

        def binding(function: Any, instance: Any) -> Any:
            bound = bind(function, instance)
            self._classes[bound._function_captures] = type(instance)
            return bound

        return binding

    def _tracing(self, trace: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        def tracing(function_type: Any, type_context: Any, func_graph: Any, tracing_options: Any) -> Any:
            __tracebackhide__ = True
            wanted, self._thread.wanted = self._thread.wanted, None
            report = self._described(wanted or function_type, tracing_options, sink)
            outer, self._thread.nested = self._thread.nested, 0.0
            start = time.perf_counter()
            failed = True
            try:
                concrete = trace(function_type, type_context, func_graph, tracing_options)
                failed = False
                if tracing_options.function_cache is not None:
                    memory = self._memory(tracing_options.function_captures)
                    memory.built(tracing_options.function_cache, apart=sink.apart)
                return concrete
            finally:
                seconds = time.perf_counter() - start
                built = replace(report, seconds=seconds - self._thread.nested, failed=failed, began=start)
                self._thread.nested = outer + seconds
                sink.build(_measured(built, func_graph, sink))

        return tracing

    def _described(self, function_type: Any, options: Any, sink: Sink) -> BuildReport:
        """What is known when a trace begins: the function may change what it closes over while it is traced."""
        try:
            return self._report(function_type, options, self._memory(options.function_captures))
        except Exception as error:  # of the user's own classes: no concern of the code that is being traced
            sink.note(f"a trace of {options.name} could not be described: {type(error).__name__}: {error}")
            found = identity.Identity(options.name, "?", 0, owner=identity.token(options.function_captures or 0))
            return BuildReport("tf", _mode(options.attributes), found, internal=options.function_cache is None)

    def _report(self, function_type: Any, options: Any, memory: FunctionMemory) -> BuildReport:
        subject = traced_function.subject(options, self._classes)
        repeats = _repeats_for_variables(options)
        causes = [Cause("variable-creation")] if repeats else []
        arguments = trace_types.arguments(function_type.parameters, subject.names, memory, causes)
        causes += memory.forms(_forms(function_type.parameters, subject.names))
        context = function_context.make_function_context(options.scope_type).context
        held = [] if options.function_cache is None else memory.held(options.function_cache)
        return BuildReport(
            backend="tf",
            mode=_mode(options.attributes),
            identity=subject.identity,
            arguments=arguments,
            call_site=identity.call_site(),
            causes=tuple(causes),
            considered=_considered(arguments, subject.identity),
            hints=hints(subject.identity.file, relaxed=options.reduce_retracing) | memory.hints(arguments),
            internal=subject.internal,
            conditions=_conditions(context),
            existing=bool(held) and not repeats,
            earlier=lambda: [_earlier(*key, options, subject, memory) for key in held],
        )

    def _calling(self, call: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        """Report the calls that Python makes, not those inside a graph under construction."""
        executing_eagerly = context.executing_eagerly

        def calling(function: Any, /, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            record = self._called.get(function)
            if record is None:
                record = self._called[function] = CalledFunction(function, self._memory(function._function_captures))
                self._records.add(record)
            by_python = executing_eagerly()
            try:
                return call(function, *args, **kwargs)
            finally:
                record.now()
                if by_python:
                    sink.call("tf", "xla" if function._jit_compile else "graph", function.name)

        return calling


def _calling_concrete(call: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
    executing_eagerly = context.executing_eagerly

    def calling(function: Any, /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if not executing_eagerly():
            return call(function, *args, **kwargs)
        try:
            return call(function, *args, **kwargs)
        finally:
            sink.call("tf", _mode(getattr(function, "_attrs", None)), function.graph.name)

    return calling


def _measured(report: BuildReport, graph: Any, sink: Sink) -> BuildReport:
    try:
        return graph_nodes.measured(report, graph, sink)
    except Exception as error:  # of a graph that TensorFlow gave up half-way
        sink.note(f"the graph of {report.identity.name} could not be counted: {type(error).__name__}: {error}")
        return report


def _mode(attributes: Mapping[str, Any] | None) -> str:
    return "xla" if attributes and attributes.get(_XLA) else "graph"


def _considered(arguments: tuple[Argument, ...], function: identity.Identity) -> frozenset[str] | None:
    """All arguments but those that a partial holds, which are part of the function; None for simply all."""
    held = {content.name: content.text for content in function.contents if content.role == "partial"}
    fixed = {one.name for one in arguments if held.get(one.name) == one.text}
    if not fixed:
        return None
    return frozenset(name for one in arguments for name in (one.name, one.root) if name not in fixed)


def _earlier(
    context: Any, function_type: Any, options: Any, subject: traced_function.Subject, memory: FunctionMemory
) -> BuildReport:
    """A graph that a tf.function held already, for the comparison with a new one."""
    arguments = trace_types.arguments(function_type.parameters, subject.names, memory, [])
    conditions = _conditions(context.context)
    return BuildReport("tf", _mode(options.attributes), subject.identity, arguments=arguments, conditions=conditions)


def _forms(parameters: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """How arguments of a wrapper that takes `*args, **kwargs` were given, by the names of what it wraps."""
    known = set(names.values())
    found = {names[name]: "by position" for name in parameters if name in names}
    return found | {name: "by keyword" for name in parameters if name in known}


def _repeats_for_variables(options: Any) -> bool:
    """Whether the one trace so far was made to create variables, so that this one repeats it without creating any."""
    scopes, cache = tracing_compilation.ScopeType, options.function_cache
    if options.scope_type is not scopes.NO_VARIABLE_CREATION or cache is None:
        return False
    return [context.scope_type for context, _ in cache._primary] == [scopes.VARIABLE_CREATION]


def _conditions(eager_context: Any) -> tuple[Condition, ...]:
    """What else TensorFlow looks traces up by, as text."""
    return tuple(
        Condition(
            "device" if name == "device_functions" else "global-state",
            _STATE.get(name, name),
            text := _state(value),
            shown=text not in ("none", "False", "0"),
        )
        for name, value in eager_context._asdict().items()
    )


def _state(value: Any) -> str:
    """What a trace was looked up by without its address: `CPU:1`, `tf.Graph 2`."""
    if isinstance(value, tf.Graph):
        return f"tf.Graph {identity.token(value)}"
    if isinstance(value, tuple):
        return ", ".join(map(_device, value)) or "none"
    return "none" if value is None else str(value)


def _device(function: Any) -> str:
    """The device that a function of tf.device chooses, which reads `<...> (spec: /job:localhost/.../device:CPU:1)`
    (TensorFlow 2.16 to 2.21); the name of a function of the user's, or of what is colocated with.
    """
    specification = str(function).rpartition("device:")[2].rstrip(")")
    return specification if "device:" in str(function) else getattr(function, "__name__", type(function).__name__)


_STATE: Final[Mapping[str, str]] = {
    "parent_graph": "the graph around the call",
    "device_functions": "the call",
    "colocation_stack": "tf.colocate_with",
    "in_cross_replica_context": "the cross-replica context of tf.distribute",
    "variable_policy": "the variable policy of saving",
    "xla_context_id": "the XLA context",
}


class CalledFunction:
    """A tf.function that was called: its own counter, which outlives it, and how many builds of it were seen."""

    def __init__(self, function: Any, memory: FunctionMemory) -> None:
        self.function = weakref.ref(function)
        self.name = function.name
        self._memory = memory
        self._public = 0
        self.first = self.now()

    def now(self) -> tuple[int, int]:
        """TensorFlow's count, as it was last known of a function that is gone, and ours."""
        function = self.function()
        if function is not None:
            self._public = function.experimental_get_tracing_count()
        return self._public, self._memory.builds
