"""What a test is collected as: its variants, and what its marks ask for. `plugin.py` calls it for those it concerns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_graphmode.run import concern
from pytest_graphmode.run.items import variant_of
from pytest_graphmode.select import variants
from pytest_graphmode.select.registry import Registry, registry_of

if TYPE_CHECKING:
    from types import TracebackType

    from _pytest.mark import ParameterSet

    from pytest_graphmode.backends.specs import BackendSpec


class FailingWithoutTraceback:
    """Fails the collection of a test with wrong markers, without a traceback."""

    def __init__(self, node: pytest.Item | pytest.Collector) -> None:
        self._node = node

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, (TypeError, ValueError)):
            raise pytest.fail.Exception(f"{self._node.nodeid}: {error}", pytrace=False) from None


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that uses `graphmode` its variants, and find wrong markers on any."""
    with FailingWithoutTraceback(metafunc.definition):
        _parametrize(metafunc)


def _parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that uses `graphmode` its variants.

    Raises:
        ValueError, TypeError: a marker has wrong arguments.
    """
    marks = list(filter(concern.ours, metafunc.definition.iter_markers()))  # the closest first
    if marks:
        from pytest_graphmode.select import markers

        markers.refuse_unknown(marks, metafunc.config)
        markers.check(marks, registry_of(metafunc.config).specs)
    if "graphmode" not in metafunc.fixturenames:
        return
    if variants.names_variants(metafunc.definition):
        name_parameters(metafunc.config)
    else:
        metafunc.parametrize("graphmode", _params(registry_of(metafunc.config), marks), indirect=True)


def name_parameters(config: pytest.Config) -> None:
    """Name variants that tests list themselves, from the first on: pytest asks this hook for every parameter."""
    if not config.pluginmanager.hasplugin("graphmode-ids"):
        config.pluginmanager.register(_ParameterIds(), "graphmode-ids")


class _ParameterIds:
    def pytest_make_parametrize_id(self, config: pytest.Config, val: object, argname: str) -> str | None:
        return variants.parameter_id(val, registry_of(config).specs) if argname == "graphmode" else None


def _params(registry: Registry, marks: Sequence[pytest.Mark]) -> list[ParameterSet]:
    if marks:
        return _params_of(registry, marks)
    if registry.params is None:
        registry.params = _params_of(registry, marks)
    return registry.params


def _params_of(registry: Registry, marks: Sequence[pytest.Mark]) -> list[ParameterSet]:
    """A parameter for each variant, or the one skipped item that stands for a test without variants."""
    from pytest_graphmode.select import markers

    request = markers.graphmode_request(marks, registry.specs)
    selected = variants.select(registry, request)
    if not selected:
        skip = pytest.mark.skip(reason=variants.reason_for_none(registry, request))
        return [pytest.param(None, id="no-variant", marks=skip)]
    extra = markers.variant_marks(marks, registry.specs)
    return [
        variant.param(entry.mark for entry in extra if entry.applies(variant, registry.specs)) for variant in selected
    ]


def look_at(collector: pytest.Collector, obj: object, items: Sequence[object]) -> None:
    """Do what the marks of single parameters ask for, and find wrong ones on a unittest class."""
    for item in items:
        if isinstance(item, pytest.Item) and hasattr(item, "callspec") and _asks(item.callspec):
            with FailingWithoutTraceback(item):
                mark_parameter(item, registry_of(item.config).specs)
    if isinstance(obj, type):
        with FailingWithoutTraceback(collector):
            check_unittest(obj, collector.config)


def _asks(callspec: Any) -> bool:
    return callspec.marks or "graphmode" in callspec.params


def mark_parameter(item: pytest.Item, specs: Mapping[str, BackendSpec]) -> None:
    """Do what the marks of a single parameter ask for, as in `pytest.param(3, marks=pytest.mark.graph_skip(...))`.

    Raises:
        ValueError, TypeError: a marker has wrong arguments, or makes no sense on a parameter, or it names no variant.
    """
    from pytest_graphmode.select import markers

    variant, marks = variant_of(item), list(item.callspec.marks)  # type: ignore[attr-defined]
    if not marks:
        return
    markers.refuse_unknown(marks, item.config)
    markers.check(marks, specs)
    if any(mark.name == "graphmode" for mark in marks):
        raise ValueError("@pytest.mark.graphmode can't narrow one parameter: use graph_skip(variants, reason=...)")
    if variant is not None:
        for entry in markers.variant_marks(marks, specs):
            if entry.applies(variant, specs):
                item.add_marker(entry.mark)


def check_unittest(obj: type, config: pytest.Config) -> None:
    """Find markers with unknown names on a unittest.TestCase, which has marks of the plugin.

    Raises:
        ValueError: there is one.
    """
    from pytest_graphmode.select import markers

    markers.refuse_unknown(concern.marks_within(obj), config)
