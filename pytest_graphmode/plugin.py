"""Every pytest hook and fixture, a few lines each; the work is done by the modules they call."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_graphmode.run import beside
from pytest_graphmode.run import execute as graph_item
from pytest_graphmode.run.items import REGISTRY
from pytest_graphmode.select import naming, settings

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import BackendSpec
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.ledger import GraphLedger
    from pytest_graphmode.report import Row
    from pytest_graphmode.select.registry import Registry


def pytest_addoption(parser: pytest.Parser) -> None:
    settings.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_graphmode import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_graphmode_backends() -> Sequence[BackendSpec]:
    from pytest_graphmode.backends.builtin import BACKENDS

    return BACKENDS


def pytest_configure(config: pytest.Config) -> None:
    settings.register_markers(config)
    registry = config.stash[REGISTRY] = graph_item.configure(config)
    if registry.settings.report:
        config.pluginmanager.register(Reporter(), "graphmode-report")
    if registry.settings.watch:
        watch_calls(config)
    if registry.settings.compiler is not None:
        use_compiler(config, registry)


def use_compiler(config: pytest.Config, registry: Registry) -> None:
    """Have torch take the compiler backend of `--graph-compiler`, where torch is installed."""
    from pytest_graphmode.run.compiler import Compiler

    settings = registry.settings
    if settings.compiler is not None and "torch" in registry.specs and registry.specs["torch"].installed:
        compiler = Compiler(settings.compiler, settings.origin("graph_compiler"))
        config.pluginmanager.register(compiler, "graphmode-compiler")
        config.add_cleanup(compiler.stop)
        compiler.start()


def pytest_report_header(config: pytest.Config) -> str:
    return graph_item.header(config.stash[REGISTRY])


# First, so that a test's id begins with its variant: test_net[tf-graph-cpu-3].
@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    try:
        graph_item.parametrize(metafunc, metafunc.config.stash[REGISTRY])
    except (TypeError, ValueError) as error:
        raise _failed(metafunc.definition, error) from None


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    return naming.parameter_id(val, argname, config.stash[REGISTRY].specs)


def _failed(node: pytest.Item | pytest.Collector, error: Exception) -> BaseException:
    """What fails the collection of a test with wrong markers, without a traceback."""
    return pytest.fail.Exception(f"{node.nodeid}: {error}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if any(map(graph_item.limited, items)):
        from pytest_graphmode.ledger.watcher import watcher

        watcher.begin()
        watch_calls(config)
    beside.keep_to_one_thread(config, filter(graph_item.counted, items))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    beside.introduce(node)


def watch_calls(config: pytest.Config) -> None:
    """Have `Calls` called, from the first test on that needs it."""
    if not config.pluginmanager.hasplugin("graphmode-calls"):
        config.pluginmanager.register(Calls(), "graphmode-calls")


class Calls:
    """Counts in the calls of tests; registered when a test is to be watched, so that other runs pay nothing."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if graph_item.limited(item):
            from pytest_graphmode.ledger.watcher import watcher

            watcher.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        registry = item.config.stash[REGISTRY]
        if not graph_item.concerned(item, registry):
            return (yield)
        with graph_item.body(item, registry):
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> None:
        graph_item.seed_call(pyfuncitem)

    # Around all others, which may run the test again and report that.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            from pytest_graphmode.run import failing

            failing.shorten(item, report)
        return report


# Around all others, which may replace what was collected.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    made = yield
    items = made if isinstance(made, list) else [made]
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and (callspec.marks or "graphmode" in callspec.params):
            try:
                graph_item.mark_parameter(item, collector.config.stash[REGISTRY])
            except (TypeError, ValueError) as error:
                raise _failed(item, error) from None
    try:
        graph_item.check_unittest(obj, collector.config)
    except ValueError as error:
        raise _failed(collector, error) from None
    if not graph_item.may_agree(collector, obj, items):
        return made
    from pytest_graphmode.run.agreement import collection

    added = collection.agreements(obj, items, collector.config.stash[REGISTRY].specs)
    if added and not collector.config.pluginmanager.hasplugin("graphmode-agreement"):
        collector.config.pluginmanager.register(Agreements(), "graphmode-agreement")
    return [*items, *added] if added else made


@pytest.fixture
def graphmode(request: pytest.FixtureRequest) -> Iterator[Handle]:
    """The handle of the variant this test runs as; see pytest_graphmode.Handle."""
    value = getattr(request, "param", None)
    if value is None:
        from pytest_graphmode.run import failing

        failing.fail(request.node, graph_item.NOT_PARAMETRIZED)
    variant = naming.named(value, request.config.stash[REGISTRY].specs)
    watch_calls(request.config)
    with graph_item.running(request.node, variant, request.config.stash[REGISTRY]) as handle:
        yield handle


@pytest.fixture
def graph_ledger(request: pytest.FixtureRequest) -> Iterator[GraphLedger]:
    """The ledger of this test: the graphs that TensorFlow, PyTorch and JAX build during its call, and why."""
    if "graphmode" in request.fixturenames:
        request.getfixturevalue("graphmode")  # the two share one ledger
    watch_calls(request.config)
    with graph_item.following(request.node) as ledger:
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
        from pytest_graphmode.run.agreement.item import Agreement

        if isinstance(item, Agreement):
            item.prepare()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_graphmode.run.agreement.item import Agreement

        try:
            return (yield)
        finally:
            if isinstance(item, Agreement):
                item.forget()

    # Around all others, which may turn a failure into an expected one.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        from pytest_graphmode.run import failing
        from pytest_graphmode.run.agreement.item import note

        report = yield
        note(item, report)
        failing.shorten(item, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        from pytest_graphmode.run.agreement.item import note_from_outside

        variant = self._variants.get(report.nodeid)
        if variant is not None:
            note_from_outside(variant, report)
