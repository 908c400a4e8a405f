"""What JAX's configuration around a build looks like in a ledger. Called by `tracing.py`."""

from __future__ import annotations

import enum
import sys
from typing import Any, Final

import jax

from pytest_graphmode.ledger.ledger import Condition

# The settings that reports show of every build, of more than a hundred.
_SHOWN: Final = ("jax_default_matmul_precision", "jax_default_device", "jax_debug_nans")


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
