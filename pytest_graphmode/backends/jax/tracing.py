"""Sees every graph that JAX traces: the event source for JAX, whoever called it and however deep in a library.

`watcher.py` attaches it once JAX is imported; `steps.py` knows which of JAX's functions trace.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

import jax
import jax.monitoring
import numpy as np

from pytest_graphmode.backends.jax import description, graph_nodes, steps, wrappers
from pytest_graphmode.backends.jax.hints import CONSTRUCT_HINTS, HINTS
from pytest_graphmode.backends.jax.history import Traced, causes
from pytest_graphmode.backends.jax.steps import Step
from pytest_graphmode.backends.jax.structure import structure_of
from pytest_graphmode.backends.jax.variables import TOLD, Signal
from pytest_graphmode.backends.jax.wrappers import Call, of_user, unwrapped
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.causes import RECENT
from pytest_graphmode.ledger.ledger import BuildReport, Condition
from pytest_graphmode.ledger.watcher import Sink

_TRACED: Final = "/jax/core/compile/jaxpr_trace_duration"
_PROBE: Final = "graphmode_probe"


class JitSource:
    """Reports a build for each trace on a cache miss: of jax.jit, nested, failed and in threads too, and of the
    functions given to jax.lax's loops and branches outside of jit.
    """

    def __init__(self) -> None:
        self._open = _Open()
        # The latest graphs of each function, by its place.
        self._history: defaultdict[Hashable, deque[Traced]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._latest: tuple[Condition, ...] = ()
        self._unseen: list[str] = []
        self._sink: Sink | None = None

    def attach(self, sink: Sink) -> Callable[[], None]:
        undo = steps.installed(self._around, self._begin, lambda: not self._open.steps)
        self._sink = sink
        jax.monitoring.register_event_duration_secs_listener(self._heard)

        def detach() -> None:
            undo()
            self._sink = None
            _unregister(self._heard)
            self._history.clear()

        return detach

    def reset(self) -> None:
        jax.clear_caches()
        self._history.clear()

    def probe(self) -> None:
        """Trace one function, without a device: where a test only imports JAX, none is taken."""

        def graphmode_probe(x: Any) -> Any:
            return x

        jax.jit(graphmode_probe).trace(jax.ShapeDtypeStruct((), np.float32))

    def audit_start(self) -> int:
        return len(self._unseen)

    def audit(self, start: int) -> str | None:
        """Whether JAX reported, by its public monitoring events, a trace that this source did not see."""
        unseen = self._unseen[start:]
        if not unseen:
            return None
        return (
            f"JAX {jax.__version__} reported {len(unseen)} traces by its monitoring events that were not seen here, "
            f"the first of {unseen[0]}"
        )

    def _heard(self, event: str, duration: float, **details: Any) -> None:
        """JAX's public event, which comes at the end of each outermost trace, JAX's own functions included."""
        if event == _TRACED and self._sink is not None and not self._open.steps:
            self._unseen.append(str(details.get("fun_name", "a function")))

    def _begin(self) -> None:
        """JAX begins to trace: what the innermost step is for, unless that is under way already."""
        if self._open.steps:
            self._open.steps[-1].began = True

    def _around(self, step: Step, run: Callable[[], Any], graph: Callable[[Any], Any]) -> Any:
        """Run a step of JAX, and report what it traced."""
        __tracebackhide__ = True
        nested = bool(self._open.steps)
        step.started = time.perf_counter()
        self._open.steps.append(step)
        try:
            found = run()
        except Signal:
            raise
        except BaseException:
            if step.began:
                self._report(step, None, nested)
            raise
        finally:
            self._open.steps.pop()
        if step.began:
            self._report(step, graph(found), nested)
        return found

    def _report(self, step: Step, graph: Any, nested: bool) -> None:
        """Tell of one trace; what goes wrong while it is described must not reach the user's call."""
        sink = self._sink
        if sink is None or _is_detail(step, nested) or self._continues(step):
            return
        try:
            report = self._described(step, graph, sink)
        except Exception as error:
            sink.not_counted("jax", f"a graph could not be described: {type(error).__name__}: {error}")
            return
        sink.build(report)
        outermost = self._open.steps[0] if nested else step
        if not getattr(outermost.function, TOLD, False):
            sink.calls_unknown("jax", "jit")

    def _continues(self, step: Step) -> bool:
        """Whether a construct traces the function again for the same graph, its carry having another dtype now."""
        before, self._open.latest = self._open.latest, None
        if not step.construct:
            return False
        mine = _Latest(identity.token(step.function), step.construct, step.origin, step.args)
        self._open.latest = mine
        if before is None or before[:2] != mine[:2]:
            return False
        if mine.origin is not None:
            return before.origin is mine.origin
        return steps.differs_by_weak_types(before.args, mine.args)

    def _described(self, step: Step, graph: Any, sink: Sink) -> BuildReport:
        seconds = time.perf_counter() - step.started
        call = unwrapped(step.function, step.args, step.kwargs)
        found = wrappers.identity_of(call, step.function, step.construct)
        internal = wrappers.is_internal(found) and found.name != _PROBE
        report = BuildReport(
            backend="jax",
            mode="jit",
            identity=found,
            seconds=seconds,
            began=step.started,
            call_site=identity.call_site(),
            hints=CONSTRUCT_HINTS if step.construct else HINTS,
            failed=graph is None,
            internal=internal,
        )
        if graph is not None:
            report = graph_nodes.measured(report, graph, sink)
        return report if internal else self._compared(step, call, report)

    def _compared(self, step: Step, call: Call, report: BuildReport) -> BuildReport:
        """With the arguments, and what other graphs of the function there are."""
        traced = _traced(step, report.identity, call, description.context(), self._conditions())
        recent = self._history[report.identity.place]
        past = list(recent) or _held(step, traced)
        recent.append(traced)
        own = steps.graphs(step.function) > (not report.failed)
        others = bool(past) and not own and not any(one.identity.same_object(report.identity) for one in past)
        return replace(
            report,
            arguments=traced.arguments,
            conditions=traced.conditions,
            causes=tuple(causes(past, traced)),
            existing=bool(past) or own,
            of_others=others,
            earlier=lambda: [replace(report, arguments=one.arguments, conditions=one.conditions) for one in past],
        )

    def _conditions(self) -> tuple[Condition, ...]:
        """JAX's configuration; builds that had the same share one object."""
        found = description.conditions()
        if found != self._latest:
            self._latest = found
        return self._latest


