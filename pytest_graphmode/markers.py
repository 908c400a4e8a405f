"""Marker arguments -> frozen requests, validated; `item.py` and `budget.py` act on them.

Every function raises ValueError or TypeError with the legal arguments; the caller makes it a failed collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.options import BackendChoice, parse_backend, parse_devices, parse_dtypes
from pytest_graphmode.variant import Variant, VariantPattern, parse_device, split

Specs = Mapping[str, BackendSpec]

DESCRIPTIONS: Final = {
    "graphmode": "graphmode(backends=None, devices=None, dtypes=None): narrow the variants of a test, class or module",
    "graph_rebuilds": (
        "graph_rebuilds(count=None, *, at_most=None, **by_backend): how often graphs may be built again during "
        "the test, e.g. graph_rebuilds(0), graph_rebuilds(tf=0, torch=499, torch_compile=0)"
    ),
    "graph_budget": (
        "graph_budget(*, builds=None, rebuilds=None, breaks=None, nodes=None, seconds=None): upper limits, each a "
        "number or a dict by backend or backend_mode"
    ),
    "graph_agree": (
        "graph_agree(*, rtol=None, atol=None, reference=None): adds an item that compares what the variants recorded "
        "with graphmode.agree"
    ),
    "graph_skip": "graph_skip(variants, *, reason): skip the variants matching 'tf', 'tf:session', 'torch:compile@gpu'",
    "graph_xfail": (
        "graph_xfail(variants, *, reason, raises=None, strict=True): expect the variants matching 'tf', "
        "'tf:session', 'torch:compile@gpu' to fail"
    ),
}

BUDGETS: Final = ("builds", "rebuilds", "breaks", "nodes", "seconds")


@dataclass(frozen=True)
class GraphmodeRequest:
    """What `graphmode(...)` markers ask for; None where they leave a field open."""

    backends: tuple[BackendChoice, ...] | None = None
    devices: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Limit:
    """A bound on one count of a ledger, by `backend`, `backend_mode` or "" for any; `exact` for an exact count."""

    name: str
    values: Mapping[str, float]
    exact: bool = False


@dataclass(frozen=True)
class AgreeRequest:
    """Tolerances of `graph_agree`, None for the dtype's default, and the pattern of the reference variant."""

    rtol: float | None = None
    atol: float | None = None
    reference: VariantPattern | None = None


@dataclass(frozen=True)
class VariantMark:
    """A `graph_skip` or `graph_xfail`: which variants it is for and the pytest mark they get."""

    patterns: tuple[VariantPattern, ...]
    mark: pytest.MarkDecorator

    def applies(self, variant: Variant) -> bool:
        return any(pattern.matches(variant) for pattern in self.patterns)


def graphmode_request(marks: Iterable[pytest.Mark], specs: Specs) -> GraphmodeRequest:
    """The narrowing of all `graphmode` marks, closest first: for each field the closest one that gives it."""
    fields: dict[str, object] = {}
    for mark in marks:
        arguments = _bound(mark, ("backends", "devices", "dtypes"))
        for name, value in arguments.items():
            if value is not None and name not in fields:
                fields[name] = _GRAPHMODE[name](value, specs)
    return GraphmodeRequest(**fields)  # type: ignore[arg-type]


def _backends(value: object, specs: Specs) -> tuple[BackendChoice, ...]:
    entries = [parse_backend(entry, specs) for entry in split(value, "backends")]  # type: ignore[arg-type]
    if not entries:
        raise ValueError(f"names no backend: the backends are {', '.join(specs)}")
    return tuple(entries)


_GRAPHMODE = {
    "backends": _backends,
    "devices": lambda value, specs: parse_devices(value),
    "dtypes": lambda value, specs: parse_dtypes(value),
}


def _bound(mark: pytest.Mark, names: Sequence[str]) -> dict[str, object]:
    """Positional and keyword arguments of a mark by name."""
    if len(mark.args) > len(names) or not set(mark.kwargs) <= set(names):
        raise TypeError(f"@pytest.mark.{mark.name} takes {', '.join(names)}, not {_arguments(mark)}")
    bound = dict(zip(names, mark.args, strict=False))
    twice = bound.keys() & mark.kwargs.keys()
    if twice:
        raise TypeError(f"@pytest.mark.{mark.name} got {', '.join(sorted(twice))} twice: {_arguments(mark)}")
    return {**bound, **mark.kwargs}


def _arguments(mark: pytest.Mark) -> str:
    return ", ".join([*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())])


def _keywords(mark: pytest.Mark, names: Sequence[str]) -> dict[str, object]:
    """Arguments of a mark that takes keywords only."""
    if mark.args:
        raise TypeError(f"@pytest.mark.{mark.name} takes keywords only ({', '.join(names)}), not {_arguments(mark)}")
    return _bound(mark, names)


def variant_marks(marks: Iterable[pytest.Mark], specs: Specs) -> list[VariantMark]:
    """The `graph_skip` and `graph_xfail` marks as pytest's own."""
    return [_variant_mark(mark, specs) for mark in marks if mark.name in ("graph_skip", "graph_xfail")]


