"""Every fixture, and every hook that pytest calls before a run uses the plugin, a few lines each.

The work is done by the modules they call; `run/hooks.py` has the hooks of runs that use the plugin. pytest looks at
each name in here whenever it starts, so what only types need is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_graphmode.select import options

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import Any

    from pytest_graphmode.backends.specs import BackendSpec
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.ledger import GraphLedger


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


# What `hookspecs.py` says is read once somebody else implements a hook of it: in most runs nobody does.
def pytest_plugin_registered(manager: pytest.PytestPluginManager) -> None:
    offered = manager.hook.pytest_graphmode_backends
    if offered.has_spec() or (len(offered.get_hookimpls()) < 2 and not hasattr(manager.hook, "pytest_graphmode_build")):
        return
    from pytest_graphmode import hookspecs

    manager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_graphmode_backends() -> Sequence[BackendSpec]:
    from pytest_graphmode.backends.specs import BACKENDS

    return BACKENDS


def pytest_configure(config: pytest.Config) -> None:
    options.register_markers(config)
    if hasattr(config, "workerinput") or config.getoption("dist", "no") != "no":
        from pytest_graphmode.run import hooks

        hooks.distribute(config)
    # What can't be used must be said before tests are collected; the rest is resolved when a test needs it.
    given = options.given(config) or options.on_github()
    if not given and len(config.hook.pytest_graphmode_backends.get_hookimpls()) == 1:
        return
    from pytest_graphmode.run import hooks

    hooks.register(config)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if config.getoption("graph_lock_from") is None or config.option.help or config.option.version:
        return None
    from pytest_graphmode.run import lock_keeping

    return lock_keeping.update_from_report(config)


def pytest_report_header(config: pytest.Config) -> str:
    return options.header(config)


# First, so that a test's id begins with its variant: test_net[tf-graph-cpu-3].
@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    from pytest_graphmode.run.concern import definition_concerned

    if definition_concerned(metafunc):
        from pytest_graphmode.run import collect

        collect.parametrize(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not items:
        return
    from pytest_graphmode.ledger import places
    from pytest_graphmode.run import concern

    config.add_cleanup(places.shown_from(config.rootpath))  # any of them may watch by itself
    if concern.any_limited(items):
        from pytest_graphmode.ledger.watcher import watcher
        from pytest_graphmode.run import hooks

        watcher.begin()
        hooks.watch_calls(config)
    if config.pluginmanager.hasplugin("_run-parallel"):
        from pytest_graphmode.run import beside

        beside.keep_to_one_thread(filter(concern.counted, items))


# Around all others, which may replace what was collected.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    made = yield
    if made is None and not isinstance(obj, type):
        return made
    from pytest_graphmode.run.concern import collected_concerned

    items = made if isinstance(made, list) else [made]
    if not collected_concerned(collector, obj, items):
        return made
    from pytest_graphmode.run import collect
    from pytest_graphmode.run.agreement import collection
    from pytest_graphmode.select.registry import registry_of

    collect.look_at(collector, obj, items)
    added = collection.agreements(obj, items, registry_of(collector.config).specs)
    if not added:
        return made
    from pytest_graphmode.run import hooks

    hooks.run_agreements(collector.config)
    return [*items, *added]


@pytest.fixture
def graphmode(request: pytest.FixtureRequest) -> Iterator[Handle]:
    """The handle of the variant this test runs as; see pytest_graphmode.Handle."""
    from pytest_graphmode.run import execute, hooks

    hooks.watch_calls(request.config)
    with execute.running(request) as handle:
        yield handle


@pytest.fixture
def graph_ledger(request: pytest.FixtureRequest) -> Iterator[GraphLedger]:
    """The ledger of this test: the graphs that TensorFlow, PyTorch and JAX build during its call, and why."""
    if "graphmode" in request.fixturenames:
        request.getfixturevalue("graphmode")  # the two share one ledger
    from pytest_graphmode.run import execute, hooks

    hooks.watch_calls(request.config)
    with execute.following(request.node) as ledger:
        yield ledger
