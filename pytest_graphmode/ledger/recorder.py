"""Turns what event sources report into a history: which builds belong together, which are rebuilds, and why.

The outermost `watch`, or a test, is a recorder of its own, opened by `watcher.py`: it decides what counts as a rebuild.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Final

from pytest_graphmode.ledger.causes import History
from pytest_graphmode.ledger.details import Details, conditions
from pytest_graphmode.ledger.drawing import Drawing, drawn_for
from pytest_graphmode.ledger.durations import CallTimes, Timed
from pytest_graphmode.ledger.identity import Identity, call_site
from pytest_graphmode.ledger.ledger import BuildReport, Cause, Fallback, GraphBreak, GraphBuild, GraphLedger
from pytest_graphmode.ledger.tally import EagerCounter

# What a build has of its report as it is.
_AS_REPORTED: Final = (
    *("backend", "mode", "arguments", "nodes", "seconds", "call_site", "control_flow", "failed", "internal"),
    *("structure", "resumed", "with_its_function", "operations", "graphless"),
)
_NEW_STRUCTURE: Final = "accept one graph per structure, or fix what the structure depends on"


def _place(report: BuildReport) -> Hashable:
    return report.backend, report.mode, report.identity.place


def _new_structure(counter: EagerCounter, nodes: int) -> tuple[Cause, ...]:
    """Why a recorded graph is unlike those before it, as far as an eager framework tells; empty for the first."""
    if not counter.sizes:
        return ()
    before = list(counter.sizes.values())[-1]
    other = " of another structure" if before == nodes else ""
    return (Cause("structure", "the recorded graph", f"{before} nodes", f"{nodes} nodes{other}", _NEW_STRUCTURE),)


class Recorder:
    """The outermost scope of watching: a test, or a `watch` outside one. Its ledgers share one history.

    Attributes:
        times: how long calls take; None where nobody asks.
        built: how many builds there were, and the seconds they took.
    """

    def __init__(
        self,
        *,
        structures: bool = False,
        on_build: Callable[[GraphBuild], object] | None = None,
        reported: bool = False,
    ) -> None:
        self.structures = structures
        self._details = Details() if reported else None
        self.guards: list[Callable[[], object]] = []
        self.times: CallTimes | None = None
        self.built = 0, 0.0
        self._on_build = on_build
        self._lock = threading.RLock()
        self._histories: dict[Hashable, History] = {}
        self._first_built_by_checks: set[Hashable] = set()
        self._counters: dict[int, EagerCounter] = {}
        self.ledger = GraphLedger()
        self._ledgers = [self.ledger]

    def restart(self) -> None:
        """Forget what was built so far: the test proper begins. Functions keep their groups, and so their counters."""
        with self._lock:
            if self.times is not None:
                self.times.totals = Timed()
            self._histories = {key: History(old.group) for key, old in self._histories.items()}
            self.ledger.clear()
            if self._details is not None:
                self._details = Details()
            for counter in self._counters.values():
                counter.clear()
                self.ledger.add_counter(counter)

    def build(self, report: BuildReport) -> None:
        """Add a build to the history.

        Raises:
            AssertionError: a block asked to be told at once of what exceeds its limits.
        """
        with self._lock:
            self._add(self._detailed(self._classify(report), report))
        self._guard()

    @property
    def drawing(self) -> bool:
        """Whether graphs are to be drawn: for a report, and not yet many."""
        return self._details is not None and self._details.drawing

    def _sound(self, report: BuildReport | None) -> Drawing | None:
        """The drawing of a build, if it is one that can be shown: backends may come from anybody."""
        if report is None or report.drawing is None:
            return None
        if report.drawing.fault:
            self.note(f"the graph of {report.identity.name} is not shown: {report.drawing.fault}")
            return None
        return report.drawing

    def _conditions(self, report: BuildReport) -> Mapping[str, str]:
        try:
            return conditions(report)
        except Exception as error:  # of what looks into the user's own objects
            self.note(f"the conditions of a build could not be described: {type(error).__name__}: {error}")
            return {}

    def _detailed(
        self, build: GraphBuild, report: BuildReport | None = None, drawn: Drawing | None = None
    ) -> GraphBuild:
        """With what only reports show."""
        if self._details is None or build.internal:
            return build
        return replace(
            build,
            calls=self._details.calls(self.ledger.calls_by_function, report),
            timed=Timed() if self.times is None else self.times.totals,
            conditions={} if report is None else self._conditions(report),
            drawing=self._details.kept(drawn or self._sound(report), first=not build.rebuild),
        )

    def _guard(self) -> None:
        for guard in self.guards:
            guard()

    def hidden(self, built: BuildReport | None = None) -> None:
        """One of the plugin's own checks built or called a graph: in no count, but the test is not without graphs."""
        if built is not None and not built.existing:
            self._first_built_by_checks.add(_place(built))
        for ledger in self._ledgers:
            ledger.add_hidden()

    def calls_unknown(self, backend: str, mode: str) -> None:
        for ledger in self._ledgers:
            ledger.add_uncountable((backend, mode))

    def note(self, text: str) -> None:
        for ledger in self._ledgers:
            ledger.add_note(text)

    def call(self, backend: str, mode: str, function: str = "") -> None:
        key = (backend, mode, function)
        for ledger in self._ledgers:
            ledger.add_call(key)

    def eager_call(
        self,
        backend: str,
        mode: str,
        identity: Identity,
        nodes: int,
        fingerprint: Callable[[], str | None],
        draw: Callable[[], Drawing | None] = lambda: None,
    ) -> None:
        """Tally a call of eager code that no `graphmode.function` wraps."""
        with self._lock:
            counter = self.counter(identity, backend, mode)
            structure = nodes and ((self.structures and fingerprint()) or nodes)
            if structure in counter.tally:
                counter.tally[structure] += 1
            else:
                self.recorded(counter, nodes, structure, draw)

    def graph_break(self, graph_break: GraphBreak) -> None:
        with self._lock:
            for ledger in self._ledgers:
                ledger.add_break(graph_break)
        self._guard()

    def fallback(self, fallback: Fallback) -> None:
        with self._lock:
            for ledger in self._ledgers:
                ledger.add_fallback(fallback)
        self._guard()

    def counter(self, identity: Identity, backend: str, mode: str) -> EagerCounter:
        """The counter of an eagerly run function; equal functions share one."""
        with self._lock:
            group = self._history(identity, backend, mode).group
            counter = self._counters.get(group)
            if counter is None:
                counter = EagerCounter(backend, mode, identity.name, identity.location, group)
                self._counters[group] = counter
                for ledger in self._ledgers:
                    ledger.add_counter(counter)
            return counter

    def recorded(
        self,
        counter: EagerCounter,
        nodes: int,
        structure: object,
        draw: Callable[[], Drawing | None] = lambda: None,
    ) -> None:
        """An eager call recorded a graph of a structure not seen before: it becomes an event."""
        with self._lock:
            now = time.perf_counter()
            causes = _new_structure(counter, nodes)
            counter.sizes[structure] = nodes
            counter.tally[structure] = counter.tally.get(structure, 0) + 1
            build = GraphBuild(
                function=counter.function,
                location=counter.location,
                backend=counter.backend,
                mode=counter.mode,
                group=counter.group,
                number=counter.builds,
                nodes=nodes,
                call_site=call_site(),
                causes=causes,
                recorded=True,
                again=counter.builds > 1,
                structure=str(structure),
                began=now,
                ended=now,
            )
            self._add(self._detailed(build, drawn=drawn_for(self, nodes, draw)))

    def open_ledger(self) -> GraphLedger:
        with self._lock:
            ledger = GraphLedger()
            for counter in self._counters.values():
                ledger.add_counter(counter)
            self._ledgers.append(ledger)
            return ledger

    def close_ledger(self, ledger: GraphLedger) -> bool:
        """End a ledger; whether any other is still open."""
        with self._lock:
            ledger.close()
            self._ledgers.remove(ledger)
            return bool(self._ledgers)

    def _add(self, build: GraphBuild) -> None:
        self.built = self.built[0] + 1, self.built[1] + build.seconds
        for ledger in self._ledgers:
            ledger.add_build(build)
        if self._on_build is not None:
            try:
                self._on_build(build)
            except Exception as error:  # of another plugin: no concern of the code that is being traced
                self.note(f"the hook pytest_graphmode_build raised {type(error).__name__}: {error}")

    def _history(self, identity: Identity, backend: str, mode: str) -> History:
        """What was built of a function: one of equal identity, else one not seen before."""
        key = (backend, mode, identity.place)
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = History(len(self._histories) + 1)
        return history

    def _classify(self, report: BuildReport) -> GraphBuild:
        now = time.perf_counter()
        history = self._history(report.identity, report.backend, report.mode)
        if report.existing and _place(report) in self._first_built_by_checks:
            report = replace(report, existing=False)  # the framework's first graph of it is in no count
        again, new_object = bool(history.count) or report.existing, history.is_new_object(report)
        causes = history.causes(report)
        history.add(report)
        return GraphBuild(
            **{name: getattr(report, name) for name in _AS_REPORTED},
            function=report.identity.name,
            location=report.identity.location,
            file=report.identity.file,
            group=history.group,
            number=history.count,
            causes=causes,
            again=again,
            new_object=new_object and (report.of_others or not report.existing),
            began=now - report.seconds if report.began is None else report.began,
            ended=now,
        )