def _variant_mark(mark: pytest.Mark, specs: Specs) -> VariantMark:
    names = ("variants", "reason") if mark.name == "graph_skip" else ("variants", "reason", "raises", "strict")
    if len(mark.args) > 1:
        raise TypeError(
            f"@pytest.mark.{mark.name} takes one positional argument, the variants, and keywords "
            f"{', '.join(names[1:])}; not {_arguments(mark)}"
        )
    arguments = _bound(mark, names)
    if "variants" not in arguments or not isinstance(arguments.get("reason"), str):
        raise TypeError(f"@pytest.mark.{mark.name} needs variants and reason='why', not {_arguments(mark)}")
    patterns = tuple(parse_pattern(entry, specs) for entry in split(arguments["variants"], "variants"))  # type: ignore[arg-type]
    if not patterns:
        raise ValueError(f"@pytest.mark.{mark.name} names no variants: write 'tf', 'tf:session' or 'torch@gpu'")
    reason = str(arguments["reason"])
    if mark.name == "graph_skip":
        return VariantMark(patterns, pytest.mark.skip(reason=reason))
    raises, strict = arguments.get("raises"), arguments.get("strict", True)
    return VariantMark(patterns, pytest.mark.xfail(reason=reason, raises=raises, strict=bool(strict)))  # type: ignore[arg-type]


def parse_pattern(text: str, specs: Specs) -> VariantPattern:
    """`tf`, `tf:session`, `torch@gpu`, `torch:compile@gpu:0`.

    Raises:
        ValueError: an unknown backend, mode or device, with the legal ones.
    """
    where, at, device = (part.strip() for part in text.partition("@"))
    choice = parse_backend(where, specs)
    if choice.modes and len(choice.modes) > 1:
        raise ValueError(f"{text!r} names several modes: write one pattern a mode")
    if at:
        device = parse_device(device) if ":" in device else parse_device(device).partition(":")[0]
    return VariantPattern(choice.name, choice.modes[0] if choice.modes else None, device or None)


def limits(marks: Iterable[pytest.Mark], specs: Specs) -> list[Limit]:
    """The bounds of the closest `graph_rebuilds` and of the closest `graph_budget`."""
    closest: dict[str, pytest.Mark] = {}
    for mark in marks:
        if mark.name in ("graph_rebuilds", "graph_budget"):
            closest.setdefault(mark.name, mark)
    return [limit for mark in closest.values() for limit in _LIMITS[mark.name](mark, specs)]


def _rebuild_limits(mark: pytest.Mark, specs: Specs) -> list[Limit]:
    allowed = ("count", "at_most", *_keys(specs))
    if len(mark.args) > 1:
        raise TypeError(f"@pytest.mark.graph_rebuilds takes one positional argument, count; not {_arguments(mark)}")
    arguments = _bound(mark, ("count", *allowed[1:]))
    at_most = arguments.pop("at_most", None)
    count = arguments.pop("count", None)
    if count is not None and at_most is not None:
        raise TypeError("@pytest.mark.graph_rebuilds takes count or at_most, not both")
    for name, value in [("count", count), ("at_most", at_most), *arguments.items()]:
        if value is not None:
            _whole(mark, name, value)
    exact: dict[str, float] = {name: value for name, value in arguments.items() if value is not None}  # type: ignore[misc]
    if count is not None:
        exact[""] = count  # type: ignore[assignment]
    if not exact and at_most is None:
        raise TypeError(f"@pytest.mark.graph_rebuilds needs count, at_most or one of {', '.join(_keys(specs))}")
    found = [Limit("rebuilds", exact, exact=True)] if exact else []
    if at_most is not None:
        found.append(Limit("rebuilds", {"": at_most}))  # type: ignore[dict-item]
    return found


def _budget_limits(mark: pytest.Mark, specs: Specs) -> list[Limit]:
    arguments = {name: value for name, value in _keywords(mark, BUDGETS).items() if value is not None}
    if not arguments:
        raise TypeError(f"@pytest.mark.graph_budget needs one of {', '.join(BUDGETS)}")
    return [Limit(name, _by_key(mark, name, value, specs)) for name, value in arguments.items()]


_LIMITS = {"graph_rebuilds": _rebuild_limits, "graph_budget": _budget_limits}


def _by_key(mark: pytest.Mark, name: str, value: object, specs: Specs) -> dict[str, float]:
    table = value if isinstance(value, dict) else {"": value}
    legal = _keys(specs)
    for key, number in table.items():
        if key != "" and key not in legal:
            raise ValueError(
                f"@pytest.mark.{mark.name}: unknown key {key!r} in {name}; the keys are {', '.join(legal)}"
            )
        if name == "seconds":
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not number >= 0:
                raise ValueError(f"@pytest.mark.{mark.name}: {name} must be a number of seconds, not {number!r}")
        else:
            _whole(mark, name, number)
    return table


def _whole(mark: pytest.Mark, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"@pytest.mark.{mark.name}: {name} must be a whole number from 0, not {value!r}")


def _keys(specs: Specs) -> list[str]:
    """The names that limits can be given for: `tf`, `tf_graph`, ..."""
    return [key for spec in specs.values() for key in (spec.name, *(f"{spec.name}_{mode}" for mode in spec.modes))]


def agree_request(mark: pytest.Mark, specs: Specs) -> AgreeRequest:
    """What a `graph_agree` mark asks for."""
    arguments = _keywords(mark, ("rtol", "atol", "reference"))
    for name in ("rtol", "atol"):
        value = arguments.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
            raise ValueError(f"@pytest.mark.graph_agree: {name} must be a number from 0, not {value!r}")
    reference = arguments.get("reference")
    if reference is not None and not isinstance(reference, str):
        raise TypeError(f"@pytest.mark.graph_agree: reference must be a variant like 'torch', not {reference!r}")
    pattern = None if reference is None else parse_pattern(reference, specs)
    return AgreeRequest(arguments.get("rtol"), arguments.get("atol"), pattern)  # type: ignore[arg-type]


def register(config: pytest.Config) -> None:
    for description in DESCRIPTIONS.values():
        config.addinivalue_line("markers", description)
