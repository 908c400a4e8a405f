"""Cases that fool simple counters of JAX's traces, and must not fool this one.

A simple counter is a number that the function itself counts up, or a listener of jax.monitoring: each test shows first
what they say.
"""

import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import ledger_of

pytestmark = pytest.mark.usefixtures("jax")


@pytest.fixture
def listened(jax):
    """The names of the functions that jax.monitoring reports as traced."""
    names: list[str] = []

    def listen(event: str, duration: float, **details: object) -> None:
        if event == "/jax/core/compile/jaxpr_trace_duration":
            names.append(str(details.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.clear_event_listeners()


def test_a_jit_within_a_jit(jax, jnp, listened):
    inner = jax.jit(lambda x: x * 2)
    outer = jax.jit(lambda x: inner(x) + 1)
    ledger = ledger_of(outer, jnp.ones(3))
    # JAX 0.10 reports the outer one only, 0.6 its own functions too, and 0.4 no names.
    assert listened != ["<lambda>", "<lambda>"]
    assert (ledger.builds, ledger.rebuilds) == (2, 0)


def test_jaxs_own_functions(jax, jnp, listened):
    with watch() as ledger:
        jax.clear_caches()
        jnp.linalg.solve(jnp.eye(3), jnp.ones(3))
    assert listened  # reported like the user's
    assert ledger.builds == 0


def test_a_body_that_is_traced_several_times_in_one_graph(jax, jnp):
    counted = []

    def body(carry, x):
        counted.append(1)
        return carry + x, None

    # The carry begins with a weak type and ends without one, for which JAX traces the body again.
    total = jax.jit(lambda xs: jax.lax.scan(body, 0.0, xs)[0] + jax.lax.scan(body, 1, xs.astype(int))[0])
    ledger = ledger_of(total, jnp.ones(3))
    assert len(counted) > 1
    assert ledger.builds == 1


def test_a_derivative_of_a_loop_outside_of_jit(jax, jnp):
    """JAX 0.12 keeps no whole arguments of the functions that it makes for it."""

    def doubled(x):
        return jax.lax.while_loop(lambda state: state[0] < 3, lambda state: (state[0] + 1, state[1] * 2.0), (0, x))[1]

    with watch() as ledger:
        value, slope = jax.jvp(doubled, (1.0,), (1.0,))
    assert (value, slope) == (8.0, 8.0)
    assert (ledger.builds, ledger.rebuilds, ledger.notes) == (2, 0, ())


def test_a_carry_of_a_class_that_takes_arrays_only(jax, jnp):
    class Point:
        def __init__(self, x):
            if not isinstance(x, jax.Array):
                raise TypeError(f"{type(x).__name__} is no array")
            self.x = x

    jax.tree_util.register_pytree_node(Point, lambda point: ((point.x,), None), lambda _, parts: Point(*parts))
    with watch() as ledger:
        found = jax.lax.scan(lambda point, y: (Point(point.x + y), None), Point(jnp.zeros(())), jnp.ones(3))[0]
    assert found.x == 3.0
    assert (ledger.builds, ledger.notes) == (1, ())


def test_functions_wrapped_in_a_loop(jax, jnp):
    with watch() as ledger:
        for _ in range(3):
            function = jax.jit(lambda x: x + 1)
            function(jnp.ones(3))
            assert function._cache_size() == 1  # each has been traced once, says JAX
    assert ledger.rebuilds == 2
    assert {cause.kind for event in ledger.events[1:] for cause in event.causes} == {"new-function-object"}
    assert "wrap the function once, outside of the loop" in ledger.explain()


def test_arguments_that_can_not_be_traced_are_no_build(jax):
    with watch() as ledger, pytest.raises(TypeError):
        jax.jit(lambda x: x)("text")
    assert ledger.builds == 0
