"""Gathers the frameworks' own events into ledgers; nothing here knows a framework.

Event sources (under `backends/`) are attached while at least one recorder is open and report to all open recorders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pytest_graphmode.ledger.importing import ImportWatch, lineage
from pytest_graphmode.ledger.sources import Attachment, EventSource, Sink

if TYPE_CHECKING:
    from pytest_graphmode.backends.specs import BackendSpec, SourceSpec
    from pytest_graphmode.ledger.drawing import Drawing
    from pytest_graphmode.ledger.identity import Identity
    from pytest_graphmode.ledger.ledger import BuildReport, Fallback, GraphBreak, GraphBuild, GraphLedger
    from pytest_graphmode.ledger.recorder import Recorder


__all__ = ["EventSource", "Sink", "Trust", "Watcher", "recording", "watch", "watcher"]


class _Heard(threading.local):
    """By whom this thread's builds are heard, None for all; the others are told that there was a graph, if `told`."""

    by: tuple[Recorder, ...] | None = None
    told = True


class Watcher:
    """The recorders that are open, and the event sources that are attached while any is.

    One instance serves the process, since what it attaches to (a framework's module) is one per process too.

    Attributes:
        proving: entered around each probe, by those who keep what frameworks write and want none of it.
    """

    def __init__(self, sources: Iterable[SourceSpec] = ()) -> None:
        self._recorders: list[Recorder] = []
        self._attachments: list[Attachment] = []
        self._names: set[str] = set()
        self._imports = ImportWatch(self._names, self._attach)
        self._distrusted: dict[str, str] = {}
        self._lock = threading.Lock()
        self._scopes = threading.RLock()
        self._heard = _Heard()
        self.proving: Callable[[], AbstractContextManager[None]] = nullcontext
        self.register(sources)

    # Sink: what the event sources call.

    def build(self, report: BuildReport) -> None:
        self._tell_others(report)
        for recorder in self._listening:
            recorder.build(report)

    def call(self, backend: str, mode: str, function: str = "") -> None:
        heard = self._heard.by
        for recorder in self._recorders if heard is None else heard:
            recorder.call(backend, mode, function)
        if heard is not None:
            self._tell_others()

    def calls_unknown(self, backend: str, mode: str) -> None:
        for recorder in self._listening:
            recorder.calls_unknown(backend, mode)

    def note(self, text: str) -> None:
        for recorder in self._listening:
            recorder.note(text)

    def not_counted(self, backend: str, reason: str) -> None:
        self._distrusted.setdefault(backend, reason)

    def eager_call(
        self,
        backend: str,
        mode: str,
        identity: Identity,
        nodes: int,
        fingerprint: Callable[[], str | None],
        draw: Callable[[], Drawing | None] = lambda: None,
    ) -> None:
        for recorder in self._listening:
            recorder.eager_call(backend, mode, identity, nodes, fingerprint, draw)

    def graph_break(self, graph_break: GraphBreak) -> None:
        for recorder in self._listening:
            recorder.graph_break(graph_break)

    def fallback(self, fallback: Fallback) -> None:
        for recorder in self._listening:
            recorder.fallback(fallback)

    @property
    def _listening(self) -> tuple[Recorder, ...]:
        return tuple(self._recorders) if self._heard.by is None else self._heard.by

    def _tell_others(self, built: BuildReport | None = None) -> None:
        """Let those who do not hear this thread know that a graph was built or called: their test is not vacuous."""
        heard = self._heard.by
        if heard is not None and self._heard.told:
            for recorder in self._recorders:
                if recorder not in heard:
                    recorder.hidden(built)

    @property
    def apart(self) -> bool:
        """Whether what this thread builds is heard by some recorders alone: graphs of the plugin's own checks."""
        return self._heard.by is not None

    @property
    def drawing(self) -> bool:
        """Whether anybody who hears this thread wants graphs drawn."""
        return any(recorder.drawing for recorder in self._listening)

    @contextmanager
    def only(self, *recorders: Recorder, told: bool = True) -> Iterator[None]:
        """What this thread builds in the block is heard by these recorders alone: the plugin's own checks' graphs."""
        kept = self._heard.by, self._heard.told
        self._heard.by, self._heard.told = recorders, told
        try:
            yield
        finally:
            self._heard.by, self._heard.told = kept

    def paused(self) -> AbstractContextManager[None]:
        """What this thread builds in the block is nobody's business."""
        return self.only()

    # Scopes.

    @property
    def backends(self) -> dict[str, BackendSpec]:
        """The backends whose event sources are known, by name."""
        return {one.described.name: one.described for one in self._attachments if one.described is not None}

    @property
    def current(self) -> Recorder | None:
        """The innermost open recorder."""
        return self._recorders[-1] if self._recorders else None

    def open(self, recorder: Recorder) -> None:
        with self._scopes:
            self._recorders.append(recorder)
            if len(self._recorders) == 1:
                self._name_anchors()
                self._imports.install()
                self._distrusted.clear()
                for attachment in self._attachments:
                    attachment.retry()
        self._attach()

    def close(self, recorder: Recorder) -> None:
        """End a recorder; with the last one nothing of a framework stays patched."""
        self.close_ledger(recorder, recorder.ledger)

    def close_ledger(self, recorder: Recorder, ledger: GraphLedger) -> None:
        """End a ledger, and with its last one the recorder: the block of another thread may outlive the outer one."""
        with self._scopes:
            if recorder.close_ledger(ledger):
                return
            self._recorders.remove(recorder)
            if not self._recorders:
                self._imports.remove()
                self._detach()

    # Event sources.

    def register(self, sources: Iterable[SourceSpec], backend: BackendSpec | None = None) -> Callable[[], None]:
        """Make a backend's event sources known; attach them whenever a recorder is open and the framework is imported.

        Returns:
            What makes them unknown again.
        """
        known = {attachment.spec for attachment in self._attachments}
        added = [Attachment(spec, backend) for spec in dict.fromkeys(sources) if spec not in known]
        self._attachments += added
        if self._recorders and added:
            self._name_anchors()
            self._attach()

        def unregister() -> None:
            if added:
                self._attachments = [attachment for attachment in self._attachments if attachment not in added]
                self._detach(added)

        return unregister

    def begin(self) -> None:
        """A run begins: tests that assert counts start from the frameworks' configuration of now."""
        for attachment in self._attachments:
            attachment.begin()

    def start(self) -> None:
        """A test that asserts counts is about to be set up: from the configuration that the run began with."""
        for attachment in self._attachments:
            attachment.start()

    def reset(self) -> None:
        """Clear the caches of graphs of every framework imported so far whose source can."""
        for attachment in self._attachments:
            attachment.reset()

    def verify(self) -> None:
        """Prove each source that is attached and was not proved yet, by a build of a trivial function."""
        from pytest_graphmode.ledger.recorder import Recorder

        for attachment in self._attachments:
            probe = attachment.to_be_proved
            if probe is not None:
                private = Recorder()
                with self.only(private, told=False), self.proving():
                    attachment.proved(probe, private.ledger)

    def trust(self) -> Trust:
        """What tells at the end of a block whether the counts of it can be trusted."""
        self.verify()
        return Trust(self, [(one, one.audit_start()) for one in self._attachments])

    def _name_anchors(self) -> None:
        self._names.clear()
        for attachment in self._attachments:
            for anchor in attachment.spec.anchors:
                self._names.update(lineage(anchor))

    def _attach(self, finishing: str = "") -> None:
        """Attach every source whose framework is imported by now; one that fails is not trusted, and no more.

        `finishing` is a module that was imported just now, in the middle of somebody else's import statement.
        """
        for attachment in self._attachments:
            if attachment.ready(finishing) and attachment.load() is not None:  # not under the lock: it imports
                with self._lock:
                    if self._recorders:
                        attachment.attach(self)

    def _detach(self, attachments: Iterable[Attachment] | None = None) -> None:
        with self._lock:
            for attachment in reversed(list(self._attachments if attachments is None else attachments)):
                detach, attachment.detach = attachment.detach, None
                if detach is not None:
                    detach()


class Trust:
    """Whether the counts of a block can be trusted: sources are proved, public counters are held beside them."""

    def __init__(self, watched: Watcher, audits: list[tuple[Attachment, Any]]) -> None:
        self._watcher = watched
        self._audits = audits

    def broken(self) -> dict[str, str]:
        """Why the graphs of a backend are not counted, for each of which that is so."""
        self._watcher.verify()  # of frameworks that were imported in the block
        found = dict(self._watcher._distrusted)
        for attachment in self._watcher._attachments:
            if attachment.failure:
                found.setdefault(attachment.backend, attachment.failure)
        for attachment, start in self._audits:
            difference = attachment.audit(start)
            if difference:
                found.setdefault(attachment.backend, difference)
        return found


watcher = Watcher()


@contextmanager
def recording(
    *,
    structures: bool = False,
    on_build: Callable[[GraphBuild], object] | None = None,
    reported: bool = False,
) -> Iterator[Recorder]:
    """A recorder of its own: what was built before it never counts. `reported` says that a report shows its builds."""
    from pytest_graphmode.ledger.recorder import Recorder  # here, since pytest imports this module in every run

    recorder = Recorder(structures=structures, on_build=on_build, reported=reported)
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
        watcher.close_ledger(outer, ledger)