def _is_detail(step: Step, nested: bool) -> bool:
    """Whether a trace is none of a function that anybody knows: of one operation, or a part of JAX's own functions."""
    if nested or step.construct:
        return not of_user(unwrapped(step.function, step.args, step.kwargs).function)
    return wrappers.is_dispatch(step.function)


def _traced(
    step: Step, found: identity.Identity, call: Call, context: int, conditions: tuple[Condition, ...]
) -> Traced:
    static = step.static if call.function is step.function else lambda number, name: False
    return Traced(found, structure_of(call, static), conditions, context)


def _held(step: Step, now: Traced) -> list[Traced]:
    """The graphs of a function that JAX holds and nobody saw built, without the one it just made or tried to."""
    found = [
        _traced(step, now.identity, unwrapped(step.function, args, kwargs), context, now.conditions)
        for args, kwargs, context in steps.cached(step.function)
    ]
    mine = next((one for one in found if (one.structure, one.context) == (now.structure, now.context)), None)
    return [one for one in found if one is not mine]


class _Latest(NamedTuple):
    """The latest trace for a construct in a thread; nothing of the user's is kept alive."""

    function: int
    construct: str
    origin: object
    args: Any  # abstract values


class _Open(threading.local):
    """The steps that are under way in a thread, the innermost last."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.latest: _Latest | None = None


def _unregister(listener: Callable[..., Any]) -> None:
    from jax._src import monitoring  # where it was before JAX 0.5 made it public

    private = "_unregister_event_duration_listener_by_callback"
    unregister = getattr(jax.monitoring, "unregister_event_duration_listener", None) or getattr(monitoring, private)
    with suppress(AssertionError, ValueError):  # the test cleared all listeners
        unregister(listener)
