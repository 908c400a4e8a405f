"""Control-flow operators on jax.lax, for code that is being traced.

`jax.lax` traces bodies and branches as pure functions; variables they assign are found while tracing and then passed
through the construct beside the user's own state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from pytest_graphmode.backends.control_flow.carry import BranchResults
from pytest_graphmode.backends.control_flow.layout import Layout, pack
from pytest_graphmode.backends.jax.variables import Signal, TracedVariables, Variable, VariableSpace, value_of
from pytest_graphmode.errors import UnsupportedError

_Variables: TypeAlias = tuple[Variable, ...]
_Values: TypeAlias = list[Any]
_Carry: TypeAlias = tuple[tuple[Any, ...], _Values]
"""What a construct passes through: the user's tensors, and the values of variables that its bodies assign."""


class _Escaped(Signal):
    """From a body to its operator: it assigned variables that the construct does not pass through yet."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)


class LaxOperators:
    """The operators of `Mode`, as while_loop, fori_loop, scan, cond and switch of jax.lax."""

    variables: VariableSpace

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        split = len(state)

        def construct(carried: _Variables, values: _Values) -> tuple[Any, _Values]:
            def holds(now: list[Any]) -> Any:
                with self._frame(carried, now[split:]) as frame:
                    going = cond(tuple(now[:split]))
                if frame.assigned:
                    raise UnsupportedError(
                        "the cond of a while_loop can't assign variables in jax: assign them in its body"
                    )
                return jnp.asarray(value_of(going), dtype=bool)

            begin = [_strong(leaf, leaf.dtype) for leaf in (*_arrays(state), *values)]

            def advance(now: list[Any]) -> list[Any]:
                after, values = self._traced(carried, now[split:], lambda: body(tuple(now[:split])))
                return [_strong(new, old.dtype) for new, old in zip((*_arrays(after), *values), begin, strict=True)]

            final = jax.lax.while_loop(holds, advance, begin)
            return tuple(final[:split]), final[split:]

        return self._threading(construct)

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        if isinstance(lower, int) and isinstance(upper, int):
            return self._counted(lower, upper, body, state)
        lower, upper = value_of(lower), value_of(upper)

        def advance(now: tuple[Any, ...]) -> tuple[Any, ...]:
            return (now[0] + 1, *body(now[0], now[1:]))

        return self.while_loop(lambda now: now[0] < upper, advance, (jnp.asarray(lower), *state))[1:]

    def _counted(self, lower: int, upper: int, body: Callable[[Any, Any], Any], state: Any) -> Any:
        """A loop of known length, which is a scan in JAX."""

        def construct(carried: _Variables, values: _Values) -> Any:
            def advance(index: Any, carry: _Carry) -> _Carry:
                after, values = self._traced(carried, carry[1], lambda: body(index.astype(jnp.int32), carry[0]))
                return _arrays(after), values

            return jax.lax.fori_loop(lower, upper, advance, (_arrays(state), values))

        return self._threading(construct)

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        layouts: list[Layout] = []

        def construct(carried: _Variables, values: _Values) -> tuple[Any, _Values]:
            def advance(carry: _Carry, x: tuple[Any, ...]) -> tuple[_Carry, tuple[Any, ...]]:
                (after, y), values = self._traced(carried, carry[1], lambda: f(carry[0], x))
                layout, leaves = pack(y, "y", value_of)
                layouts.append(layout)
                return (_arrays(after), values), leaves

            (final, values), ys = jax.lax.scan(advance, (_arrays(init), values), _arrays(xs))
            return (final, layouts[-1].unpack(ys)), values

        carry, ys = self._threading(construct)
        return carry, ys

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        return self._branching(
            "cond",
            lambda branches, carry: jax.lax.cond(value_of(pred), *branches, carry),
            {"true_fn": true_fn, "false_fn": false_fn},
            operands,
        )

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        named = {f"branches[{number}]": branch for number, branch in enumerate(branches)}
        return self._branching(
            "switch", lambda branches, carry: jax.lax.switch(value_of(index), branches, carry), named, operands
        )

    def _branching(
        self,
        operator: str,
        choose: Callable[[Sequence[Callable[..., Any]], _Carry], Any],
        branches: Mapping[str, Callable[..., Any]],
        operands: Sequence[Any],
    ) -> Any:
        results = BranchResults(operator, value_of)

        def construct(carried: _Variables, values: _Values) -> tuple[Any, _Values]:
            def traced(name: str, branch: Callable[..., Any]) -> Callable[[_Carry], _Carry]:
                def run(carry: _Carry) -> _Carry:
                    result, values = self._traced(carried, carry[1], lambda: branch(*carry[0]))
                    return results.flat(name, result), values

                return run

            found, values = choose([traced(*named) for named in branches.items()], (_arrays(operands), values))
            return results.unpack(found), values

        return self._threading(construct)

    # Variables.

    def _threading(
        self, construct: Callable[[_Variables, _Values], tuple[Any, _Values]], carried: _Variables = ()
    ) -> Any:
        """Build a construct; once more with the variables that its bodies turn out to assign."""
        try:
            result, values = construct(carried, [variable.value for variable in carried])
        except _Escaped as escaped:
            more = escaped.variables
        else:
            self.variables.carry_out(list(zip(carried, values, strict=True)))
            return result
        return self._threading(construct, carried + more)

    def _traced(self, carried: _Variables, values: _Values, body: Callable[[], Any]) -> tuple[Any, _Values]:
        """What `body` returns, and the values it leaves in the variables that are passed through."""
        with self._frame(carried, values) as frame:
            result = body()
        escaped = [variable for variable in frame.assigned if variable not in set(carried)]
        if escaped:
            raise _Escaped(escaped)
        return result, [frame.values[variable] for variable in carried]

    def _frame(self, carried: _Variables, values: _Values) -> AbstractContextManager[TracedVariables]:
        return self.variables.opened(TracedVariables(dict(zip(carried, values, strict=True))))


def _strong(leaf: Any, dtype: Any) -> Any:
    """Without JAX's weak type, which the carry of a loop could lose on the way."""
    return jax.lax.convert_element_type(leaf, dtype)


def _arrays(tensors: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(map(value_of, tensors))
