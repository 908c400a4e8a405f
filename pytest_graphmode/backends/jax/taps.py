"""Taps in JAX: which arrays of a trace can leave it, and gradients by them, caught as JAX pulls cotangents back.

Called by the modes of JAX and by its gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

try:
    from jax.extend.core import get_opaque_trace_state
except ImportError:
    get_opaque_trace_state = getattr(jax.core, "get_opaque_trace_state", lambda: None)

from pytest_graphmode.backends import tapping, trees


def trace_state() -> object:
    """What is being traced here, equal while it is the same; None where JAX (before 0.4.36) doesn't tell."""
    return get_opaque_trace_state()


def elsewhere(outside: object) -> str | None:
    """Why nothing can be tapped here: JAX traces something inside of what the plugin traces, if it traces anything.

    `outside` is the state in which nothing is traced.
    """
    frames = tapping.here.frames
    if (frames[-1].place if frames else outside) != trace_state():
        return "inside of a loop, branch or transformation of JAX's own"
    return None


def probed(name: str, tree: Any, found: list[tapping.Tap]) -> Any:
    """The tree, equal, with the cotangents that come back to its leaves noted."""
    pairs = trees.paths(tree, name)
    leaves = [_probe(path, leaf, found) for path, leaf in pairs]
    return trees.unflatten(trees.flatten(tree)[1], leaves)


def _probe(path: str, leaf: Any, found: list[tapping.Tap]) -> Any:
    if not isinstance(leaf, jax.Array) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return leaf
    tap = len(found)
    found.append(tapping.Tap(path, None))

    def note(cotangent: Any) -> None:
        found[tap] = tapping.Tap(path, cotangent)

    return watched(leaf, note)


def watched(value: Any, note: Callable[[Any], None]) -> Any:
    """`value`, equal, telling `note` of the cotangent that comes back to it, where a path leads to the result."""

    def identity(value: Any) -> Any:
        return value

    def forward(primal: Any) -> tuple[Any, None]:
        return primal.value, None

    def backward(_: None, cotangent: Any) -> tuple[Any]:
        if not isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
            note(cotangent)
        return (cotangent,)

    probe = jax.custom_vjp(identity)
    probe.defvjp(forward, backward, symbolic_zeros=True)
    return probe(value)
