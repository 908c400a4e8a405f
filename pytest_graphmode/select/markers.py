"""Marker arguments -> frozen requests, validated; what runs and compares tests acts on them.

Every function raises a ValueError or TypeError that names the marker and the legal arguments; `run/collect.py` makes it
a failed collection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from pytest_graphmode.backends.names import split
from pytest_graphmode.backends.specs import keys
from pytest_graphmode.checks.limits import COUNTS, SCOPES, Bounds, Limit, bounds, count, scopes
from pytest_graphmode.select.conditions import Clause, parse, when_holds
from pytest_graphmode.select.options import MARKER_NAMES
from pytest_graphmode.select.settings import (
    BackendChoice,
    Specs,
    merged,
    parse_backend,
    parse_devices,
    parse_dtypes,
)
from pytest_graphmode.select.variants import Variant, VariantPattern, parse_pattern


@dataclass(frozen=True)
class GraphmodeRequest:
    """What `graphmode(...)` markers ask for; None where they leave a field open."""

    backends: tuple[BackendChoice, ...] | None = None
    devices: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None

    def allows(self, pattern: VariantPattern) -> bool:
        """Whether some run may have variants that a pattern matches."""
        modes = [choice.modes for choice in self.backends or () if choice.name == pattern.backend]
        return (
            (self.backends is None or any(some is None or pattern.mode in (None, *some) for some in modes))
            and (self.devices is None or pattern.device in (None, *self.devices))
            and (self.dtypes is None or pattern.dtype in (None, *self.dtypes))
        )


@dataclass(frozen=True)
class AgreeRequest:
    """Tolerances of `graph_agree`, None for the dtype's default, the reference variant's pattern, and its switches."""

    rtol: float | None = None
    atol: float | None = None
    reference: VariantPattern | None = None
    triage: bool = True
    dtypes: bool = False


@dataclass(frozen=True)
class VariantMark:
    """A `graph_skip` or `graph_xfail`: which variants it is for, and when, and the pytest mark they get."""

    patterns: tuple[VariantPattern, ...]
    mark: pytest.MarkDecorator
    when: tuple[Clause, ...] = ()

    def applies(self, variant: Variant, specs: Specs) -> bool:
        matched = any(pattern.matches(variant) for pattern in self.patterns)
        return matched and all(clause.holds(specs, variant) for clause in self.when)


def graphmode_request(marks: Iterable[pytest.Mark], specs: Specs) -> GraphmodeRequest:
    """The narrowing of all `graphmode` marks, closest first: for each field the closest one that gives it."""
    fields: dict[str, Any] = {}
    for mark in marks:
        if mark.name != "graphmode":
            continue
        with _naming(mark):
            for name, value in _bound(mark, tuple(_FIELDS)).items():
                if value is not None:
                    fields.setdefault(name, _FIELDS[name](value, specs))
    return GraphmodeRequest(**fields)


def _backends(value: Any, specs: Specs) -> tuple[BackendChoice, ...]:
    entries = split(value, "backends")
    if not entries:
        raise ValueError(f"names no backend: the backends are {', '.join(specs)}")
    return merged((parse_backend(entry, specs) for entry in entries), specs)


_FIELDS: Final[Mapping[str, Callable[[Any, Specs], Any]]] = {
    "backends": _backends,
    "devices": lambda value, specs: parse_devices(value),
    "dtypes": lambda value, specs: parse_dtypes(value),
}


def variant_marks(marks: Iterable[pytest.Mark], specs: Specs) -> list[VariantMark]:
    found = []
    for mark in marks:
        if mark.name in _VARIANT_MARKS:
            with _naming(mark):
                found.append(_variant_mark(mark, specs))
    return found


_VARIANT_MARKS: Final = {
    "graph_skip": ("variants", "reason", "when"),
    "graph_xfail": ("variants", "reason", "raises", "strict", "when"),
}


def _variant_mark(mark: pytest.Mark, specs: Specs) -> VariantMark:
    arguments = _bound(mark, _VARIANT_MARKS[mark.name], positional=1)
    when = _take_when(arguments, specs)
    reason = arguments.pop("reason", None)
    if "variants" not in arguments or not isinstance(reason, str) or not reason:
        raise TypeError("it needs the variants it is for, and reason='why'")
    patterns = tuple(parse_pattern(entry, specs) for entry in split(arguments.pop("variants"), "variants"))
    if not patterns:
        raise ValueError("it names no variants: write 'tf', 'tf:session', 'torch@gpu' or 'torch[float64]'")
    if mark.name == "graph_skip":
        return VariantMark(patterns, pytest.mark.skip(reason=reason), when)
    return VariantMark(patterns, _xfail(reason, **arguments), when)


def _take_when(arguments: dict[str, Any], specs: Specs) -> tuple[Clause, ...]:
    text = arguments.pop("when", None)
    return () if text is None else parse(text, specs)


def applying(
    name: str, marks: Iterable[pytest.Mark], specs: Specs, variant: Variant | None = None
) -> Iterator[pytest.Mark]:
    """The marks of a name that are for this variant (None: a test without variants) and for what is installed here."""
    for mark in marks:
        if mark.name == name:
            with _naming(mark):
                if when_holds(mark.kwargs.get("when"), specs, variant):
                    yield mark


def _xfail(reason: str, raises: Any = None, strict: Any = True) -> pytest.MarkDecorator:
    kinds = raises if isinstance(raises, tuple) else () if raises is None else (raises,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise TypeError(f"raises must be an exception class or a tuple of them, not {raises!r}")
    if not isinstance(strict, bool):
        raise TypeError(f"strict must be True or False, not {strict!r}")
    return pytest.mark.xfail(reason=reason, raises=raises, strict=strict)


def limits(
    marks: Iterable[pytest.Mark],
    specs: Specs,
    own: Iterable[pytest.Mark] | None = None,
    variant: Variant | None = None,
) -> list[Limit]:
    """The bounds of the closest `graph_rebuilds` and of the closest `graph_budget` that apply.

    `own` are the test's own marks.
    """
    marks = list(marks)
    closest = (next(applying(name, marks, specs, variant), None) for name in _LIMITS)
    found = []
    mine = None if own is None else set(map(id, own))
    for mark in filter(None, closest):
        made = _limits_of(mark, specs)
        found += [replace(limit, own=mine is None or id(mark) in mine) for limit in made]
    return found


def _limits_of(mark: pytest.Mark, specs: Specs) -> list[Limit]:
    with _naming(mark):
        return _LIMITS[mark.name](mark, specs)


def _rebuild_limits(mark: pytest.Mark, specs: Specs) -> list[Limit]:
    arguments = _bound(mark, ("count", "at_most", *keys(specs), "per_object", "when"), positional=1)
    _take_when(arguments, specs)
    narrowed = scopes(arguments)
    given = {name: value for name, value in arguments.items() if value is not None}
    if not given:
        raise TypeError(f"it needs count, at_most or one of {', '.join(keys(specs))}")
    if "count" in given and "at_most" in given:
        raise TypeError("it takes count or at_most, not both")
    at_most = given.pop("at_most", None)
    exact: dict[str, Bounds] = {}
    for name, value in given.items():
        number = count(name, value)
        exact["" if name == "count" else name] = (number, number)
    found = [Limit("rebuilds", exact, **narrowed)] if exact else []
    if at_most is not None:
        found.append(Limit("rebuilds", {"": (0, count("at_most", at_most))}, **narrowed))
    return found


def _budget_limits(mark: pytest.Mark, specs: Specs) -> list[Limit]:
    arguments = _bound(mark, (*COUNTS, *SCOPES, "fresh", "when"), positional=0)
    _take_when(arguments, specs)
    narrowed = scopes(arguments)
    given = {name: value for name, value in arguments.items() if value is not None}
    if not given:
        raise TypeError(f"it needs one of {', '.join(COUNTS)}")
    return [Limit(name, bounds(name, value, keys(specs), exact=False), **narrowed) for name, value in given.items()]


_LIMITS: Final[Mapping[str, Callable[[pytest.Mark, Specs], list[Limit]]]] = {
    "graph_rebuilds": _rebuild_limits,
    "graph_budget": _budget_limits,
}


def agree_request(mark: pytest.Mark, specs: Specs) -> AgreeRequest:
    with _naming(mark):
        arguments = _bound(mark, ("rtol", "atol", "reference", "dtypes", "triage", "when"), positional=0)
        _take_when(arguments, specs)
        reference = arguments.get("reference")
        if reference is not None and not isinstance(reference, str):
            raise TypeError(f"reference must be a variant like 'torch', not {reference!r}")
        return AgreeRequest(
            _tolerance("rtol", arguments.get("rtol")),
            _tolerance("atol", arguments.get("atol")),
            None if reference is None else parse_pattern(reference, specs),
            _truth("triage", arguments.get("triage", True)),
            _truth("dtypes", arguments.get("dtypes", False)),
        )


def _truth(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def _tolerance(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ValueError(f"{name} must be a number from 0, not {value!r}")
    return value


def refuse_unknown(marks: Iterable[pytest.Mark], config: pytest.Config) -> None:
    """Find markers that read like the plugin's and are nobody's: a typo would be silently without effect."""
    unknown = [mark for mark in marks if mark.name.startswith("graph_") and mark.name not in MARKER_NAMES]
    if not unknown:
        return
    import difflib  # here, since it is for a typo only
    import re

    registered = {re.split(r"[(:]", line)[0].strip() for line in config.getini("markers")}
    for mark in unknown:
        if mark.name not in registered:
            close = difflib.get_close_matches(mark.name, MARKER_NAMES, 1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise ValueError(
                f"@pytest.mark.{mark.name} is no marker: {meant}There are {', '.join(MARKER_NAMES)}, and those that "
                "the ini file registers under markers"
            )


def check(marks: Iterable[pytest.Mark], specs: Specs) -> None:
    """Find wrong arguments of any marker of the plugin, those that another one overrides included."""
    for mark in marks:
        if mark.name == "graph_agree":
            agree_request(mark, specs)
        graphmode_request([mark], specs)
        variant_marks([mark], specs)
        if mark.name in _LIMITS:
            _limits_of(mark, specs)


@contextmanager
def _naming(mark: pytest.Mark) -> Iterator[None]:
    """Put the marker as its user wrote it before what is wrong with it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"@pytest.mark.{mark.name}({_arguments(mark)}): {error}") from None


def _bound(mark: pytest.Mark, names: Sequence[str], positional: int | None = None) -> dict[str, Any]:
    """Arguments of a mark by name; at most `positional` of them, default any number, may come without theirs."""
    allowed = len(names) if positional is None else positional
    if len(mark.args) > allowed:
        keywords = ", ".join(names[allowed:])
        raise TypeError(f"it takes {allowed or 'no'} positional argument{'s' * (allowed != 1)}, and {keywords} by name")
    bound = dict(zip(names, mark.args, strict=False))
    wrong = [name for name in mark.kwargs if name not in names]
    if wrong:
        raise TypeError(f"it has no argument {', '.join(wrong)}: it takes {', '.join(names)}")
    twice = bound.keys() & mark.kwargs.keys()
    if twice:
        raise TypeError(f"it got {', '.join(sorted(twice))} twice")
    return {**bound, **mark.kwargs}


def _arguments(mark: pytest.Mark) -> str:
    return ", ".join([*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())])
