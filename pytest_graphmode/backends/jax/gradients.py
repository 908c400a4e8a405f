"""Reverse-mode gradients on JAX that mean the same as on TensorFlow and torch.

JAX gives zeros where no path leads from a leaf to the value, and the conjugate for complex leaves; here a leaf without
a path has None, and complex gradients follow the others' convention. Called by the modes of this backend.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.differentiation import Sources, require_scalar
from pytest_graphmode.backends.jax.taps import trace_state, watched
from pytest_graphmode.backends.jax.variables import TracedVariables, Variable, VariableSpace, value_of
from pytest_graphmode.errors import UnsupportedError


def value_and_grad(
    space: VariableSpace, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> tuple[Any, list[Any], list[Any]]:
    """`Mode.value_and_grad`: the value, gradients of arguments and of variables; assignments in `fn` take effect."""
    sources = Sources(fn, args, argnums, variables, _differentiable, _with_values_of_repeated(args, argnums))
    # A variable that is named twice has one input, an array one in each place.
    slots = [source if isinstance(source, Variable) else place for place, source in enumerate(sources.tensors)]
    inputs = {slot: value_of(source) for slot, source in zip(slots, sources.tensors, strict=True)}
    reached: dict[Hashable, Any] = {}  # a cotangent that comes back tells that a path leads from there to the result
    assigned: list[Variable] = []
    names: list[str] = []
    by_taps: list[tapping.Tap] = []

    def run(values: Sequence[Any]) -> tuple[Any, tuple[list[Any], list[Any]]]:
        probes = [functools.partial(reached.setdefault, slot) for slot in inputs]
        now = dict(zip(inputs, map(watched, values, probes), strict=True))
        stands = {slot: value for slot, value in now.items() if isinstance(slot, Variable)}
        given = [slot if isinstance(slot, Variable) else now[slot] for slot in slots]  # which `fn` may assign
        with (
            space.opened(TracedVariables(stands, differentiated=True)) as frame,
            tapping.collecting(trace_state()) as tapped,
            tapping.differentiating(by_taps),
        ):
            value = value_of(fn(*sources.with_tensors(given)))
            require_scalar(fn, value, lambda one: isinstance(one, jax.Array))
        assigned[:] = frame.assigned
        names[:] = [name for name, _ in tapped.taps]
        return value, ([frame.values[variable] for variable in assigned], [value for _, value in tapped.taps])

    value, pull_back, (updates, taps) = jax.vjp(run, list(inputs.values()), has_aux=True)
    cotangents = dict(zip(inputs, _pulled_back(pull_back, value), strict=True))
    space.carry_out(list(zip(assigned, updates, strict=True)))
    for name, tap in zip(names, taps, strict=True):
        tapping.emit(name, tap)
    tapping.emit_gradients([tapping.Tap(name, _conjugate(one)) for name, one in by_taps if one is not None])
    return value, *sources.arranged(_conjugate(cotangents[slot]) if slot in reached else None for slot in slots)


def _with_values_of_repeated(args: Sequence[Any], argnums: Sequence[int]) -> Callable[[Any], Any]:
    """What makes its value of a variable that is passed more than once, which has a gradient in each place."""
    leaves = [leaf for position in argnums for leaf in trees.leaves(args[position])]
    counts = Counter(leaf for leaf in leaves if isinstance(leaf, Variable))
    return lambda leaf: value_of(leaf) if isinstance(leaf, Variable) and counts[leaf] > 1 else leaf


def _differentiable(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, Variable)) and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _pulled_back(pull_back: Callable[[Any], Any], value: Any) -> list[Any]:
    try:
        (cotangents,) = pull_back(jnp.ones_like(value))
    except ValueError as error:
        if "Reverse-mode differentiation does not work for lax.while_loop" not in str(error):
            raise
        raise UnsupportedError(
            "jax has no gradients through a while_loop, nor a fori_loop whose bounds are arrays, since it can't "
            "know how many states to keep: use scan, or fori_loop with Python ints as bounds"
        ) from error
    found: list[Any] = cotangents
    return found


def _conjugate(cotangent: Any) -> Any:
    """JAX's gradient of a complex leaf is the conjugate of TensorFlow's and torch's."""
    return jnp.conj(cotangent) if jnp.issubdtype(cotangent.dtype, jnp.complexfloating) else cotangent
