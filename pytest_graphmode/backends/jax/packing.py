"""How arguments and results travel through jax.jit: trees of what JAX knows, with variables threaded beside them.

Called by `jit.py` around every call of a traced function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import jax
import numpy as np

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.jax.variables import Variable
from pytest_graphmode.backends.trees import Carrier
from pytest_graphmode.ledger import describe
from pytest_graphmode.ledger.arguments import parameters

_PLAIN: Final = (jax.Array, bool, int, float, complex, str, type(None))
_TRACEABLE: Final = (jax.Array, np.ndarray, np.generic, bool, int, float, complex, type(None), Variable)


class Passed:
    """Variables on their way into a traced function: their values are inputs, the variables themselves structure.

    A function traced for other variables is another graph, so that each graph updates the variables it was made for.
    """

    def __init__(self, variables: tuple[Variable, ...], values: Sequence[Any]) -> None:
        self.variables = variables
        self.values = values


class Held:
    """A variable among the arguments: it stays the same object in the traced function."""

    def __init__(self, variable: Variable) -> None:
        self.variable = variable


class _Same:
    """An object as the static part of an argument: equal to itself only."""

    def __init__(self, subject: Any) -> None:
        self.subject = subject

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.subject is self.subject

    def __hash__(self) -> int:
        return id(self.subject)


def _fields(carrier: Carrier) -> tuple[list[tuple[Any, Any]], tuple[type, tuple[str, ...]]]:
    keys = map(jax.tree_util.GetAttrKey, carrier.names)
    return list(zip(keys, carrier.values, strict=True)), (carrier.cls, carrier.names)


jax.tree_util.register_pytree_node(
    Passed, lambda passed: (passed.values, _Same(passed.variables)), lambda same, values: Passed(same.subject, values)
)
jax.tree_util.register_pytree_node(Held, lambda held: ((), _Same(held.variable)), lambda same, _: Held(same.subject))
jax.tree_util.register_pytree_node(tapping.Tapped, tapping.Tapped.parts, tapping.Tapped.of)
jax.tree_util.register_pytree_with_keys(Carrier, _fields, lambda form, values: Carrier(form[0], form[1], values))


def pack(tree: Any, variable: Callable[[Variable], Any] = Held) -> Any:
    """A tree as jax.jit takes it, with `variable` applied to the variables in it."""
    if isinstance(tree, _PLAIN):
        return tree
    return jax.tree_util.tree_map(
        lambda leaf: _packed(leaf, variable), tree, is_leaf=lambda node: isinstance(node, Variable)
    )


def _packed(leaf: Any, variable: Callable[[Variable], Any]) -> Any:
    if isinstance(leaf, Variable):
        return variable(leaf)
    if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
        return Carrier.of(leaf, lambda field: pack(field, variable))
    return leaf


def unpack(tree: Any) -> Any:
    """The tree that `pack` got."""
    if isinstance(tree, _PLAIN):
        return tree
    return jax.tree_util.tree_map(_unpacked, tree, is_leaf=lambda node: isinstance(node, (Held, Carrier)))


def _unpacked(leaf: Any) -> Any:
    if isinstance(leaf, Held):
        return leaf.variable
    return leaf.value(unpack) if isinstance(leaf, Carrier) else leaf


class Statics:
    """The arguments of a function that are Python values to jax.jit, and so part of the signature as they are."""

    def __init__(self, fn: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.parameters = [one.name for one in parameters(fn)]
        count = len(self.parameters)
        given = {number + count if number < 0 else number for number in _set(options.get("static_argnums"), int)}
        names = _set(options.get("static_argnames"), str)
        self.numbers = given | {number for number, name in enumerate(self.parameters) if name in names}
        self.names = names | {self.parameters[number] for number in given if number < count}
        self._plain: set[type] = set()

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The arguments as jax.jit takes them."""
        if all(type(arg) in self._plain for arg in args) and not kwargs:
            return args, {}
        return (
            [arg if number in self.numbers else self._packed(arg) for number, arg in enumerate(args)],
            {name: arg if name in self.names else self._packed(arg) for name, arg in kwargs.items()},
        )

    def _packed(self, arg: Any) -> Any:
        """An argument as jax.jit takes it; types that need nothing are not looked at again."""
        if isinstance(arg, _PLAIN):
            self._plain.add(type(arg))
        return pack(arg)


def _set(value: Any, kind: type) -> set[Any]:
    return set() if value is None else {value} if isinstance(value, kind) else set(value)


def untraceable(statics: Statics, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """What to do about the first argument that jax.jit can't trace; None where there is none."""
    names = statics.parameters
    given = {names[place] if place < len(names) else f"args[{place}]": arg for place, arg in enumerate(args)}
    for root, value in {**given, **kwargs}.items():
        if root in statics.names:
            continue
        for path, leaf in trees.paths(value, root):
            if not isinstance(leaf, _TRACEABLE) and not hasattr(leaf, "__jax_array__"):
                return (
                    f"{describe.leaf(leaf)} can't be traced by jax.jit, as {path}: graphmode.function(fn, "
                    f"static_argnames={root!r}) makes it part of the signature, with a graph for each value"
                )
    return None
