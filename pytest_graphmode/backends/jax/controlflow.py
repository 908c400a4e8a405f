"""Control-flow verbs on jax.lax, for code that is being traced.

`jax.lax` traces bodies and branches as pure functions; variables they assign are found while tracing and then passed
through the construct beside the user's own state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pytest_graphmode import trees
from pytest_graphmode.backends.jax.variables import Frame, Variable, VariableSpace
from pytest_graphmode.errors import UnsupportedError


class _Escaped(Exception):
    """From a body to its verb: it assigned variables that the construct does not pass through yet."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)


class LaxVerbs:
    """The verbs of `Mode`, as jax.lax.while_loop, fori_loop, scan, cond and switch."""

    variables: VariableSpace

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        leaves, spec = _flatten(state)

        def construct(carried: tuple[Variable, ...]) -> Any:
            def keep_going(carry: tuple[list[Any], list[Any]]) -> Any:
                values = self._pure(carried, carry[1], lambda: cond(trees.unflatten(spec, carry[0])))
                return jnp.asarray(_value(values), dtype=bool)

            def step(carry: tuple[list[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
                after, values = self._traced(carried, carry[1], lambda: body(trees.unflatten(spec, carry[0])))
                return _like(after, spec, "while_loop"), values

            final, values = jax.lax.while_loop(keep_going, step, (leaves, self._read(carried)))
            self._carry_out(carried, values)
            return trees.unflatten(spec, final)

        return self._threading(construct)

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        leaves, spec = _flatten(state)

        def construct(carried: tuple[Variable, ...]) -> Any:
            def step(index: Any, carry: tuple[list[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
                after, values = self._traced(carried, carry[1], lambda: body(index, trees.unflatten(spec, carry[0])))
                return _like(after, spec, "fori_loop"), values

            final, values = jax.lax.fori_loop(_value(lower), _value(upper), step, (leaves, self._read(carried)))
            self._carry_out(carried, values)
            return trees.unflatten(spec, final)

        return self._threading(construct)

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        leaves, spec = _flatten(init)
        slices, slice_spec = _flatten(xs)
        outputs = _Outputs("scan")

        def construct(carried: tuple[Variable, ...]) -> tuple[Any, Any]:
            def step(carry: tuple[list[Any], list[Any]], x: list[Any]) -> tuple[tuple[list[Any], list[Any]], list[Any]]:
                state, element = trees.unflatten(spec, carry[0]), trees.unflatten(slice_spec, x)
                (after, y), values = self._traced(carried, carry[1], lambda: f(state, element))
                return (_like(after, spec, "scan"), values), outputs.flatten(y)

            (final, values), ys = jax.lax.scan(step, (leaves, self._read(carried)), slices)
            self._carry_out(carried, values)
            return trees.unflatten(spec, final), outputs.unflatten(ys)

        carry, ys = self._threading(construct)
        return carry, ys

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        def choose(branches: Sequence[Callable[..., Any]], operands: Any) -> Any:
            return jax.lax.cond(_value(pred), *branches, operands)

        return self._branching("cond", choose, (true_fn, false_fn), operands)

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        def choose(branches: Sequence[Callable[..., Any]], operands: Any) -> Any:
            return jax.lax.switch(_value(index), branches, operands)

        return self._branching("switch", choose, branches, operands)

    def _branching(
        self,
        verb: str,
        choose: Callable[[Sequence[Callable[..., Any]], Any], Any],
        branches: Sequence[Callable[..., Any]],
        operands: Sequence[Any],
    ) -> Any:
        leaves, spec = _flatten(tuple(operands))
        outputs = _Outputs(verb)

        def construct(carried: tuple[Variable, ...]) -> Any:
            def traced(branch: Callable[..., Any]) -> Callable[..., Any]:
                def run(operand: tuple[list[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
                    result, values = self._traced(
                        carried, operand[1], lambda: branch(*trees.unflatten(spec, operand[0]))
                    )
                    return outputs.flatten(result), values

                return run

            found, values = choose([traced(branch) for branch in branches], (leaves, self._read(carried)))
            self._carry_out(carried, values)
            return outputs.unflatten(found)

        return self._threading(construct)

    # Variables.

    def _threading(self, construct: Callable[[tuple[Variable, ...]], Any]) -> Any:
        """Build a construct; once more with the variables that its bodies turn out to assign."""
        return self._with(construct, ())

    def _with(self, construct: Callable[[tuple[Variable, ...]], Any], carried: tuple[Variable, ...]) -> Any:
        try:
            return construct(carried)
        except _Escaped as escaped:
            more = escaped.variables
        return self._with(construct, carried + more)

    def _traced(
        self, carried: Sequence[Variable], values: Sequence[Any], body: Callable[[], Any]
    ) -> tuple[Any, list[Any]]:
        """What `body` returns, and the values it leaves in the variables that are passed through."""
        frame = Frame(dict(zip(carried, values, strict=True)))
        with self.variables.opened(frame):
            result = body()
        known = set(map(id, carried))
        escaped = [variable for variable in frame.assigned if id(variable) not in known]
        if escaped:
            raise _Escaped(escaped)
        return result, [frame.values[variable] for variable in carried]

    def _pure(self, carried: Sequence[Variable], values: Sequence[Any], condition: Callable[[], Any]) -> Any:
        frame = Frame(dict(zip(carried, values, strict=True)))
        with self.variables.opened(frame):
            result = condition()
        if frame.assigned:
            raise UnsupportedError("the cond of a while_loop can't assign variables in jax: assign them in its body")
        return result

    def _read(self, carried: Sequence[Variable]) -> list[Any]:
        return [variable.value for variable in carried]

    def _carry_out(self, carried: Sequence[Variable], values: Sequence[Any]) -> None:
        self.variables.carry_out(list(zip(carried, values, strict=True)))


class _Outputs:
    """The tree that bodies or branches return, all of them the same one."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._spec: Any = None

    def flatten(self, tree: Any) -> list[Any]:
        leaves, spec = _flatten(tree)
        if self._spec is not None and spec != self._spec:
            raise TypeError(f"the branches of {self._verb} return different trees: {self._spec} and {spec}")
        self._spec = spec
        return leaves

    def unflatten(self, leaves: list[Any]) -> Any:
        return trees.unflatten(self._spec, leaves)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Variable) else leaf


def _flatten(tree: Any) -> tuple[list[Any], Any]:
    leaves, spec = trees.flatten(tree)
    return [_value(leaf) for leaf in leaves], spec


def _like(tree: Any, spec: Any, verb: str) -> list[Any]:
    """The leaves of a body's result, which must be a tree like the state it got."""
    leaves, found = _flatten(tree)
    if found != spec:
        raise TypeError(f"the body of {verb} must return a tree like its state: {spec}, not {found}")
    return leaves
