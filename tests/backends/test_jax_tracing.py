"""What the ledger says of jax.jit, native or not: builds, names, causes with their hints, graphs."""

import dataclasses

import numpy as np
import pytest

from pytest_graphmode import UnsupportedError, watch
from tests.backends.ledgers import ledger_of, repeated

pytestmark = pytest.mark.usefixtures("jax")


def test_every_argument_that_changed_is_named_by_its_path(jax, jnp):
    @jax.jit
    def loss(batch, *rest, scale=1.0):
        return batch["x"][0].sum() + rest[0].sum() * scale

    with watch() as ledger:
        loss({"x": [jnp.ones(3)]}, jnp.ones(2), scale=2.0)
        loss({"x": [jnp.ones(4)]}, jnp.ones(3), scale=jnp.ones(1))
    assert [argument.name for argument in ledger.events[0].arguments] == ["batch['x'][0]", "rest[0]", "scale"]
    assert [(cause.kind, cause.argument) for cause in ledger.events[1].causes] == [
        ("shape", "batch['x'][0]"),
        ("shape", "rest[0]"),
        ("dtype", "scale"),
        ("rank", "scale"),
    ]


def test_the_same_function_jitted_again_is_not_traced_again(jax, jnp):
    def double(x):
        return x * 2

    assert repeated(lambda: jax.jit(double)(jnp.ones(3))).builds == 1


def test_methods_and_callable_objects(jax, jnp):
    class Model:
        def __call__(self, x):
            return x * 2

        def step(self, x):
            return x * 3

    model = Model()
    with watch() as ledger:
        jax.jit(model)(jnp.ones(3))
        step = model.step
        for _ in range(2):
            jax.jit(step)(jnp.ones(3))
    assert [(event.function, event.signature) for event in ledger.events] == [
        ("Model.__call__", "x: float32[3]"),
        ("Model.step", "x: float32[3]"),
    ]
    assert ledger.rebuilds == 0


def test_a_bound_method_is_a_new_object_each_time(jax, jnp):
    class Model:
        def step(self, x):
            return x * 3

    model = Model()
    ledger = repeated(lambda: jax.jit(model.step)(jnp.ones(3)), 2)
    assert [[cause.kind for cause in event.causes] for event in ledger.events] == [[], ["new-function-object"]]


def test_graphs_within_graphs_are_counted_through(jax, jnp):
    @jax.jit
    def outer(x):
        _, total = jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, x))
        total, _ = jax.lax.scan(lambda c, t: (jax.lax.cond(t > 1, jnp.sin, jnp.cos, c), None), total, jnp.arange(3.0))
        return jax.lax.switch(1, [jnp.sin, jnp.cos, jnp.tan], total) + jnp.where(x > 0, x, 0.0)

    (event,) = ledger_of(outer, 1.0).events
    assert dict(event.control_flow) == dict.fromkeys(("while", "scan", "cond", "switch"), 1)
    assert event.nodes > 10


def test_dataclasses_and_variables_are_described_by_field(jax):
    @dataclasses.dataclass
    class Batch:
        x: object

    from pytest_graphmode.backends.jax import Jax  # here, since it imports JAX

    mode = Jax().mode("jit", "cpu")
    variable = mode.variable(np.ones(2), "float32")
    function = mode.function(lambda batch: batch.x * variable)
    ledger = ledger_of(function, Batch(np.ones(2, np.float32)), Batch(np.ones(1, np.float32)))
    assert [event.signature for event in ledger.events] == ["batch.x: float32[2]", "batch.x: float32[1]"]


def _watched_attributes():
    """What `steps.py` patches in this JAX, as owner and name."""
    from jax._src import core, pjit
    from jax._src.interpreters import partial_eval
    from jax._src.lax.control_flow import common

    old = hasattr(common, "_initial_style_open_jaxpr")
    construct = (common, "_initial_style_open_jaxpr") if old else (partial_eval, "trace_to_jaxpr")
    dynamic = (partial_eval, "trace_to_jaxpr_dynamic")
    return (
        (pjit, "_infer_params"),
        construct,
        (partial_eval.DynamicJaxprTrace, "__init__") if hasattr(core, "trace_ctx") else dynamic,
    )


def test_jax_is_left_as_it_was(jax, jnp, caplog):
    attributes = _watched_attributes()
    before = [getattr(owner, name) for owner, name in attributes]
    listeners = len(_listeners())
    with watch():
        assert all(getattr(owner, name) is not kept for (owner, name), kept in zip(attributes, before, strict=True))
        jax.jit(lambda x: x)(jnp.ones(3))
    assert all(getattr(owner, name) is kept for (owner, name), kept in zip(attributes, before, strict=True))
    assert len(_listeners()) == listeners
    assert not caplog.records


def _listeners():
    from jax._src import monitoring

    return monitoring.get_event_duration_listeners()


@pytest.mark.parametrize("number", range(3))
def test_a_jax_without_a_private_step_says_so(jax, monkeypatch, number):
    from pytest_graphmode.backends.jax.tracing import JitSource

    owner, name = _watched_attributes()[number]
    if isinstance(owner, type):
        owner, name = __import__(owner.__module__, fromlist=["_"]), owner.__name__
    monkeypatch.delattr(owner, name)
    later = "|trace_to_jaxpr" if name == "_initial_style_open_jaxpr" else ""  # what versions after 0.6 have instead
    with pytest.raises(
        UnsupportedError, match=rf"has no jax\._src\.\S+({name}{later}), by which graphs are counted: use"
    ):
        JitSource().attach(None)


def test_explanations_that_the_user_wants_are_still_logged(jax, jnp, caplog):
    jax.config.update("jax_explain_cache_misses", True)
    try:
        with watch():
            jax.jit(lambda x: x)(jnp.ones(3))
    finally:
        jax.config.update("jax_explain_cache_misses", False)
    assert any("CACHE MISS" in record.getMessage() for record in caplog.records)
