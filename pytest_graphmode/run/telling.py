"""What the reports of tests tell of graphs: the facts of each item, on an attribute of its reports.

Attributes of a report travel from xdist's workers to the process that started them, and no file of JUnit holds them.
`Teller` attaches them where tests run; `report/document.py` gathers them. Registered in runs that write one.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_graphmode.run import beside, verdict
from pytest_graphmode.run.concern import counted, is_agreement
from pytest_graphmode.run.execute import test_of
from pytest_graphmode.run.items import (
    FACTS,
    RECORDING,
    RERUN,
    id_of,
    in_call,
    is_of_subtest,
    skip_reason,
    variant_of,
)
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.ledger.durations import CallTimes
    from pytest_graphmode.ledger.ledger import GraphLedger
    from pytest_graphmode.run.agreement.comparison import Comparison
    from pytest_graphmode.select.registry import Registry
    from pytest_graphmode.select.variants import Variant

Data = dict[str, Any]
# How long the text of a failure may be.
_LONGEST: Final = 20_000
# `built 3 times in 0.31 s`: times stand in fields of their own, so that what is left is the same in every run.
_TOOK: Final = re.compile(r"(\) built (?:once|\d+ times|again without a graph)) in \d+\.\d+ s$", re.MULTILINE)


class Facts:
    """What is known of one item while it runs."""

    def __init__(self, item: pytest.Item) -> None:
        self.said: Data = identity(item)
        self.ran: list[Data] = []
        self._item = item
        self._lost: list[str] = []
        self._agreement = is_agreement(item)
        if self._agreement:
            self.said.update(tolerance=_tolerance(item), pairs=[])

    def counted(self, ledger: GraphLedger, seconds: float, *, static: bool, times: CallTimes) -> None:
        from pytest_graphmode.report.events import ledger_data

        with self._guarded("what was built is"):
            self.said.update(
                ledger_data(ledger, seconds, times.totals),
                static=static,
                steady_call_seconds=times.steady,
                warm_up_seconds=times.warm_up,
            )

    def compared(self, comparison: Comparison) -> None:
        from pytest_graphmode.records.archive import RecordError
        from pytest_graphmode.report.recorded import comparison_data

        with self._guarded("how variants compare is", unless=RecordError):
            self.said["pairs"] = comparison_data(comparison.pairs)

    def noted(self, item: pytest.Item, report: pytest.TestReport) -> Data:
        recording = item.stash.get(RECORDING, None)
        if report.when == "call" and recording is not None and not self._agreement:
            from pytest_graphmode.report.recorded import series_data

            with self._guarded("what was recorded is"):
                self.said.update(series=series_data(recording.values), taps=series_data(recording.taps))
        if self.ran:
            self.said["ran"] = self.ran
        if self._lost:
            notes = [*self.said.get("notes", ()), *self._lost]
            self.said.update({"text": "\n".join(self._lost)} if self._agreement else {"notes": notes})
            self._lost.clear()
        phase = {
            "phase": "subtest" if is_of_subtest(item) else report.when,
            "outcome": outcome(report),
            "seconds": round(report.duration, 6),
        }
        whole = self.said if report.when != "setup" or self._agreement else identity(item)
        return {**whole, **phase, **_text(item, report)}

    @contextmanager
    def _guarded(self, what: str, *, unless: type[Exception] | tuple[()] = ()) -> Iterator[None]:
        with guarded(self._item, what, unless=unless) as lost:
            yield
        self._lost += lost


@contextmanager
def guarded(item: pytest.Item, what: str, *, unless: type[Exception] | tuple[()] = ()) -> Iterator[list[str]]:
    """Go on where telling of an item fails, with a warning; yields a list that its text is put into too.

    `unless` has the errors that are no fault of the plugin's, and go through.
    """
    said: list[str] = []
    try:
        yield said
    except unless:
        raise
    except Exception as error:
        said.append(f"{what} left out, since reading it failed ({type(error).__name__}: {error})")
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # an error here would end the whole run
            item.warn(pytest.PytestWarning(f"pytest-graphmode: {said[0]}: a fault of the plugin, please report it"))


def identity(item: pytest.Item) -> Data:
    agreement, variant = is_agreement(item), variant_of(item)
    file, line, _ = item.location
    return {
        "test": beside.worker(item.config) + test_of(item),
        "node": id_of(item),
        "file": file.replace("\\", "/"),
        "line": None if line is None else line + 1,
        "agreement": agreement,
        "variant": None if agreement or variant is None else variant_data(variant),
    }


def _tolerance(item: Any) -> Data:
    """What the marker says, and what goes for floating values where it does not: by dtype, the project's own."""
    from pytest_graphmode.checks.tolerances import looser

    table = registry_of(item.config).settings.tolerances
    used = [variant for variant in map(variant_of, item.variants) if variant is not None]
    by_dtype = {
        one.dtype: looser([(other.dtype, other.device) for other in used if other.dtype == one.dtype], table)
        for one in used
    }
    return {
        "rtol": item.asked.rtol,
        "atol": item.asked.atol,
        "by_dtype": {name: list(pair) for name, pair in by_dtype.items()},
    }


