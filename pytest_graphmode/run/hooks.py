"""The hooks of runs that use the plugin: registered by `plugin.py` once an option or a test needs them.

So other runs do not pay for them.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_graphmode.report import Row, read
from pytest_graphmode.report.terminal import table
from pytest_graphmode.run import beside, execute, reproducing, verdict
from pytest_graphmode.run.agreement import collection, keeping
from pytest_graphmode.run.agreement.item import (
    Agreement,
    keep_record,
    note,
    note_from_outside,
    run_unreported,
    travelling_run,
)
from pytest_graphmode.run.compiler import Compiler
from pytest_graphmode.run.concern import is_agreement
from pytest_graphmode.run.items import RECORDER, in_call
from pytest_graphmode.select import options
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from argparse import Namespace

    from pytest_graphmode.run.progress import Progress


def register(config: pytest.Config) -> None:
    """Register what the options of a run ask for; a `pytest.UsageError` where one of them can't be used."""
    chosen = registry_of(config).settings
    if chosen.report:
        config.pluginmanager.register(Reporter(), "graphmode-report")
    if chosen.watch:
        watch_calls(config)
    if chosen.records is not None:
        config.pluginmanager.register(LeftOut(config.option), "graphmode-records")
    if chosen.trace is not None:
        from pytest_graphmode.run import graph_traces

        graph_traces.use(config)
    if chosen.compiler is not None:
        Compiler.use(config)
    if chosen.lock is not None or chosen.lock_update is not None:
        hold(config)
    if chosen.json is not None:
        write_report(config, "graph_json", chosen.json)
    if chosen.html is not None:
        write_report(config, "graph_html", chosen.html)
    if options.on_github():
        tell(config)
        tell_github(config)


def tell(config: pytest.Config) -> None:
    """Have the reports of tests tell what is known of graphs, and gather that in the process that is no worker."""
    from pytest_graphmode.run import telling, writing

    if not config.pluginmanager.hasplugin("graphmode-telling"):
        if hasattr(config, "workerinput"):
            channel = beside.told(config).get("begun")
            if channel is not None:  # or what started this worker, which may have another environment, listens to none
                config.pluginmanager.register(telling.Teller(lambda *said: channel.send(said)), "graphmode-telling")
            return
        gatherer = writing.Gatherer(config)
        config.pluginmanager.register(telling.Teller(gatherer.begun), "graphmode-telling")
        config.pluginmanager.register(gatherer, "graphmode-gathering")


def hold(config: pytest.Config) -> None:
    """Hold what tests count against the lock, and update it or tell of it at the end of a run."""
    from pytest_graphmode.run import lock_keeping, locking

    tell(config)
    watch_calls(config)
    locking.use(config)
    if not hasattr(config, "workerinput"):
        lock_keeping.use(config)


def write_report(config: pytest.Config, option: str, file: Path) -> None:
    """Write the report of `graph_json` or `graph_html` at the end of a run."""
    tell(config)
    if hasattr(config, "workerinput"):
        return
    from pytest_graphmode.report import document
    from pytest_graphmode.run import writing

    settings, write = registry_of(config).settings, document.write
    if option == "graph_html":
        from pytest_graphmode.report import html

        write = html.write_page
        if not html.installed():
            raise pytest.UsageError(f"{settings.given(option)}: {html.CURE}")
    writing.refuse_unwritable(settings, option, file)
    gatherer = config.pluginmanager.get_plugin("graphmode-gathering")
    assert isinstance(gatherer, writing.Gatherer)
    config.pluginmanager.register(writing.ReportWriter(file, gatherer, write), option.replace("graph_", "graphmode-"))


def tell_github(config: pytest.Config) -> None:
    """Annotate failures, and sum up what was built, in a job of GitHub Actions."""
    gatherer = config.pluginmanager.get_plugin("graphmode-gathering")
    if gatherer is not None:  # in no worker
        from pytest_graphmode.run import github

        config.pluginmanager.register(github.GitHub(config, gatherer), "graphmode-github")


