"""Gathers the frameworks' own events into ledgers; nothing here knows a framework.

Event sources (one per backend, under `backends/`) are attached while at least one recorder is open and report to
all open recorders. The outermost `watch`, or a test, is a recorder of its own: it decides what counts as a rebuild.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from pytest_graphmode.causes import causes_of
from pytest_graphmode.identity import Identity
from pytest_graphmode.ledger import (
    BuildReport,
    Cause,
    EagerCounter,
    Fallback,
    GraphBreak,
    GraphBuild,
    GraphLedger,
)

NEW_STRUCTURE: Final = Cause(
    "structure",
    "the recorded graph",
    cure="an eager framework records a graph on every call; nothing to do unless the structure should be fixed",
)


class EventSource(Protocol):
    """What a backend provides so that builds of code that nobody wrapped are seen.

    `attach` patches or subscribes to the framework and returns what undoes it. It is called once the framework's
    `modules` are all imported, never imports anything itself, and is attached at most once at a time. The events go to
    `sink`, from any thread.
    """

    modules: tuple[str, ...]

    def attach(self, sink: Sink) -> Callable[[], None]: ...


class Sink(Protocol):
    """Where event sources report."""

    def build(self, report: BuildReport) -> None: ...
    def call(self, backend: str, mode: str) -> None: ...
    def graph_break(self, graph_break: GraphBreak) -> None: ...
    def fallback(self, fallback: Fallback) -> None: ...


class _Group:
    """The builds of one function in one recorder."""

    def __init__(self, number: int, identity: Identity) -> None:
        self.number = number
        self.identities = [identity]
        self.reports: list[BuildReport] = []

    def holds(self, identity: Identity) -> bool:
        return any(known.same(identity) for known in self.identities)


class Recorder:
    """The outermost scope of watching: a test, or a `watch` outside one. Its ledgers share one history."""

    def __init__(self, *, structures: bool = False, on_build: Callable[[GraphBuild], None] | None = None) -> None:
        self.structures = structures
        self._on_build = on_build
        self._lock = threading.RLock()
        self._groups: dict[tuple[str, str, str, int], list[_Group]] = {}
        self._count = 0
        self._counters: list[EagerCounter] = []
        self.ledger = GraphLedger()
        self._ledgers = [self.ledger]

    def restart(self) -> None:
        """Forget what was built so far: the test proper begins."""
        with self._lock:
            self._groups.clear()
            self.ledger.clear()
            for counter in self._counters:
                counter.calls = counter.builds = counter.nodes = 0
                counter.structures.clear()
                self.ledger.add_counter(counter)

    def build(self, report: BuildReport) -> None:
        with self._lock:
            self._add(self._classify(report))

    def call(self, backend: str, mode: str) -> None:
        for ledger in self._ledgers:
            ledger.add_calls(backend, mode)

    def graph_break(self, graph_break: GraphBreak) -> None:
        for ledger in self._ledgers:
            ledger.add_break(graph_break)

    def fallback(self, fallback: Fallback) -> None:
        for ledger in self._ledgers:
            ledger.add_fallback(fallback)

    def counter(self, identity: Identity, backend: str, mode: str) -> EagerCounter:
        """The counter of an eagerly run function; equal functions share one."""
        with self._lock:
            group = self._group(identity, backend, mode)
            for counter in self._counters:
                if (counter.group, counter.backend, counter.mode) == (group.number, backend, mode):
                    return counter
            counter = EagerCounter(backend, mode, identity.name, identity.location, group.number)
            self._counters.append(counter)
            for ledger in self._ledgers:
                ledger.add_counter(counter)
            return counter

    def recorded(self, counter: EagerCounter, nodes: int, structure: object, call_site: str | None) -> None:
        """An eager call recorded a graph of a structure not seen before: it becomes an event."""
        build = GraphBuild(
            function=counter.function,
            location=counter.location,
            backend=counter.backend,
            mode=counter.mode,
            group=counter.group,
            number=counter.builds,
            nodes=nodes,
            call_site=call_site,
            causes=(NEW_STRUCTURE,) if counter.builds > 1 else (),
            recorded=True,
            structure=str(structure),
        )
        with self._lock:
            self._add(build)

    def open_ledger(self) -> GraphLedger:
        with self._lock:
            ledger = GraphLedger()
            for counter in self._counters:
                ledger.add_counter(counter)
            self._ledgers.append(ledger)
            return ledger

    def close_ledger(self, ledger: GraphLedger) -> None:
        with self._lock:
            ledger.close()
            self._ledgers.remove(ledger)

    def _add(self, build: GraphBuild) -> None:
        for ledger in self._ledgers:
            ledger.add_build(build)
        if self._on_build is not None:
            self._on_build(build)

    def _group(self, identity: Identity, backend: str, mode: str) -> _Group:
        key = (backend, mode, identity.file, identity.line)
        groups = self._groups.setdefault(key, [])
        for group in groups:
            if group.holds(identity):
                return group
        self._count += 1
        groups.append(_Group(self._count, identity))
        return groups[-1]

    def _classify(self, report: BuildReport) -> GraphBuild:
        group = self._group(report.identity, report.backend, report.mode)
        causes = causes_of(report, group.reports)
        group.reports.append(report)
        return GraphBuild(
            function=report.identity.name,
            location=report.identity.location,
            backend=report.backend,
            mode=report.mode,
            group=group.number,
            number=len(group.reports),
            arguments=report.arguments,
            nodes=report.nodes,
            seconds=report.seconds,
            call_site=report.call_site,
            control_flow=dict(report.control_flow),
            causes=causes,
            failed=report.failed,
            internal=report.internal,
            structure=report.structure,
        )


class Watcher:
    """The recorders that are open, and the event sources that are attached while any is.

    One instance serves the process, since what it attaches to (a framework's module) is one per process too.
    """

    def __init__(self) -> None:
        self._recorders: list[Recorder] = []
        self._sources: dict[str, EventSource] = {}
        self._detach: dict[str, Callable[[], None]] = {}

    # Sink: what the event sources call.

    def build(self, report: BuildReport) -> None:
        for recorder in tuple(self._recorders):
            recorder.build(report)

    def call(self, backend: str, mode: str) -> None:
        for recorder in tuple(self._recorders):
            recorder.call(backend, mode)

    def graph_break(self, graph_break: GraphBreak) -> None:
        for recorder in tuple(self._recorders):
            recorder.graph_break(graph_break)

    def fallback(self, fallback: Fallback) -> None:
        for recorder in tuple(self._recorders):
            recorder.fallback(fallback)

    # Scopes.

    @property
    def current(self) -> Recorder | None:
        """The innermost open recorder."""
        return self._recorders[-1] if self._recorders else None

    def open(self, recorder: Recorder) -> None:
        self._recorders.append(recorder)
        self.attach()

    def close(self, recorder: Recorder) -> None:
        recorder.ledger.close()
        self._recorders.remove(recorder)
        if not self._recorders:
            self.detach()

    def register(self, name: str, source: EventSource) -> None:
        """Make a backend's events known; attached at once where a recorder is open and its modules are imported."""
        self._sources.setdefault(name, source)
        if self._recorders:
            self.attach()

    def attach(self) -> None:
        """Attach every source whose framework is imported by now."""
        for name, source in self._sources.items():
            if name not in self._detach and all(module in sys.modules for module in source.modules):
                self._detach[name] = source.attach(self)

    def detach(self) -> None:
        while self._detach:
            self._detach.popitem()[1]()


watcher = Watcher()


@contextmanager
def recording(*, structures: bool = False, on_build: Callable[[GraphBuild], None] | None = None) -> Iterator[Recorder]:
    """A recorder of its own: what was built before it never counts."""
    recorder = Recorder(structures=structures, on_build=on_build)
    watcher.open(recorder)
    try:
        yield recorder
    finally:
        watcher.close(recorder)


@contextmanager
def watch(*, structures: bool = False) -> Iterator[GraphLedger]:
    """The ledger of a block. Inside a test or another `watch` it shares the outer history of what was built."""
    outer = watcher.current
    if outer is None:
        with recording(structures=structures) as recorder:
            yield recorder.ledger
        return
    kept, outer.structures = outer.structures, outer.structures or structures
    ledger = outer.open_ledger()
    try:
        yield ledger
    finally:
        outer.structures = kept
        outer.close_ledger(ledger)