def variant_data(variant: Variant) -> Data:
    parts = {name: getattr(variant, name) for name in ("backend", "mode", "device", "dtype")}
    return {"id": variant.id, **parts}


def outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed" if report.passed else "failed"
    return "error" if report.failed and report.when != "call" else report.outcome


def _text(item: pytest.Item, report: pytest.TestReport) -> Data:
    """The reason of a skip or failure, and where the failure is."""
    from pytest_graphmode.ledger.places import shown

    if report.passed and not hasattr(report, "wasxfail"):
        return {}
    if report.skipped or hasattr(report, "wasxfail"):
        return {"text": skip_reason(report), "failed_at": None}
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longreprtext if crash is None else verdict.whole(item, crash.message)
    text = _TOOK.sub(r"\1", text)
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return {"text": cut, "failed_at": None if crash is None else {"file": shown(crash.path), "line": crash.lineno}}


def concerned(item: pytest.Item) -> bool:
    return RERUN not in item.stash and (counted(item) or registry_of(item.config).settings.watch)


class Teller:
    """Attaches what is known of an item to its reports."""

    def __init__(self, begun: Callable[[str, str], object]) -> None:
        """Tell `begun` the id of each test that begins, and what is known of it then."""
        self._begun = begun
        self._running: list[Facts] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if not concerned(item):
            return (yield)
        facts = item.stash[FACTS] = Facts(item)
        if not self._running:
            self._begun(item.nodeid, json.dumps(facts.said))
        self._running.append(facts)
        try:
            return (yield)
        finally:
            self._running.pop()
            del item.stash[FACTS]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        with in_call(item):
            return (yield)

    # Around all others, which may turn a failure into an expected one.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        facts = item.stash.get(FACTS, None)
        if facts is not None:
            said = facts.noted(item, report)
            report.graphmode_facts = json.dumps(said)  # type: ignore[attr-defined]
            if len(self._running) > 1:  # a variant that runs for an agreement item, and is not reported itself
                self._running[-2].ran.append(said)
        return report


def environment(registry: Registry) -> Data:
    from importlib.metadata import version

    settings = registry.settings
    return {
        "plugin": version("pytest-graphmode"),
        "pytest": pytest.__version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "frameworks": {
            spec.name: {"package": spec.module, "version": spec.version}
            for spec in sorted(registry.specs.values(), key=lambda spec: spec.name)
            if spec.installed
        },
        "backends": [str(choice) for choice in settings.backends],
        "devices": list(settings.devices) if settings.devices is not None else None,
        "dtypes": list(settings.dtypes),
        "logical_cpus": settings.logical_cpus,
        "compiler": settings.compiler,
        "seed": settings.seed,
    }
