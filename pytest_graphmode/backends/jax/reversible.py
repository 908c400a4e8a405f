"""A while loop that can be differentiated in reverse, which jax.lax.while_loop can't. Called by `controlflow.py`.

Reverse mode needs the state before every trip, and how many there are is not known when the graph is compiled. So the
trips are cut into a fixed number of segments: the forward pass keeps the state before each segment, the backward pass
computes those within it again. `n` trips cost about `n * n / (2 * SEGMENTS)` more calls of the body than a scan would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

SEGMENTS: Final = 32

_Arrays: TypeAlias = list[Any]
_Pure: TypeAlias = Callable[[_Arrays, _Arrays], _Arrays]
"""A function of the arrays it closed over, and of the state."""


def while_loop(cond: Callable[[_Arrays], Any], body: Callable[[_Arrays], _Arrays], state: Sequence[Any]) -> _Arrays:
    """The state after `state = body(state)` while `cond(state)`; lists of arrays whose shapes and dtypes stay.

    It can be differentiated in reverse any number of times, but not in forward mode (jax.jvp).
    """
    state = [_strong(leaf, leaf.dtype) for leaf in state]
    kinds = [leaf.dtype for leaf in state]

    def advance(state: _Arrays) -> _Arrays:
        return [_strong(leaf, dtype) for leaf, dtype in zip(body(state), kinds, strict=True)]

    test, of_test = _hoisted(lambda state: [cond(state)], state)
    step, of_step = _hoisted(advance, state)
    return _loop(test, step)(of_test, of_step, state)


def _strong(leaf: Any, dtype: Any) -> Any:
    """Without JAX's weak type, which a loop's state could lose on the way."""
    return jax.lax.convert_element_type(leaf, dtype)


def _hoisted(function: Callable[[_Arrays], _Arrays], state: _Arrays) -> tuple[_Pure, _Arrays]:
    """A function as one of what it closes over and its argument: jax.custom_vjp wants all inputs to be arguments."""
    graph = jax.make_jaxpr(function)(state)

    def pure(constants: _Arrays, state: _Arrays) -> _Arrays:
        return list(jaxpr_as_fun(ClosedJaxpr(graph.jaxpr, constants))(*state))

    return pure, list(graph.consts)


def _loop(test: _Pure, step: _Pure) -> Callable[[_Arrays, _Arrays, _Arrays], _Arrays]:
    def loop(of_test: _Arrays, of_step: _Arrays, state: _Arrays) -> _Arrays:
        return list(jax.lax.while_loop(lambda now: test(of_test, now)[0], lambda now: step(of_step, now), state))

    def forward(of_test: _Arrays, of_step: _Arrays, state: _Arrays) -> tuple[_Arrays, Any]:
        trips = _trips(test, step, *jax.lax.stop_gradient((of_test, of_step, state)))
        length = (trips + SEGMENTS - 1) // SEGMENTS

        def segment(state: _Arrays, number: Any) -> tuple[_Arrays, _Arrays]:
            return _advanced(step, of_step, state, jnp.minimum(length, trips - number * length)), state

        final, starts = jax.lax.scan(segment, state, jnp.arange(SEGMENTS))
        return final, (of_test, of_step, trips, length, starts)

    def backward(kept: Any, cotangents: _Arrays) -> tuple[_Arrays, _Arrays, _Arrays]:
        of_test, of_step, trips, length, starts = kept
        smooth, smooth_constants = _smooth(cotangents, starts), _smooth(of_step, of_step)

        def segment(carry: tuple[_Arrays, _Arrays], this: tuple[Any, _Arrays]) -> tuple[tuple[_Arrays, _Arrays], None]:
            number, start = this
            count = jnp.minimum(length, trips - number * length)
            return _pulled_back(step, of_step, start, count, *carry), None

        zeros = [jnp.zeros_like(leaf) for leaf in smooth_constants]
        carry, _ = jax.lax.scan(segment, (smooth, zeros), (jnp.arange(SEGMENTS), starts), reverse=True)
        return [None for _ in of_test], _placed(carry[1], of_step), _placed(carry[0], starts)

    made: Callable[[_Arrays, _Arrays, _Arrays], _Arrays] = jax.custom_vjp(loop)
    made.defvjp(forward, backward)  # type: ignore[attr-defined]
    return made


def _trips(test: _Pure, step: _Pure, of_test: _Arrays, of_step: _Arrays, state: _Arrays) -> Any:
    """How often the loop runs."""
    count, _ = jax.lax.while_loop(
        lambda now: test(of_test, now[1])[0],
        lambda now: (now[0] + 1, step(of_step, now[1])),
        (jnp.zeros((), jnp.int32), state),
    )
    return count


def _advanced(step: _Pure, of_step: _Arrays, state: _Arrays, count: Any) -> _Arrays:
    """The state `count` trips later."""

    def trip(now: _Arrays) -> _Arrays:
        return [now[0] + 1, *step(of_step, now[1:])]

    return while_loop(lambda now: now[0] < count, trip, [jnp.zeros((), jnp.int32), *state])[1:]


def _pulled_back(
    step: _Pure, of_step: _Arrays, start: _Arrays, count: Any, cotangents: _Arrays, of_constants: _Arrays
) -> tuple[_Arrays, _Arrays]:
    """The cotangents `count` trips earlier, and those of the constants with what these trips add to them."""
    split = len(cotangents)

    def trip(now: _Arrays) -> _Arrays:
        left, cotangents, gathered = now[0] - 1, now[1 : 1 + split], now[1 + split :]
        state = _advanced(step, of_step, start, left)

        def smooth_step(constants: _Arrays, smooth: _Arrays) -> _Arrays:
            return _smooth(step(_merged(of_step, constants, of_step), _merged(state, smooth, state)), state)

        _, pull_back = jax.vjp(smooth_step, _smooth(of_step, of_step), _smooth(state, state))
        added, cotangents = pull_back(cotangents)
        return [left, *cotangents, *(old + new for old, new in zip(gathered, added, strict=True))]

    after = while_loop(lambda now: now[0] > 0, trip, [count, *cotangents, *of_constants])
    return after[1 : 1 + split], after[1 + split :]


def _smooth(leaves: _Arrays, like: _Arrays) -> _Arrays:
    """The leaves at the places where `like` has floating or complex arrays."""
    return [leaf for leaf, model in zip(leaves, like, strict=True) if jnp.issubdtype(model.dtype, jnp.inexact)]


def _merged(leaves: _Arrays, smooth: _Arrays, like: _Arrays) -> _Arrays:
    """The leaves with others at the places where `like` has floating or complex arrays."""
    rest = iter(smooth)
    return [
        next(rest) if jnp.issubdtype(model.dtype, jnp.inexact) else leaf
        for leaf, model in zip(leaves, like, strict=True)
    ]


def _placed(cotangents: _Arrays, like: _Arrays) -> _Arrays:
    """Cotangents where `like` has floating or complex arrays; None elsewhere."""
    return _merged([None for _ in like], cotangents, like)
