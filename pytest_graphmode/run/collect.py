"""What a test is collected as: its variants, and what its marks ask for. Called by `plugin.py`, for every test."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_graphmode.run.items import is_agreement, variant_of
from pytest_graphmode.select import variants
from pytest_graphmode.select.registry import Registry, registry_of

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

    from pytest_graphmode.backends.specs import BackendSpec


@contextmanager
def failing_without_traceback(node: pytest.Item | pytest.Collector) -> Iterator[None]:
    """Fail the collection of a test with wrong markers, without a traceback."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise pytest.fail.Exception(f"{node.nodeid}: {error}", pytrace=False) from None


def _marks(node: pytest.Item) -> list[pytest.Mark]:
    """The marks on a test, its class and its module that are the plugin's, or look so, closest first."""
    return [mark for mark in node.iter_markers() if mark.name.startswith(("graph_", "graphmode"))]


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that uses `graphmode` its variants.

    Raises:
        ValueError, TypeError: a marker has wrong arguments.
    """
    marks = _marks(metafunc.definition)
    if marks:
        from pytest_graphmode.select import markers

        markers.refuse_unknown(marks, metafunc.config)
        markers.check(marks, registry_of(metafunc.config).specs)
    if "graphmode" in metafunc.fixturenames and not variants.names_variants(metafunc.definition):
        metafunc.parametrize("graphmode", _params(registry_of(metafunc.config), marks), indirect=True)


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
        callspec = getattr(item, "callspec", None)
        asks = callspec is not None and (callspec.marks or "graphmode" in callspec.params)
        if asks and isinstance(item, pytest.Item):
            with failing_without_traceback(item):
                mark_parameter(item, registry_of(item.config).specs)
    with failing_without_traceback(collector):
        check_unittest(obj, collector.config)


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


def check_unittest(obj: object, config: pytest.Config) -> None:
    """Find markers with unknown names on a unittest.TestCase, whose methods pytest does not parametrize.

    Raises:
        ValueError: there is one.
    """
    unittest = sys.modules.get("unittest")
    if unittest is None or not isinstance(obj, type) or not issubclass(obj, unittest.TestCase):
        return
    methods = [value for base in obj.__mro__ for value in vars(base).values()]
    found = [getattr(owner, "pytestmark", []) for owner in (obj, *methods)]
    marks = [mark for group in found for mark in (group if isinstance(group, list) else [group])]
    if any(mark.name.startswith("graph_") for mark in marks):
        from pytest_graphmode.select import markers

        markers.refuse_unknown(marks, config)


def may_agree(collector: pytest.Collector, obj: object, collected: Sequence[object]) -> bool:
    """Whether what was collected from an object needs a look by `agreement`; quick, since it is asked of everything."""
    if isinstance(obj, type):  # the mark may be on one method, where it would be silently without effect
        unittest = sys.modules.get("unittest")
        return unittest is not None and issubclass(obj, unittest.TestCase)
    if "graph_agree" in collector.keywords:
        return True
    return any(mark.name == "graph_agree" for node in collected for mark in getattr(node, "own_markers", ()))


def limited(node: pytest.Item) -> bool:
    """Whether a marker asserts how often graphs are built in this test."""
    keywords = node.keywords
    return ("graph_rebuilds" in keywords or "graph_budget" in keywords) and not is_agreement(node)


def counted(node: pytest.Item) -> bool:
    """Whether a test uses what belongs to one run of it: a handle, a ledger, limits, or the values of its variants."""
    fixtures = getattr(node, "fixturenames", ())
    return "graphmode" in fixtures or "graph_ledger" in fixtures or limited(node) or is_agreement(node)
