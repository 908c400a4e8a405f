"""Which tests get an agreement item, what it is called, and where it stands among the others.

Called by the hooks of `plugin.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_graphmode.run.agreement.item import Agreement
from pytest_graphmode.run.collect import FailingWithoutTraceback
from pytest_graphmode.run.items import variant_of

if TYPE_CHECKING:
    from pytest_graphmode.select.markers import AgreeRequest
    from pytest_graphmode.select.settings import Specs
    from pytest_graphmode.select.variants import Variant


def agreements(obj: object, items: Sequence[Any], specs: Specs) -> list[Agreement]:
    """The agreement items for what pytest collected from one object.

    Fails the collection where a `graph_agree` mark has wrong arguments, or is on a test that has no variants.
    """
    functions = [item for item in items if isinstance(item, pytest.Function)]
    if not functions:
        if isinstance(obj, type):  # `collect` lets no other class through
            _refuse_unittest(obj)
        return []
    if not any("graph_agree" in item.keywords for item in functions):  # quick, for all tests of all projects
        return []
    first = functions[0]
    own = any(mark.name == "graph_agree" for item in functions for mark in item.own_markers)
    if not own and first.get_closest_marker("graph_agree") is None:
        return []
    if "graphmode" in first.fixturenames:
        groups = ([item for item in group if _mark(item, specs)] for group in _groups(functions))
        return _apart([_agreement(group, specs) for group in groups if group])
    if own:  # on a class or module it means those of its tests that have variants
        pytest.fail(
            f"{first.nodeid}: @pytest.mark.graph_agree compares the variants of a test that uses the graphmode "
            "fixture, and this one does not: give it the argument graphmode, or remove the marker",
            pytrace=False,
        )
    return []


def _refuse_unittest(obj: type) -> None:
    """Unittest's methods take no fixtures: a mark on one would be silently without effect."""
    for owner in (obj, *vars(obj).values()):
        marks = getattr(owner, "pytestmark", [])
        if any(mark.name == "graph_agree" for mark in (marks if isinstance(marks, list) else [marks])):
            pytest.fail(
                f"{getattr(owner, '__qualname__', owner)}: @pytest.mark.graph_agree needs the graphmode fixture, which "
                "methods of unittest.TestCase can't use: write the test as a function or in a plain class",
                pytrace=False,
            )


def _groups(functions: Iterable[pytest.Function]) -> list[list[pytest.Function]]:
    """The variants of one function by its other parameters.

    By the parameters' values, not by text of the ids; where a value occurs twice, its second occurrence goes
    with the second of the other variants.
    """
    groups: dict[tuple[object, ...], list[dict[Variant, pytest.Function]]] = {}
    for item in functions:
        params = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        params.pop("graphmode", None)
        variant = variant_of(item)
        if variant is None:  # the one skipped item that stands for a test without variants
            continue
        same = groups.setdefault(tuple((name, id(value)) for name, value in params.items()), [])
        if all(variant in group for group in same):
            same.append({})
        next(group for group in same if variant not in group)[variant] = item
    return [list(group.values()) for same in groups.values() for group in same]


def _agreement(variants: list[pytest.Function], specs: Specs) -> Agreement:
    first = variants[0]
    callspec = _callspec(first)
    made: Agreement = Agreement.from_parent(
        first.parent,
        name=f"{first.originalname}[{callspec.id}]",
        originalname=first.originalname,
        callspec=callspec,
        variants=variants,
        asked=_asked(variants, specs),
    )
    return made


def _apart(made: list[Agreement]) -> list[Agreement]:
    """As they are, where no two have one id: a test that names a variant twice has two of each."""
    seen: dict[str, Agreement] = {}
    for item in made:
        other = seen.setdefault(item.nodeid, item)
        if other is not item:
            raise pytest.fail.Exception(
                f"{item.nodeid}: parametrize('graphmode', ...) names {variant_of(item.variants[0])} twice, so that "
                "there would be two agreement items of one name: name each variant once",
                pytrace=False,
            )
    return made


def _callspec(item: pytest.Function) -> Any:
    """That of a variant, with the word `agreement` in place of the variant: plugins tell items apart by it.

    It is derived from pytest's own, whose list of ids has no public name: there is no variant here to parametrize by.
    """
    variant, ids = variant_of(item), list(item.callspec._idlist)
    position = ids.index(variant.id) if variant is not None and variant.id in ids else 0
    return dataclasses.replace(
        item.callspec,
        params={**item.callspec.params, "graphmode": "agreement"},
        _idlist=[*ids[:position], "agreement", *ids[position + 1 :]],
    )


def _asked(variants: Sequence[pytest.Function], specs: Specs) -> AgreeRequest:
    """What the marks ask for, which must be the same of all variants: they are compared with each other."""
    first, *others = variants
    asked = _request(first, specs)
    for item in others:
        if _request(item, specs) != asked:
            raise pytest.fail.Exception(
                f"{first.nodeid}: {variant_of(first)} and {variant_of(item)} have graph_agree marks with different "
                "arguments, and are compared with each other: give all variants of the test one mark, and tolerances "
                "by device or dtype in the ini file, under graph_tolerances",
                pytrace=False,
            )
    return asked


def _request(item: pytest.Function, specs: Specs) -> AgreeRequest:
    from pytest_graphmode.select.markers import agree_request

    mark = _mark(item, specs)
    assert mark is not None
    with FailingWithoutTraceback(item):
        return agree_request(mark, specs)


def _mark(item: pytest.Function, specs: Specs) -> pytest.Mark | None:
    """The closest mark that is for this variant and what is installed; pytest gives a parameter's behind the test's."""
    from pytest_graphmode.select.markers import applying

    marks = [*getattr(getattr(item, "callspec", None), "marks", ()), *item.iter_markers("graph_agree")]
    with FailingWithoutTraceback(item):
        return next(applying("graph_agree", marks, specs, variant_of(item)), None)


# Where items run under pytest-xdist, and in what order.


def groups(items: Iterable[pytest.Item]) -> dict[str, str | None]:
    """By node id the group of items that share a worker under `--dist loadgroup`, None for a variant without one.

    The user's groups, as xdist names them, go before those of an agreement item and its variants.
    """
    found: dict[str, str | None] = {
        item.nodeid: None for item in items if "graphmode" in getattr(item, "fixturenames", ())
    }
    together = [item for item in items if isinstance(item, Agreement)]
    found |= {item.nodeid: made.nodeid for made in together for item in (*made.variants, made)}
    for item in items:
        marks = list(item.iter_markers("xdist_group"))
        if marks:
            names = {str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")) for mark in marks}
            found[item.nodeid] = "_".join(sorted(names))
    return found


def put_after_variants(items: list[pytest.Item]) -> None:
    """Move agreement items behind their variants, where other plugins or pytest's own reordering put them before."""
    position = {item: number for number, item in enumerate(items)}
    late: dict[pytest.Item, list[Agreement]] = {}
    for number, item in enumerate(items):
        if isinstance(item, Agreement):
            last = max(item.variants, key=lambda variant: position.get(variant, -1))
            if position.get(last, -1) > number:
                late.setdefault(last, []).append(item)
    if late:
        moved = {item for group in late.values() for item in group}
        items[:] = [placed for item in items if item not in moved for placed in (item, *late.get(item, ()))]


def select(items: Sequence[pytest.Item]) -> dict[str, pytest.Function]:
    """Tell agreement items which items are going to run; the variants of all of them, by their ids."""
    selected, variants = set(items), {}
    for item in items:
        if isinstance(item, Agreement):
            item.select(selected)
            variants.update({variant.nodeid: variant for variant in item.variants})
    return variants
