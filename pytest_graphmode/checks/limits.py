"""What a count of a ledger may be: read from the arguments of `graph_rebuilds`, `graph_budget` and `expect`.

Called by `markers.py` and `expecting.py`; `budget.py` holds ledgers against them. Every function raises ValueError or
TypeError with the legal values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

COUNTS: Final = ("builds", "rebuilds", "breaks", "fallbacks", "nodes", "seconds")
# What narrows a limit, and the type of each.
SCOPES: Final = ("internal", "within", "function", "per_object")
ENDLESS: Final = float("inf")

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Limit:
    """The least and the most that a count may be, by `backend`, `backend_mode` or "" for any.

    Attributes:
        internal: whether the framework's own machinery counts too.
        within: a package whose code alone is looked at; `function` a function that alone is.
        per_object: whether functions are told apart by object; None for what the ini file says.
        fresh: whether the test begins with empty caches of graphs.
        own: whether the mark is the test's own, and not its class's or module's.
    """

    name: str
    values: Mapping[str, Bounds]
    internal: bool = False
    within: str | None = None
    function: str | None = None
    per_object: bool | None = None
    fresh: bool = True
    own: bool = True


def scopes(arguments: dict[str, Any]) -> dict[str, Any]:
    """Take what narrows a limit out of the arguments of a marker or of `expect`."""
    found: dict[str, Any] = {}
    for name, kind, legal in (
        ("internal", bool, "True, to count the framework's own machinery too, or False"),
        ("per_object", bool, "True, to tell functions apart by object too, or False"),
        ("fresh", bool, "True, to begin with empty caches of graphs, or False"),
        ("within", str, "the name of a package, like 'my_package.layers'"),
        ("function", str, "like 'step'"),
    ):
        value = arguments.pop(name, None)
        if value is not None:
            if not isinstance(value, kind) or value == "":
                raise TypeError(f"{name} must be {legal}; not {value!r}")
            found[name] = value
    return found


def bounds(name: str, value: object, keys: Sequence[str], *, exact: bool) -> dict[str, Bounds]:
    """A count's bounds by key: a number (the most, or exactly that), a pair (least, most), or a dict of these."""
    if not isinstance(value, dict):
        return {"": _bounds(name, value, exact)}
    if not value:
        raise ValueError(f"{name} is an empty dict: its keys may be {', '.join(keys)}")
    unknown = [key for key in value if key not in keys]
    if unknown:
        raise ValueError(f"{name} has no key {', '.join(map(repr, unknown))}: the keys are {', '.join(keys)}")
    return {key: _bounds(name, number, exact) for key, number in value.items()}


def _bounds(name: str, value: object, exact: bool) -> Bounds:
    if not isinstance(value, (tuple, list)):
        number = count(name, value)
        return (number if exact else 0.0, number)
    if len(value) != 2:
        raise ValueError(f"{name} must be a number or a pair (least, most), not {value!r}")
    least = 0.0 if value[0] is None else count(name, value[0])
    most = ENDLESS if value[1] is None else count(name, value[1])
    if least > most:
        raise ValueError(f"{name} must be a pair (least, most), not {value!r}: {value[0]} is more than {value[1]}")
    return least, most


def count(name: str, value: object) -> float:
    """A whole number from 0; for seconds any number from 0."""
    if name == "seconds":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise ValueError(f"seconds must be a number of seconds from 0, not {value!r}")
    elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number from 0, not {value!r}")
    return value
