"""Every pytest hook and fixture, a few lines each; the work is done by the modules they call."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_graphmode.select import options

if TYPE_CHECKING:
    from pytest_graphmode.backends.specs import BackendSpec
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.ledger import GraphLedger
    from pytest_graphmode.report import Row


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_graphmode import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_graphmode_backends() -> Sequence[BackendSpec]:
    from pytest_graphmode.backends.builtin import BACKENDS

    return BACKENDS


def pytest_configure(config: pytest.Config) -> None:
    options.register_markers(config)
    # What can't be used must be said before tests are collected; the rest is resolved when a test needs it.
    if not options.given(config) and len(config.hook.pytest_graphmode_backends.get_hookimpls()) == 1:
        return
    from pytest_graphmode.select.registry import registry_of

    chosen = registry_of(config).settings
    if chosen.report:
        config.pluginmanager.register(Reporter(), "graphmode-report")
    if chosen.watch:
        watch_calls(config)
    if chosen.records is not None:
        from pytest_graphmode.run.agreement.keeping import Remarks

        config.pluginmanager.register(Remarks(), "graphmode-records")
    if chosen.compiler is not None:
        from pytest_graphmode.run.compiler import Compiler

        Compiler.use(config)


def pytest_report_header(config: pytest.Config) -> str:
    from pytest_graphmode.select.header import header

    return header(config)


# First, so that a test's id begins with its variant: test_net[tf-graph-cpu-3].
@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    from pytest_graphmode.run import collect

    with collect.failing_without_traceback(metafunc.definition):
        collect.parametrize(metafunc)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    if argname != "graphmode":
        return None
    from pytest_graphmode.select import variants
    from pytest_graphmode.select.registry import registry_of

    return variants.parameter_id(val, registry_of(config).specs)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not items:
        return
    from pytest_graphmode.ledger import places
    from pytest_graphmode.run import collect

    config.add_cleanup(places.shown_from(config.rootpath))  # any of them may watch by itself
    if any(map(collect.limited, items)):
        from pytest_graphmode.ledger.watcher import watcher

        watcher.begin()
        watch_calls(config)
    if config.pluginmanager.hasplugin("_run-parallel"):
        from pytest_graphmode.run import beside

        beside.keep_to_one_thread(filter(collect.counted, items))


# First, before xdist tells which tests there are to the process that hands them out.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    from pytest_graphmode.run import beside

    groups = beside.told(session.config).get("groups")
    if groups is not None:
        from pytest_graphmode.run.agreement import collection

        groups.send(collection.groups(session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    from pytest_graphmode.run.workers import controller

    controller.introduce(node)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    from pytest_graphmode.run.workers import controller

    if error:
        controller.lost(node)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: Any) -> None:
    from pytest_graphmode.run.workers import controller

    controller.explain_crash(crashitem, report)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from pytest_graphmode.run.workers import controller

    return controller.scheduler(config, log)


def watch_calls(config: pytest.Config) -> None:
    """Have `CountedCalls` called, from the first test on that needs it."""
    if not config.pluginmanager.hasplugin("graphmode-calls"):
        from pytest_graphmode.select.registry import registry_of

        registry_of(config)  # which has the watcher know all backends
        config.pluginmanager.register(CountedCalls(), "graphmode-calls")


class CountedCalls:
    """Counts in the calls of tests; registered when a test is to be watched, so that other runs pay nothing."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        from pytest_graphmode.run import execute

        execute.before_fixtures(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_graphmode.run import execute

        if not execute.concerned(item):
            return (yield)
        with execute.body(item):
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> None:
        from pytest_graphmode.run import execute

        execute.seed_call(pyfuncitem)

    # Around all others, which may run the test again and report that.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            from pytest_graphmode.run import verdict

            verdict.shorten(item, report)
        return report


# Around all others, which may replace what was collected.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    made = yield
    if made is None and not isinstance(obj, type):
        return made
    from pytest_graphmode.run import collect

    items = made if isinstance(made, list) else [made]
    collect.look_at(collector, obj, items)
    if not collect.may_agree(collector, obj, items):
        return made
    from pytest_graphmode.run.agreement import collection
    from pytest_graphmode.select.registry import registry_of

    added = collection.agreements(obj, items, registry_of(collector.config).specs)
    if added and not collector.config.pluginmanager.hasplugin("graphmode-agreement"):
        collector.config.pluginmanager.register(Agreements(), "graphmode-agreement")
    return [*items, *added] if added else made


@pytest.fixture
def graphmode(request: pytest.FixtureRequest) -> Iterator[Handle]:
    """The handle of the variant this test runs as; see pytest_graphmode.Handle."""
    from pytest_graphmode.run import execute

    watch_calls(request.config)
    with execute.running(request) as handle:
        yield handle


@pytest.fixture
def graph_ledger(request: pytest.FixtureRequest) -> Iterator[GraphLedger]:
    """The ledger of this test: the graphs that TensorFlow, PyTorch and JAX build during its call, and why."""
    if "graphmode" in request.fixturenames:
        request.getfixturevalue("graphmode")  # the two share one ledger
    from pytest_graphmode.run import execute

    watch_calls(request.config)
    with execute.following(request.node) as ledger:
        yield ledger


class Reporter:
    """Prints the table of `--graph-report`; registered only where it is asked for."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        from pytest_graphmode.report import read

        row = read(report.user_properties) if report.when == "call" else None
        if row is not None:
            self._rows.append(row)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from pytest_graphmode.report.terminal import table

        terminalreporter.write_sep("=", "graph report")
        for line in table(self._rows):
            terminalreporter.write_line(line)


class Agreements:
    """Runs agreement items; registered when the first is collected, so that runs without them pay nothing."""

    def __init__(self) -> None:
        self._variants: dict[str, pytest.Function] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        from pytest_graphmode.run.agreement import collection

        collection.put_after_variants(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from pytest_graphmode.run.agreement import collection

        self._variants = collection.select(session.items)

    # Before all others, which may fork or repeat an item: a variant run for an agreement is part of one they run.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        from pytest_graphmode.run.agreement.item import run_unreported

        return run_unreported(item, nextitem)

    # Around all others, so that capturing and the like are set up for a variant or for the item, not for both.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_graphmode.run.agreement.item import Agreement, note_beginning

        if isinstance(item, Agreement):
            item.prepare()
        else:
            note_beginning(item)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_graphmode.run.agreement.item import Agreement, keep_record

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
        from pytest_graphmode.run import verdict
        from pytest_graphmode.run.agreement.item import note

        report = yield
        note(item, report)
        verdict.shorten(item, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        from pytest_graphmode.run.agreement.item import note_from_outside

        variant = self._variants.get(report.nodeid)
        if variant is not None:
            note_from_outside(variant, report)
