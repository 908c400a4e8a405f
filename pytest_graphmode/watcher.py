"""Gathers the frameworks' own events into ledgers; nothing here knows a framework.

Event sources (under `backends/`) are attached while at least one recorder is open and report to all open recorders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from pytest_graphmode.builtin import BACKENDS
from pytest_graphmode.importing import ImportWatch, complete, lineage

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import SourceSpec
    from pytest_graphmode.identity import Identity
    from pytest_graphmode.ledger import BuildReport, Fallback, GraphBreak, GraphBuild, GraphLedger
    from pytest_graphmode.recorder import Recorder


class EventSource(Protocol):
    """What a backend provides so that builds of code that nobody wrapped are seen; named by a `SourceSpec`.

    Made once, when the framework's own modules it hooks into (its anchors) are imported, and attached at most once at
    a time. A source may also have a method `reset()`, which clears the framework's caches of graphs: it is called
    before a test that asserts counts, so that the order of tests does not change its verdict.
    """

    def attach(self, sink: Sink) -> Callable[[], None]:
        """Patch or subscribe to the framework, report to `sink` from any thread, and return what undoes it.

        Raises:
            UnsupportedError: this version of the framework lacks what the source hooks into.
        """


class Sink(Protocol):
    """Where event sources report.

    `call` is a call of a graph, with or without a build. `eager_call` is the end of an outermost call of eager code
    that recorded `nodes` autograd nodes (perhaps none); `fingerprint` is called only while structures are watched.
    """

    def build(self, report: BuildReport) -> None: ...
    def call(self, backend: str, mode: str) -> None: ...
    def eager_call(
        self, backend: str, mode: str, identity: Identity, nodes: int, fingerprint: Callable[[], str | None]
    ) -> None: ...
    def graph_break(self, graph_break: GraphBreak) -> None: ...
    def fallback(self, fallback: Fallback) -> None: ...


class _Attachment:
    """One event source, imported when its framework is there, and what undoes its attaching."""

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.source: EventSource | None = None
        self.detach: Callable[[], None] | None = None

    def ready(self, finishing: str) -> bool:
        return self.detach is None and all(complete(anchor, finishing) for anchor in self.spec.anchors)


class _Heard(threading.local):
    by: tuple[Recorder, ...] | None = None


class Watcher:
    """The recorders that are open, and the event sources that are attached while any is.

    One instance serves the process, since what it attaches to (a framework's module) is one per process too.
    """

    def __init__(self, sources: Iterable[SourceSpec] = ()) -> None:
        self._recorders: list[Recorder] = []
        self._attachments: list[_Attachment] = []
        self._names: set[str] = set()
        self._imports = ImportWatch(self._names, self._imported)
        self._missed: list[Exception] = []
        self._lock = threading.Lock()
        self._heard = _Heard()
        self.register(sources)

    # Sink: what the event sources call.

    def build(self, report: BuildReport) -> None:
        for recorder in self._listening:
            recorder.build(report)

    def call(self, backend: str, mode: str) -> None:
        for recorder in self._listening:
            recorder.call(backend, mode)

    def eager_call(
        self, backend: str, mode: str, identity: Identity, nodes: int, fingerprint: Callable[[], str | None]
    ) -> None:
        for recorder in self._listening:
            recorder.eager_call(backend, mode, identity, nodes, fingerprint)

    def graph_break(self, graph_break: GraphBreak) -> None:
        for recorder in self._listening:
            recorder.graph_break(graph_break)

    def fallback(self, fallback: Fallback) -> None:
        for recorder in self._listening:
            recorder.fallback(fallback)

    @property
    def _listening(self) -> tuple[Recorder, ...]:
        return tuple(self._recorders) if self._heard.by is None else self._heard.by

    @contextmanager
    def only(self, *recorders: Recorder) -> Iterator[None]:
        """What this thread builds in the block is heard by these recorders alone: the plugin's own checks' graphs."""
        kept, self._heard.by = self._heard.by, recorders
        try:
            yield
        finally:
            self._heard.by = kept

    def paused(self) -> AbstractContextManager[None]:
        """What this thread builds in the block is nobody's business."""
        return self.only()

    # Scopes.

    @property
    def current(self) -> Recorder | None:
        """The innermost open recorder."""
        return self._recorders[-1] if self._recorders else None

    def open(self, recorder: Recorder) -> None:
        self._recorders.append(recorder)
        if len(self._recorders) == 1:
            self._imports.install()
        self._attach()

    def close(self, recorder: Recorder) -> None:
        """End a recorder; with the last one nothing of a framework stays patched.

        Raises:
            Exception: what an event source raised while it attached to a framework imported in the meantime.
        """
        recorder.ledger.close()
        self._recorders.remove(recorder)
        if not self._recorders:
            self._imports.remove()
            self._detach()
        if self._missed:
            raise self._missed.pop()

    # Event sources.

    def register(self, sources: Iterable[SourceSpec]) -> Callable[[], None]:
        """Make event sources known, and attach them whenever a recorder is open and their framework is imported.

        Returns:
            What makes them unknown again.
        """
        known = {attachment.spec for attachment in self._attachments}
        added = [_Attachment(spec) for spec in dict.fromkeys(sources) if spec not in known]
        self._attachments += added
        self._name_anchors()
        if self._recorders:
            self._attach()

        def unregister() -> None:
            self._attachments = [attachment for attachment in self._attachments if attachment not in added]
            self._name_anchors()
            self._detach(added)

        return unregister

    def reset(self) -> None:
        """Clear the caches of graphs of every framework imported so far whose source can."""
        for attachment in self._attachments:
            reset = getattr(attachment.source, "reset", None)
            if reset is not None:
                reset()

    def _name_anchors(self) -> None:
        self._names.clear()
        for attachment in self._attachments:
            for anchor in attachment.spec.anchors:
                self._names.update(lineage(anchor))

    def _imported(self, name: str) -> None:
        """A framework's module was imported just now, in the middle of somebody else's import statement.

        A source that fails must not make that import fail, which would leave the framework half imported.
        """
        try:
            self._attach(name)
        except Exception as error:
            self._missed.append(error)

    def _attach(self, finishing: str = "") -> None:
        """Attach every source whose framework is imported by now."""
        for attachment in self._attachments:
            if attachment.ready(finishing):
                if attachment.source is None:
                    attachment.source = attachment.spec.load()  # not under the lock: it imports
                with self._lock:
                    if attachment.detach is None and self._recorders:
                        attachment.detach = attachment.source.attach(self)

    def _detach(self, attachments: Iterable[_Attachment] | None = None) -> None:
        with self._lock:
            for attachment in reversed(list(self._attachments if attachments is None else attachments)):
                detach, attachment.detach = attachment.detach, None
                if detach is not None:
                    detach()


watcher = Watcher(source for spec in BACKENDS for source in spec.sources)


@contextmanager
def recording(
    *, structures: bool = False, on_build: Callable[[GraphBuild], object] | None = None
) -> Iterator[Recorder]:
    """A recorder of its own: what was built before it never counts."""
    from pytest_graphmode.recorder import Recorder  # here, since pytest imports this module in every run

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
