"""Event sources: what a backend provides so that builds are seen, and how one is attached, proved and trusted.

Called by `watcher.py`. One source that fails takes no other down: it marks its backend as not counted, with the reason,
and only assertions about that backend fail, saying so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from pytest_graphmode.ledger.importing import complete

if TYPE_CHECKING:
    from pytest_graphmode.backends.specs import BackendSpec, SourceSpec
    from pytest_graphmode.ledger.drawing import Drawing
    from pytest_graphmode.ledger.identity import Identity
    from pytest_graphmode.ledger.ledger import BuildReport, Fallback, GraphBreak, GraphLedger


class EventSource(Protocol):
    """What a backend provides so that builds of code that nobody wrapped are seen; named by a `SourceSpec`.

    Made once, when the framework's own modules it hooks into (its anchors) are imported, and attached at most once at
    a time. It may have more methods:

    - `begin()`: a run begins, and the framework is imported already; tests start from its configuration of now;
    - `start()` puts back the configuration that the run began with: called before the fixtures of a test that asserts
      counts, which may change it;
    - `reset()` clears the framework's caches of graphs: called before the body of a test that
      asserts counts, so that the order of tests does not change its verdict;
    - `probe()` builds exactly one graph of a function with one argument named `x`: called once, before the first
      assertion; a backend whose source does not report exactly this build is not counted;
    - `audit_start() -> object` and `audit(start) -> str | None` hold a counter that the framework offers publicly
      beside what the source has reported since; the text says how they differ.
    """

    def attach(self, sink: Sink) -> Callable[[], None]:
        """Patch or subscribe to the framework, report to `sink` from any thread, and return what undoes it.

        Raises:
            UnsupportedError: this version of the framework lacks what the source hooks into.
        """


class Sink(Protocol):
    """Where event sources report.

    `call` is a call of a graph, with or without a build, of a function of this name if known; `calls_unknown` says that
    the framework does not tell of them.
    `eager_call` is the end of an outermost call of eager code that recorded `nodes` autograd nodes (perhaps none);
    `fingerprint` is called only while structures are watched, `draw` only while graphs are. `note` is for what went
    wrong beside the code under test, `not_counted` for what makes the counts of a backend wrong. `apart` says that what
    this thread builds is a graph of the plugin's own checks, `drawing` that somebody writes a report, for which small
    graphs are to be drawn (`BuildReport.drawing`).

    A call is told of when it ends, so that what it builds comes before it, or `BuildReport.called` says that it was.
    """

    @property
    def apart(self) -> bool: ...
    @property
    def drawing(self) -> bool: ...
    def build(self, report: BuildReport) -> None: ...
    def call(self, backend: str, mode: str, function: str = "") -> None: ...
    def calls_unknown(self, backend: str, mode: str) -> None: ...
    def eager_call(
        self,
        backend: str,
        mode: str,
        identity: Identity,
        nodes: int,
        fingerprint: Callable[[], str | None],
        draw: Callable[[], Drawing | None] = ...,
    ) -> None: ...
    def graph_break(self, graph_break: GraphBreak) -> None: ...
    def fallback(self, fallback: Fallback) -> None: ...
    def note(self, text: str) -> None: ...
    def not_counted(self, backend: str, reason: str) -> None: ...


class Attachment:
    """One event source, imported when its framework is there, and what undoes its attaching.

    Attributes:
        described: the backend it is a source of.
        failure: why it could not be attached, or is not to be trusted; "" as long as it is.
    """

    def __init__(self, spec: SourceSpec, backend: BackendSpec | None) -> None:
        self.spec = spec
        self.source: EventSource | None = None
        self.detach: Callable[[], None] | None = None
        self.failure = ""
        self.described = backend
        self._proved = False

    @property
    def backend(self) -> str:
        return self.described.name if self.described is not None else self.package

    @property
    def package(self) -> str:
        """The top-level package that the source hooks into."""
        return self.spec.anchors[0].partition(".")[0]

    def ready(self, finishing: str) -> bool:
        waiting = self.detach is None and not self.failure
        return waiting and all(complete(anchor, finishing) for anchor in self.spec.anchors)

    def load(self) -> EventSource | None:
        """The source itself, None where it can't be imported."""
        if self.source is None:
            try:
                self.source = self.spec.load()
            except Exception as error:
                self.fail(error)
        return self.source

    def attach(self, sink: Sink) -> None:
        if self.source is not None and self.detach is None:
            try:
                self.detach = self.source.attach(sink)
            except Exception as error:
                self.fail(error)

    def fail(self, error: Exception | str) -> None:
        """Trust its counts no longer."""
        version = f" {self.described.version}" if self.described is not None else ""
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self.failure = self.failure or f"{self.backend}{version}: {text}"

    def retry(self) -> None:
        """A new beginning: what failed before may be mended, and a source that failed its proof is proved again."""
        self.failure = ""

    @property
    def to_be_proved(self) -> Callable[[], Any] | None:
        """The probe of an attached source that was not proved yet."""
        probe: Callable[[], Any] | None = getattr(self.source, "probe", None)
        return None if self._proved or self.failure or self.detach is None else probe

    def proved(self, probe: Callable[[], Any], ledger: GraphLedger) -> None:
        """Run the probe, whose builds alone are in `ledger`, and see whether they were reported."""
        try:
            probe()
        except Exception as error:
            self.fail(f"a trivial function could not be built: {type(error).__name__}: {error}")
            return
        seen = [build.arguments[0].name if build.arguments else "no argument" for build in ledger.events]
        if seen == ["x"]:
            self._proved = True
        else:
            found = ", ".join(seen) or "none"
            self.fail(f"one build of a trivial function of x was expected, these were seen: {found}")

    def begin(self) -> None:
        if self.ready(""):
            getattr(self.load(), "begin", _nothing)()

    def start(self) -> None:
        getattr(self.source, "start", _nothing)()

    def reset(self) -> None:
        try:
            getattr(self.source, "reset", _nothing)()
        except Exception as error:
            self.fail(f"its caches of graphs can't be cleared: {type(error).__name__}: {error}")

    def audit_start(self) -> Any:
        return None if self.detach is None else getattr(self.source, "audit_start", _nothing)()

    def audit(self, start: Any) -> str | None:
        """How the framework's own counter differs from what was reported since `start`; nothing where it does not."""
        if start is None or self.detach is None:
            return None
        found: str | None = getattr(self.source, "audit", _nothing)(start)
        return found


def _nothing(*given: object) -> None:
    """In place of a method that a source does not have."""
