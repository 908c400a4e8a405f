"""Reverse-mode gradients on JAX that mean the same as on TensorFlow and torch.

JAX gives zeros where no path leads from a leaf to the value, and the conjugate for complex leaves; here a leaf without
a path has None, and complex gradients follow the others' convention. Called by the modes of this backend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pytest_graphmode.backends import differentiation, trees
from pytest_graphmode.backends.jax.variables import Frame, Variable, VariableSpace
from pytest_graphmode.errors import UnsupportedError


def value_and_grad(
    space: VariableSpace, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> tuple[Any, list[Any], list[Any]]:
    """`Mode.value_and_grad`: the value, gradients of arguments and of variables; assignments in `fn` take effect."""
    differentiation.require_arguments(fn, args, argnums)
    flat = [trees.flatten(args[position]) for position in argnums]
    for position, (leaves, _) in zip(argnums, flat, strict=True):
        differentiation.require_differentiable(fn, f"argument {position}", leaves, _differentiable)
    wanted = _told_apart([leaf for leaves, _ in flat for leaf in leaves])

    def call(leaves: Sequence[Any]) -> Any:
        remaining = iter(leaves)
        replaced = list(args)
        for position, (found, spec) in zip(argnums, flat, strict=True):
            replaced[position] = trees.unflatten(spec, [next(remaining) for _ in found])
        value = fn(*replaced)
        differentiation.require_scalar(fn, value, lambda tensor: isinstance(tensor, (jax.Array, Variable)))
        return value.value if isinstance(value, Variable) else value

    value, found = _differentiate(space, call, wanted, variables)
    grads = iter(found)
    of_args = [trees.unflatten(spec, [next(grads) for _ in leaves]) for leaves, spec in flat]
    return value, of_args, list(grads)


def _told_apart(leaves: Sequence[Any]) -> list[Any]:
    """The leaves, with its value for each place of a variable that is passed more than once: it has a gradient each."""
    counts = Counter(leaf for leaf in leaves if isinstance(leaf, Variable))
    return [leaf.value if isinstance(leaf, Variable) and counts[leaf] > 1 else leaf for leaf in leaves]


def _differentiable(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, Variable)) and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _differentiate(
    space: VariableSpace, call: Callable[[Sequence[Any]], Any], leaves: Sequence[Any], variables: Sequence[Any]
) -> tuple[Any, list[Any]]:
    """The value of `call(leaves)`, and a gradient or None for each leaf and then for each variable."""
    sources = [*leaves, *variables]
    slots = _slots(sources)
    reached: set[int] = set()
    assigned: list[Variable] = []

    def run(values: Sequence[Any]) -> tuple[Any, list[Any]]:
        probed = [_probe(value, slot, reached) for slot, value in enumerate(values)]
        current = [leaf if slot is None else probed[slot] for leaf, slot in zip(sources, slots, strict=True)]
        stands = {leaf: now for leaf, now in zip(sources, current, strict=True) if isinstance(leaf, Variable)}
        with space.opened(Frame(stands, differentiated=True)) as frame:
            value = call([_argument(leaf, now) for leaf, now in zip(leaves, current, strict=False)])
        assigned[:] = frame.assigned
        return value, [frame.values[variable] for variable in assigned]

    value, pull_back, updates = jax.vjp(run, _values(sources, slots), has_aux=True)
    cotangents = _pulled_back(pull_back, value)
    space.carry_out(list(zip(assigned, updates, strict=True)))
    return value, [None if slot not in reached else _conjugate(cotangents[slot]) for slot in slots]


def _slots(sources: Sequence[Any]) -> list[int | None]:
    """The number of each source among the inputs: None where it has no gradient; one for a variable named twice."""
    slots: list[int | None] = []
    of_variables: dict[Variable, int] = {}
    count = 0
    for source in sources:
        if isinstance(source, Variable) and source in of_variables:
            slots.append(of_variables[source])
        elif not _differentiable(source):
            slots.append(None)
        else:
            if isinstance(source, Variable):
                of_variables[source] = count
            slots.append(count)
            count += 1
    return slots


def _values(sources: Sequence[Any], slots: Sequence[int | None]) -> list[Any]:
    """The value of each slot."""
    by_slot = {slot: source for source, slot in zip(sources, slots, strict=True) if slot is not None}
    return [source.value if isinstance(source, Variable) else source for source in by_slot.values()]


def _argument(leaf: Any, current: Any) -> Any:
    """A variable among the arguments stays one, so that the function can assign it."""
    return leaf if isinstance(leaf, Variable) else current


def _probe(value: Any, slot: int, reached: set[int]) -> Any:
    """`value`, unchanged, noticing whether a cotangent comes back to it: whether a path leads from it to the result."""

    def identity(value: Any) -> Any:
        return value

    def forward(primal: Any) -> tuple[Any, None]:
        return primal.value, None

    def backward(_: None, cotangent: Any) -> tuple[Any]:
        if not isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
            reached.add(slot)
        return (cotangent,)

    probe = jax.custom_vjp(identity)
    probe.defvjp(forward, backward, symbolic_zeros=True)
    return probe(value)


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
