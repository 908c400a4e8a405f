"""The agreement item as pytest runs it, and what the variants before it leave for it.

Called by the hooks of `plugin.py`; made by `collection.py`, compared by `comparison.py`.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

# pytest has no public way to run an item without reporting it; plugins that repeat tests use this one too.
from _pytest.runner import runtestprotocol

from pytest_graphmode.run import beside, verdict
from pytest_graphmode.run.agreement import keeping, travelling
from pytest_graphmode.run.execute import test_of
from pytest_graphmode.run.items import FACTS, RECORDING, RERUN, is_of_subtest, skip_reason, variant_of
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.records.recording import Run
    from pytest_graphmode.run.agreement.comparison import Comparison
    from pytest_graphmode.run.agreement.keeping import Kept
    from pytest_graphmode.run.agreement.rerunning import Verdict
    from pytest_graphmode.select.markers import AgreeRequest
    from pytest_graphmode.select.variants import Variant

# On the items of variants: how this run of it ended (None: not yet, as far as this process knows).
RUN: Final = pytest.StashKey["Run | None"]()
# On a variant that is being run for an agreement item, which alone is reported.
_UNREPORTED: Final = pytest.StashKey[bool]()


class Agreement(pytest.Function):
    """`test_net[agreement]`: compares what the variants of `test_net` recorded, once it has run those that did not.

    A function item whose function is the comparison, so that other plugins find what they read of test functions.
    """

    compares_variants = True

    def __init__(self, *, variants: Sequence[pytest.Function], asked: AgreeRequest, **kwargs: Any) -> None:
        self.variants = variants
        self.asked = asked
        self._left_out: set[pytest.Function] = set()
        self._failed_here: Run | None = None
        self._incomparable: str | None = None
        self._kept: Kept | None = None
        self._trouble: str | None = None
        self._failure: str | None = None
        self._skip: pytest.MarkDecorator | None = None
        super().__init__(callobj=_in_place_of(variants[0].function, self._compare), **kwargs)
        self.fixturenames = []  # those that the test uses without naming them are for its variants
        # The marks of the function and of its other parameters, not those of one variant.
        shared = set.intersection(*(set(map(id, item.own_markers)) for item in variants))
        self.own_markers = [mark for mark in variants[0].own_markers if id(mark) in shared]

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

    def prepare(self) -> None:
        """Before this item is set up: run the variants that have not run, and compare; without two, skip this item.

        No other item can be run once this one is set up.
        """
        from pytest_graphmode.run.agreement.comparison import Comparison

        self._failed_here = None
        if self._skip is not None:  # of an earlier attempt
            self.own_markers.remove(self._skip.mark)
        self._fetch_missing()
        if not self._broken:
            self._run_missing()
        self._look_for_records()
        table = registry_of(self.config).settings.tolerances
        compared = Comparison(self._runs(), self.asked, table, self._kept)
        wrong = self._failed_here or self._trouble
        self._incomparable = None if wrong else compared.incomparable
        self._skip, self._failure = None, None
        if not wrong and self._incomparable is None:
            self._judge(compared)
        if self._incomparable is not None:
            # As a mark, since pytest then reports the place of the test instead of a line in here.
            self._skip = pytest.mark.skip(reason=beside.worker(self.config) + self._incomparable)
            self.add_marker(self._skip)
        self._tell(compared)

    def _tell(self, compared: Comparison) -> None:
        """Attach to the item's reports how the comparison went, from where JUnit and other plugins read it."""
        from pytest_graphmode.records.archive import RecordError
        from pytest_graphmode.report import put
        from pytest_graphmode.run.agreement import comparison
        from pytest_graphmode.run.telling import guarded

        wrong = self._trouble
        if self._failed_here is not None:
            wrong = f"{self._failed_here.variant} failed when it was run for this item"
        said, reason = comparison.summed_up(wrong, self._incomparable, self._failure)
        pairs = compared.pairs if said in ("agree", "disagree") else []
        worst = None
        if self.config.getoption("xmlpath", None) is not None:  # since it takes time to find out
            telling = guarded(self, "the worst difference is", unless=RecordError)
            with suppress(RecordError), telling:  # where a record is gone since
                worst = comparison.worst(pairs)
        put(
            self.user_properties,
            test=beside.worker(self.config) + test_of(self),
            verdict=said,
            reason=reason,
            reference=pairs[0].reference.name if pairs else None,
            compared=len(pairs),
            worst_difference=None if worst is None else worst[0],
            worst=None if worst is None else worst[1],
        )

    def _look_for_records(self) -> None:
        """Find the records of other runs, and what was wrong with writing those of this one."""
        self._kept, self._trouble = None, None
        if registry_of(self.config).settings.records is None or self._failed_here:
            return
        from pytest_graphmode.records.archive import RecordError

        try:
            self._kept = keeping.beside({_variant(item): item for item in self.variants}, self._runs())
            self._trouble = keeping.trouble(self.variants)
        except RecordError as error:
            self._trouble = str(error)

    @property
    def _broken(self) -> bool:
        return any(run is not None and run.outcome in ("failed", "crashed") for run in map(_run, self.variants))

    def _fetch_missing(self) -> None:
        """Take over how variants ran in other workers of pytest-xdist; one that fails is not run once more."""
        travel = travelling.of(self.config)
        if travel is None:
            return
        for item in self._missing:
            item.stash[RUN] = travel.elsewhere(item, _variant(item), wait=not self._broken)

    def _run_missing(self) -> None:
        for item in self._missing:
            self._run_one(item)
            run = _run(item)
            if run is not None and run.outcome == "failed":
                self._failed_here = run
                return

    @property
    def _missing(self) -> list[pytest.Function]:
        return [item for item in self.variants if _run(item) is None and item not in self._left_out]

    def _run_one(self, item: pytest.Function) -> None:
        """Through the hook, since other plugins prepare in theirs what they use while an item runs."""
        item.stash[_UNREPORTED] = True
        try:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=self)
        finally:
            del item.stash[_UNREPORTED]

    def _runs(self) -> list[Run]:
        from pytest_graphmode.records.recording import Run

        left_out = {item: Run(_variant(item), "skipped", "deselected") for item in self._left_out}
        runs = [_run(item) or left_out.get(item) for item in self.variants]
        return [run for run in runs if run is not None]

    def _judge(self, compared: Comparison) -> None:
        """Compare; where variants disagree, and nobody said otherwise, run them again to say more of it."""
        from pytest_graphmode.records.archive import RecordError
        from pytest_graphmode.records.disagreement import advised

        try:
            self._failure = compared.disagreement
            if FACTS in self.stash:
                self.stash[FACTS].compared(compared)
            if self._kept is not None:
                differing = compared.apart if self._failure is not None else {}
                unwritten = keeping.judge(self.variants[0], self._kept, differing)
                self._trouble = unwritten if self._failure is None else None
        except RecordError as error:  # damaged since it was looked through
            self._trouble = str(error)
        if self._failure is not None and self.asked.triage:
            said = self._triage(self._failure, compared)
            self._failure = advised("\n".join(filter(None, [self._failure, said.text])), said.cure)

    def _triage(self, failure: str, compared: Comparison) -> Verdict:
        """What reruns say; that they say nothing, where something is wrong with them, since the failure is known."""
        from pytest_graphmode.run.agreement import rerunning

        travel = travelling.of(self.config)

        def run(item: pytest.Function) -> Run | None:
            item.stash[RUN] = None
            if travel is not None:
                travel.explaining(self, item, failure)
            self._run_one(item)
            return item.stash[RUN]

        try:
            return rerunning.of(compared.pairs, rerunning.Reruns(self.variants, run))
        except Exception as error:
            why = f"{type(error).__name__}: {rerunning.reason(str(error))}"
            return rerunning.Verdict(f"Triage: left out, since it failed itself ({why}).")
        finally:
            if travel is not None:
                travel.explained(self)

    def _compare(self) -> None:
        from pytest_graphmode.records.disagreement import brief

        __tracebackhide__ = True
        if self._incomparable is not None:  # still here with -p no:skipping, which leaves the mark without effect
            pytest.skip(self._incomparable)
        if self._failed_here is not None:
            run = self._failed_here
            verdict.fail(self, f"{run.variant} failed when it was run for this item:\n\n{run.reason}")
        if self._trouble is not None:
            verdict.fail(self, self._trouble)
        if self._failure is not None:
            verdict.fail(self, self._failure, brief(self._failure))

    def add_captured(self, report: pytest.TestReport) -> None:
        """Show what was captured of a variant that failed for this item, and the records that were left out."""
        if self._failed_here is not None and report.when == "call":
            report.sections.extend(self._failed_here.sections)
        kept = self._kept
        # Without a golden value it is the failure itself that tells of stale ones.
        stale = () if kept is None or (kept.frozen and not kept.records) else kept.stale
        if stale and (report.when == "call" or report.skipped):
            report.sections.append((keeping.LEFT_OUT, "\n".join(stale)))

    def forget(self) -> None:
        """When this item is torn down, drop the records: they may be large, and another attempt makes its own."""
        travel = travelling.of(self.config)
        for item in self.variants:
            run = _run(item)
            if run is not None:
                run.recording.clear()
            item.stash[RUN] = None
            if travel is not None:
                travel.forget(item)
        self._kept = None


