"""Every pytest hook and fixture, a few lines each; the work is done by the modules they call."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_graphmode import markers, options
from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.builtin import BACKENDS
from pytest_graphmode.item import REGISTRY, Registry, body, check_devices, parametrize, running

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_graphmode import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_graphmode_backends() -> Sequence[BackendSpec]:
    return BACKENDS


def pytest_configure(config: pytest.Config) -> None:
    markers.register(config)
    found = config.hook.pytest_graphmode_backends(config=config)
    specs = {spec.name: spec for group in reversed(found) for spec in group}
    config.stash[REGISTRY] = Registry(options.resolve(config, specs), specs)
    check_devices(config.stash[REGISTRY])


def pytest_report_header(config: pytest.Config) -> list[str]:
    registry = config.stash[REGISTRY]
    names = [choice.name for choice in registry.settings.backends]
    devices = list(dict.fromkeys(device for name in names for device in registry.devices(name)))
    return options.header(registry.settings, registry.specs, devices or ["cpu"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    try:
        parametrize(metafunc, metafunc.config.stash[REGISTRY])
    except (TypeError, ValueError) as error:
        pytest.fail(f"{metafunc.definition.nodeid}: {error}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with body(item, item.config.stash[REGISTRY]):
        return (yield)


@pytest.fixture
def graphmode(request: pytest.FixtureRequest) -> Iterator[Handle]:
    """The handle of the variant this test runs as; see pytest_graphmode.Handle."""
    with running(request.node, request.param, request.config.stash[REGISTRY]) as handle:
        yield handle
