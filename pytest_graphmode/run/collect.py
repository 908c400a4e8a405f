"""What a test is collected as: its variants, and what its marks ask for. Called by `plugin.py`, for every test."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_graphmode.run.items import is_agreement, variant_of
from pytest_graphmode.select import variants
from pytest_graphmode.select.registry import Registry, registry_of

if TYPE_CHECKING:
    from types import TracebackType

    from _pytest.mark import ParameterSet

    from pytest_graphmode.backends.specs import BackendSpec

_LIMITS = ("graph_rebuilds", "graph_budget")
_INHERITED = pytest.StashKey[bool]()


class FailingWithoutTraceback:
    """Fails the collection of a test with wrong markers, without a traceback."""

    def __init__(self, node: pytest.Item | pytest.Collector) -> None:
        self._node = node

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, (TypeError, ValueError)):
            raise pytest.fail.Exception(f"{self._node.nodeid}: {error}", pytrace=False) from None


def _ours(mark: pytest.Mark) -> bool:
    """Whether a mark is the plugin's, or looks so."""
    return mark.name.startswith(("graph_", "graphmode"))


def _inherits_marks(collector: pytest.Collector) -> bool:
    """Whether one of the plugin's marks is on a class or module; kept there, since each of its tests asks."""
    known = collector.stash.get(_INHERITED, None)
    if known is None:
        known = collector.stash[_INHERITED] = any(map(_ours, collector.iter_markers()))
    return known


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that uses `graphmode` its variants, and find wrong markers on any; quick where neither is there."""
    definition = metafunc.definition
    marked = any(map(_ours, definition.own_markers)) or _inherits_marks(definition.parent)  # type: ignore[arg-type]
    if marked or "graphmode" in metafunc.fixturenames:
        with FailingWithoutTraceback(definition):
            _parametrize(metafunc)


def _parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that uses `graphmode` its variants.

    Raises:
        ValueError, TypeError: a marker has wrong arguments.
    """
    marks = list(filter(_ours, metafunc.definition.iter_markers()))  # the closest first
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


def look_at(collector: pytest.Collector, obj: object, items: Sequence[object]) -> bool:
    """Do what the marks of single parameters ask for, and find wrong ones on a unittest class.

    Quick, since everything that is collected comes by.

    Returns:
        whether what was collected needs a look by `agreement`
    """
    asking = [item for item in items if hasattr(item, "callspec") and _asks(item.callspec)]
    for item in asking:
        if isinstance(item, pytest.Item):
            with FailingWithoutTraceback(item):
                mark_parameter(item, registry_of(item.config).specs)
    if isinstance(obj, type):
        with FailingWithoutTraceback(collector):
            return check_unittest(obj, collector.config)
    # The marks of a function are on all that was collected from it; only those of parameters differ.
    return _inherits_marks(collector) or any(
        mark.name == "graph_agree" for item in (*items[:1], *asking) for mark in getattr(item, "own_markers", ())
    )


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


def check_unittest(obj: type, config: pytest.Config) -> bool:
    """Find markers with unknown names on a unittest.TestCase, whose methods pytest does not parametrize.

    Returns:
        whether it is one; a mark may then be on a method, where it would be silently without effect

    Raises:
        ValueError: there is one.
    """
    unittest = sys.modules.get("unittest")
    if unittest is None or not issubclass(obj, unittest.TestCase):
        return False
    methods = [value for base in obj.__mro__ for value in vars(base).values()]
    found = [getattr(owner, "pytestmark", []) for owner in (obj, *methods)]
    marks = [mark for group in found for mark in (group if isinstance(group, list) else [group])]
    if any(mark.name.startswith("graph_") for mark in marks):
        from pytest_graphmode.select import markers

        markers.refuse_unknown(marks, config)
    return True


def any_limited(items: Iterable[pytest.Item]) -> bool:
    """Whether a marker asserts in one of these tests how often graphs are built; quick, since it is asked of all."""
    parents: dict[int, pytest.Item] = {}
    for item in items:
        if any(mark.name in _LIMITS for mark in item.own_markers):
            return True
        parents[id(item.parent)] = item
    return any(map(limited, parents.values()))


def limited(node: pytest.Item) -> bool:
    """Whether a marker asserts how often graphs are built in this test."""
    keywords = node.keywords
    return ("graph_rebuilds" in keywords or "graph_budget" in keywords) and not is_agreement(node)


def counted(node: pytest.Item) -> bool:
    """Whether a test uses what belongs to one run of it: a handle, a ledger, limits, or the values of its variants."""
    fixtures = getattr(node, "fixturenames", ())
    return "graphmode" in fixtures or "graph_ledger" in fixtures or limited(node) or is_agreement(node)
