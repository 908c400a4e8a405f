"""What of all that is collected concerns the plugin: light to import and quick, as `plugin.py` asks for every test."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import pytest

_LIMITS = ("graph_rebuilds", "graph_budget")
_INHERITED = pytest.StashKey[bool]()


def ours(mark: pytest.Mark) -> bool:
    """Whether a mark is the plugin's, or looks so."""
    return mark.name.startswith(("graph_", "graphmode"))


def inherits_marks(collector: pytest.Collector) -> bool:
    """Whether one of the plugin's marks is on a class or module; kept there, since each of its tests asks."""
    known = collector.stash.get(_INHERITED, None)
    if known is None:
        known = collector.stash[_INHERITED] = any(map(ours, collector.iter_markers()))
    return known


def definition_concerned(metafunc: pytest.Metafunc) -> bool:
    """Whether a test function uses `graphmode`, or has a mark of the plugin."""
    definition = metafunc.definition
    if definition.own_markers and any(map(ours, definition.own_markers)):
        return True
    return "graphmode" in metafunc.fixturenames or inherits_marks(definition.parent)  # type: ignore[arg-type]


def collected_concerned(collector: pytest.Collector, obj: object, items: Sequence[object]) -> bool:
    """Whether a mark of the plugin, or a variant, is on what was collected from one object, or can be."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and ("graphmode" in callspec.params or any(map(ours, callspec.marks))):
            return True
    if isinstance(obj, type):
        return _unittest_marked(obj)
    # The marks of a function are on all that was collected from it; only those of parameters differ.
    first = getattr(items[0], "own_markers", None) if items else None
    return bool(first and any(map(ours, first))) or inherits_marks(collector)


def _unittest_marked(obj: type) -> bool:
    """Whether a class is a unittest.TestCase, whose methods pytest does not parametrize, with marks of the plugin."""
    unittest = sys.modules.get("unittest")
    return unittest is not None and issubclass(obj, unittest.TestCase) and any(map(ours, marks_within(obj)))


def marks_within(obj: type) -> list[pytest.Mark]:
    """The marks of a class and of its methods."""
    methods = [value for base in obj.__mro__ for value in vars(base).values()]
    found = [getattr(owner, "pytestmark", []) for owner in (obj, *methods)]
    return [mark for group in found for mark in (group if isinstance(group, list) else [group])]


def any_limited(items: Iterable[pytest.Item]) -> bool:
    """Whether a marker asserts in one of these tests how often graphs are built."""
    parents: dict[int, pytest.Item] = {}
    for item in items:
        if item.own_markers and any(mark.name in _LIMITS for mark in item.own_markers):
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


def is_agreement(node: pytest.Item) -> bool:
    """An agreement item has the marks of its variants, and builds nothing itself."""
    return getattr(node, "compares_variants", False)