def _in_place_of(function: Callable[..., object], compare: Callable[[], None]) -> Callable[[], None]:
    """The comparison as a function with the place, name, text and attributes of the test's, and no fixtures."""

    @functools.wraps(function)
    def comparison() -> None:
        __tracebackhide__ = True
        compare()

    comparison.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
    return comparison


def run_unreported(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a variant for its agreement item, before any plugin that would run it in a way of its own; None for others.

    What forks or repeats items has done so with the agreement item, which this is a part of.
    """
    if _UNREPORTED not in item.stash:
        return None
    with warnings.catch_warnings():
        if RERUN in item.stash:  # its warnings are none of the run's
            warnings.simplefilter("ignore")
        runtestprotocol(item, log=False, nextitem=nextitem)
    return True


def _variant(item: pytest.Item) -> Variant:
    variant = variant_of(item)
    assert variant is not None
    return variant


def _run(item: pytest.Item) -> Run | None:
    return item.stash.get(RUN, None)


@contextmanager
def travelling_run(item: pytest.Item) -> Iterator[None]:
    """Let other workers of pytest-xdist know that a variant runs, and how it ended after all attempts.

    One that ran for an agreement item here is theirs to know of while it runs only, when it may crash this worker.
    """
    travel = travelling.of(item.config) if RUN in item.stash and RERUN not in item.stash else None
    if travel is None or not isinstance(item, pytest.Function):
        yield
        return
    travel.began(item)
    yield
    travel.ended(item, None if _UNREPORTED in item.stash else _run(item))


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep how a variant ran, phase by phase, for its agreement item; without one its records go with it."""
    if isinstance(item, Agreement):
        item.add_captured(report)
        return
    if is_of_subtest(item) and not report.failed:
        return
    if report.when != "teardown":
        item.stash[keeping.CALL_PASSED] = report.when == "call" and report.passed
    if RUN in item.stash and isinstance(item, pytest.Function):
        before = None if report.when == "setup" else item.stash[RUN]
        if before is None or before.outcome == "passed":
            item.stash[RUN] = _noted(item, report)
        elif before.outcome == "failed":  # in a subtest
            item.stash[keeping.CALL_PASSED] = False
        if RERUN in item.stash:
            report.wasxfail = ""  # no failure that --pdb stops at
    elif report.when == "teardown" and RECORDING in item.stash:
        item.stash[RECORDING].clear()


def keep_record(item: pytest.Item) -> None:
    """Once a variant is torn down and has passed, keep what it recorded for other runs.

    What goes wrong is its agreement item's to tell, or its own where that does not run.
    """
    kept = registry_of(item.config).settings.records is not None and RERUN not in item.stash
    if not kept or not isinstance(item, pytest.Function):
        return
    variant = variant_of(item)
    item.stash[keeping.UNWRITTEN] = keeping.keep(item, variant) if variant is not None else None
    trouble = item.stash[keeping.UNWRITTEN]
    if trouble is not None and RUN not in item.stash:
        verdict.fail(item, trouble)


def note_from_outside(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep that a variant failed in another process (pytest-forked), from where no record of it comes."""
    from pytest_graphmode.records.recording import Run

    if report.failed and item.stash.get(RUN, None) is None:
        item.stash[RUN] = Run(_variant(item), "failed", report.longreprtext)


def _noted(item: pytest.Function, report: pytest.TestReport) -> Run:
    from pytest_graphmode.records.recording import Recording, Run

    variant = _variant(item)
    if report.failed and RERUN in item.stash:
        crash = getattr(report.longrepr, "reprcrash", None)
        return Run(variant, "failed", report.longreprtext if crash is None else crash.message)
    if report.failed:
        return Run(variant, "failed", report.longreprtext, sections=tuple(report.sections))
    if report.skipped:
        return Run(variant, "skipped", skip_reason(report))
    return Run(variant, "passed", recording=item.stash.get(RECORDING, Recording()))