def distribute(config: pytest.Config) -> None:
    """Have the processes of pytest-xdist tell each other what it does not tell them."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Worker(), "graphmode-xdist")
        return
    from pytest_graphmode.run.workers.controller import Controller

    config.pluginmanager.register(Controller(config), "graphmode-xdist")


def watch_calls(config: pytest.Config) -> None:
    """Count in the calls of tests, from the first test on that needs it."""
    if not config.pluginmanager.hasplugin("graphmode-calls"):
        registry_of(config)  # which has the watcher know all backends
        config.pluginmanager.register(CountedCalls(config), "graphmode-calls")


def run_agreements(config: pytest.Config) -> None:
    """Run agreement items, from the first that is collected on."""
    if not config.pluginmanager.hasplugin("graphmode-agreement"):
        config.pluginmanager.register(Agreements(), "graphmode-agreement")


class CountedCalls:
    """Counts in the calls of tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._progress: Progress | None = None
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.isatty:
            from pytest_graphmode.run import progress

            self._progress = progress.on_terminal(config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        execute.before_fixtures(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        if not execute.concerned(item):
            return (yield)
        with execute.body(item), self._shown(item):
            return (yield)

    def _shown(self, item: pytest.Item) -> AbstractContextManager[None]:
        """Says on a terminal how a long test gets on."""
        if self._progress is None:
            return nullcontext()
        return self._progress.of(item.name, item.stash[RECORDER].ledger)

    def pytest_enter_pdb(self) -> None:
        if self._progress is not None:
            self._progress.end()

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> None:
        execute.seed_call(pyfuncitem)

    # Around all others, which may run the test again and report that.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            verdict.shorten(item, report)
            if not is_agreement(item):
                reproducing.add_command(item, report)
        return report


class Reporter:
    """Prints the table of `--graph-report`."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = read(report.user_properties) if report.when == "call" else None
        if row is not None:
            self._rows.append(row)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_sep("=", "graph report")
        compiler = registry_of(terminalreporter.config).settings.compiler
        for line in table(self._rows, generating=compiler not in (None, "eager", "aot_eager")):
            terminalreporter.write_line(line)


class LeftOut:
    """Says at the end of a run with `--graph-records` which records were left out, but where failures say so."""

    def __init__(self, option: Namespace) -> None:
        self._lines: dict[str, None] = {}
        self._failures_show = option.tbstyle not in ("no", "line") and option.showcapture == "all"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._failures_show:
            return
        for line in (
            line for title, text in report.sections if title == keeping.LEFT_OUT for line in text.splitlines()
        ):
            self._lines.pop(line, None)  # what is said of several records stands after the last
            self._lines[line] = None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._lines:
            terminalreporter.write_sep("=", keeping.LEFT_OUT)
        for line in self._lines:
            terminalreporter.write_line(line)


class Agreements:
    """Runs agreement items."""

    def __init__(self) -> None:
        self._variants: dict[str, pytest.Function] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        collection.put_after_variants(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._variants = collection.select(session.items)

    # Before all others, which may fork or repeat an item: a variant run for an agreement is part of one they run.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        return run_unreported(item, nextitem)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        with in_call(item):
            return (yield)

    # Around all others, so that capturing and the like are set up for a variant or for the item, not for both.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        if isinstance(item, Agreement):
            item.prepare()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        try:
            done = yield
        finally:
            if isinstance(item, Agreement):
                item.forget()
        keep_record(item)
        return done

    # Around all others, which may turn a failure into an expected one.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        note(item, report)
        verdict.shorten(item, report)
        if is_agreement(item):
            reproducing.add_command(item, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        variant = self._variants.get(report.nodeid)
        if variant is not None:
            note_from_outside(variant, report)


class Worker:
    """Tells which tests stay together, and how variants got on; in a worker of pytest-xdist."""

    # First, before xdist tells which tests there are to the process that hands them out.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        groups = beside.told(session.config).get("groups")
        if groups is not None:
            groups.send(collection.groups(session.items))

    # Around all others, which may run a variant several times until it passes.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with travelling_run(item):
            return (yield)
