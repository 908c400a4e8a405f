"""The agreement item as pytest runs it, and what the variants before it leave for it.

Called by the hooks of `plugin.py`; made by `collection.py`, judged by `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

# pytest has no public way to run an item without reporting it; plugins that repeat tests use this one too.
from _pytest.runner import runtestprotocol

from pytest_graphmode.item import REGISTRY
from pytest_graphmode.variant import Variant

if TYPE_CHECKING:
    from pytest_graphmode.markers import AgreeRequest
    from pytest_graphmode.records import Recording, Run

# On the items of variants: what this run of it recorded, and how it ended (None: not run in this process).
RECORDING: Final = pytest.StashKey["Recording"]()
RUN: Final = pytest.StashKey["Run | None"]()


class Agreement(pytest.Item):
    """`test_net[agreement]`: compares what the variants of `test_net` recorded, once it has run those that did not."""

    def __init__(self, *, variants: Sequence[pytest.Function], request: AgreeRequest, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.variants = variants
        self.request = request
        self._left_out: set[pytest.Function] = set()
        self._failed_here: Run | None = None
        self._incomparable: str | None = None
        # The marks of the function and of its other parameters, not those of one variant.
        self.own_markers = [mark for mark in variants[0].own_markers if all(_has(item, mark) for item in variants)]
        # As on a function's item; without pytestmark, pytest reports a skip without its line.
        self.keywords.update({"pytestmark": self.own_markers, **{mark.name: mark for mark in self.own_markers}})

    def reportinfo(self) -> tuple[Path, int | None, str]:
        classes = [node.name for node in self.listchain() if isinstance(node, pytest.Class)]
        path, line, _ = self.variants[0].reportinfo()
        return Path(path), line, ".".join([*classes, self.name])

    def select(self, selected: Collection[pytest.Item]) -> None:
        """Note which items of this run were selected, and have the variants' records kept.

        A variant that --deselect names is never run, and none that -k or -m left out beside others that they did not.
        """
        option = self.config.option
        narrowed = (option.keyword or option.markexpr) and any(item in selected for item in self.variants)
        for item in self.variants:
            item.stash[RUN] = None
            if item not in selected and (narrowed or item.nodeid.startswith(tuple(option.deselect or ["\0"]))):
                self._left_out.add(item)

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Around the run of this item: the variants have run, and their records are dropped after it."""
        self._prepare()
        try:
            yield
        finally:
            self._forget()

    def _prepare(self) -> None:
        """Run the variants that have not run in this process; without two to compare, skip this item."""
        from pytest_graphmode.agreement.verdict import incomparable

        if not any(run is not None and run.outcome == "failed" for run in map(_run, self.variants)):
            self._run_missing()
        self._incomparable = None if self._failed_here else incomparable(self._runs(), self.request)
        if self._incomparable is not None:
            # As a mark, since pytest then reports the place of the test instead of a line in here.
            self.add_marker(pytest.mark.skip(reason=self._incomparable))

    def _run_missing(self) -> None:
        for item in self.variants:
            if _run(item) is None and item not in self._left_out:
                runtestprotocol(item, log=False, nextitem=self)
                run = _run(item)
                if run is not None and run.outcome == "failed":
                    self._failed_here = run
                    return

    def _runs(self) -> list[Run]:
        from pytest_graphmode.records import Run

        left_out = {item: Run(variant_of(item), "skipped", "deselected") for item in self._left_out}
        runs = [_run(item) or left_out.get(item) for item in self.variants]
        return [run for run in runs if run is not None]

    def runtest(self) -> None:
        from pytest_graphmode.agreement.verdict import disagreement

        if self._incomparable is not None:  # still here with -p no:skipping, which leaves the mark without effect
            pytest.skip(self._incomparable)
        if self._failed_here is not None:
            run = self._failed_here
            pytest.fail(f"{run.variant} failed when it was run for this item:\n\n{run.reason}", pytrace=False)
        failure = disagreement(self._runs(), self.request, self.config.stash[REGISTRY].settings.tolerances)
        if failure is not None:
            pytest.fail(failure, pytrace=False)

    def add_captured(self, report: pytest.TestReport) -> None:
        """Show what was captured of a variant that failed for this item, as --show-capture has it."""
        if self._failed_here is not None and report.when == "call":
            report.sections.extend(self._failed_here.sections)

    def _forget(self) -> None:
        """Drop the records, which may be large."""
        for item in self.variants:
            run = _run(item)
            if run is not None:
                run.recording.clear()
            item.stash[RUN] = None


def variant_of(item: pytest.Function) -> Variant:
    """What the item of a variant runs as."""
    variant = item.callspec.params["graphmode"]
    assert isinstance(variant, Variant)
    return variant


def _run(item: pytest.Item) -> Run | None:
    return item.stash.get(RUN, None)


def _has(item: pytest.Item, mark: pytest.Mark) -> bool:
    return any(own is mark for own in item.own_markers)


def fresh_recording(node: pytest.Item) -> Recording | None:
    """Where a run of a variant records its values; None for a test that has no agreement item."""
    if node.get_closest_marker("graph_agree") is None:
        return None
    node.stash[RECORDING] = {}
    return node.stash[RECORDING]


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep how a variant ran, phase by phase, for its agreement item; without one its records go with it."""
    if isinstance(item, Agreement):
        item.add_captured(report)
    elif RUN in item.stash and isinstance(item, pytest.Function):
        before = None if report.when == "setup" else item.stash[RUN]
        if before is None or before.outcome == "passed":
            item.stash[RUN] = _noted(item, report)
    elif report.when == "teardown" and RECORDING in item.stash:
        item.stash[RECORDING].clear()


def _noted(item: pytest.Function, report: pytest.TestReport) -> Run:
    from pytest_graphmode.records import Run

    variant = variant_of(item)
    if report.failed:
        return Run(variant, "failed", report.longreprtext, sections=tuple(report.sections))
    if report.skipped:
        return Run(variant, "skipped", _reason(report))
    return Run(variant, "passed", recording=item.stash.get(RECORDING, {}))


def _reason(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}".removesuffix(": ")
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")
