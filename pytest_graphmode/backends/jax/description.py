"""What a graph of JAX's and the configuration around it look like in a ledger. Called by `tracing.py`."""

from __future__ import annotations

import enum
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import jax

from pytest_graphmode.ledger.ledger import Condition

# The settings that reports show of every build, of more than a hundred.
_SHOWN: Final = ("jax_default_matmul_precision", "jax_default_device", "jax_debug_nans")
_CALLS: Final = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def conditions() -> tuple[Condition, ...]:
    """JAX's configuration, context managers included."""
    values = {name: getattr(jax.config, name, None) for name in jax.config.values}
    found = [
        Condition("global-state", f"jax.config.{name}", _setting(value), shown=_is_shown(name, value))
        for name, value in values.items()
    ]
    mesh = _mesh()
    return (*found, Condition("global-state", "the mesh of jax.set_mesh", mesh, shown=mesh != "none"))


def _mesh() -> str:
    """The mesh that is set around the call; "none" too for versions of JAX that have no such mesh."""
    current = getattr(jax.sharding, "get_abstract_mesh", None)
    mesh = None if current is None else current()
    if mesh is None or mesh.empty:
        return "none"
    return ", ".join(f"{name}: {size}" for name, size in mesh.shape.items())


def _is_shown(name: str, value: Any) -> bool:
    return name == "jax_enable_x64" or (name in _SHOWN and value not in (None, False))


def _setting(value: Any) -> str:
    """A value of the configuration as its user would set it."""
    return repr(value.value if isinstance(value, enum.Enum) else value)


def context() -> int:
    """A number for all that JAX looks graphs up by besides arguments and configuration: meshes, axes, contexts.

    It is private: what of it is public is in `conditions`.
    """
    found = getattr(sys.modules.get("jax._src.config"), "trace_context", None)
    try:
        return 0 if found is None else hash(found())
    except TypeError:
        return 0


def equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation of a graph and of the graphs in it: bodies of loops, branches, called functions."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in _graphs(value):
                yield from equations(inner)


def _graphs(value: Any) -> Iterator[Any]:
    if hasattr(value, "eqns"):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _graphs(part)


def operations(jaxpr: Any) -> dict[str, int]:
    """The operations of a graph by JAX's names; a call of a function counts as what is in it."""
    names = (equation.primitive.name for equation in equations(jaxpr))
    return dict(Counter(name for name in names if name not in _CALLS))


def control_flow(jaxpr: Any) -> dict[str, int]:
    """How many loops and branches a graph has: `while`, `scan`, `cond` (two branches) and `switch` (more)."""
    return dict(Counter(kind for equation in equations(jaxpr) if (kind := _kind(equation)) is not None))


def _kind(equation: Any) -> str | None:
    name = equation.primitive.name
    if name == "cond":
        return "cond" if len(equation.params["branches"]) <= 2 else "switch"
    return name if name in ("while", "scan") else None
