"""Causes of JAX's rebuilds that once were said wrongly, or in words that no user of JAX has: each both ways."""

from __future__ import annotations

import enum
import functools

import numpy as np
import pytest

from pytest_graphmode import watch
from tests.backends.variants import imported_jax


@pytest.fixture(scope="module", autouse=True)
def jax():
    return imported_jax()


@pytest.fixture
def jnp(jax):
    return jax.numpy


class Hashed:
    """Has a hash and no equality, so that JAX takes each for another value."""

    def __init__(self, n):
        self.n = n

    def __hash__(self):
        return hash(self.n)


class Mode(enum.Enum):
    TRAIN = 1
    EVAL = 2


def last(ledger):
    return ledger.events[-1].causes


def test_a_static_argument_that_was_left_out(jax, jnp):
    @functools.partial(jax.jit, static_argnames="train")
    def step(x, train=True):
        return x if train else -x

    with watch() as ledger:
        step(jnp.ones(2))
        step(jnp.ones(2), train=False)
    (cause,) = last(ledger)
    assert cause.what == "train is a Python bool that changed True -> False"
    assert cause.hint.startswith("train is static")


def test_an_argument_that_was_left_out_once_and_given_its_default_once(jax, jnp):
    @functools.partial(jax.jit, static_argnames="train")
    def step(x, train=True):
        return x if train else -x

    with watch() as ledger:
        step(jnp.ones(2))
        step(jnp.ones(2), train=True)
    assert [cause.what for cause in last(ledger)] == ["train changed structure left out -> by keyword"]
    with watch() as ledger:
        step(jnp.ones(2), train=True)
    assert ledger.builds == 0


def test_a_mask_that_was_left_out(jax, jnp):
    apply = jax.jit(lambda x, mask=None: x if mask is None else x * mask)
    with watch() as ledger:
        apply(jnp.ones(2))
        apply(jnp.ones(2), jnp.ones(2))
    assert [cause.what for cause in last(ledger)] == ["mask changed structure None -> float32[2]"]


def test_the_arguments_of_a_partial_are_no_defaults(jax, jnp):
    scale = jax.jit(functools.partial(lambda x, by: x * by, by=2.0))
    with watch() as ledger:
        scale(jnp.ones(2))
    assert ledger.events[0].signature == "x: float32[2]"


def test_an_object_with_a_hash_and_no_equality(jax, jnp):
    scale = jax.jit(lambda x, config: x * config.n, static_argnums=1)
    with watch() as ledger:
        scale(jnp.ones(2), Hashed(2))
        scale(jnp.ones(2), Hashed(2))
    (cause,) = last(ledger)
    assert cause.what == "config is another Hashed object, made anew (Hashed(n=2))"
    assert "has no __eq__ and __hash__" in cause.hint
    kept = Hashed(3)
    with watch() as ledger:
        for _ in range(3):
            scale(jnp.ones(2), kept)
    assert ledger.builds == 1


def test_a_member_of_an_enumeration(jax, jnp):
    step = jax.jit(lambda x, mode: x if mode is Mode.TRAIN else -x, static_argnums=1)
    with watch() as ledger:
        step(jnp.ones(2), Mode.TRAIN)
        step(jnp.ones(2), Mode.EVAL)
        step(jnp.ones(2), Mode.EVAL)
    assert ledger.rebuilds == 1
    (cause,) = last(ledger)
    assert cause.what == "mode is a Python Mode that changed Mode.TRAIN -> Mode.EVAL"
    assert "__eq__" not in cause.hint


def test_what_is_set_comes_before_what_follows_from_it(jax):
    double = jax.jit(lambda x: x * 2)
    kept = jax.config.jax_enable_x64
    with watch() as ledger:
        double(np.ones(2))
        jax.config.update("jax_enable_x64", not kept)
        try:
            double(np.ones(2))
        finally:
            jax.config.update("jax_enable_x64", kept)
    assert [cause.kind for cause in last(ledger)] == ["global-state", "dtype"]


def test_a_setting_reads_as_it_was_set(jax, jnp):
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        double(jnp.ones(2))
        with jax.numpy_dtype_promotion("strict"):
            double(jnp.ones(2))
    assert last(ledger)[0].what.endswith("jax_numpy_dtype_promotion changed 'standard' -> 'strict'")


def test_keys_of_two_kinds(jax):
    draw = jax.jit(lambda key: jax.random.normal(key, (2,)))
    with watch() as ledger:
        draw(jax.random.PRNGKey(0))
        draw(jax.random.key(0))
    (cause,) = last(ledger)
    assert cause.what == "key changed structure uint32[2] -> key<fry>[]"
    assert cause.hint == "make every key with jax.random.key, or every one with jax.random.PRNGKey"
    with watch() as ledger:
        for seed in range(3):
            draw(jax.random.key(seed))
    assert ledger.rebuilds == 0


def test_arrays_on_a_mesh(jax, jnp):
    if not hasattr(jax.sharding, "AxisType"):
        pytest.skip("this JAX has no shardings in types")
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Explicit,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        double(jnp.ones(2))
        double(jax.device_put(jnp.ones(2), sharding))
    (cause,) = last(ledger)
    assert cause.what == "x changed layout none -> ('i',) on a mesh (i: Explicit)"
    with watch() as ledger:
        for _ in range(2):
            double(jax.device_put(jnp.ones(2), sharding))
    assert ledger.rebuilds == 0


def test_pmap_is_seen_as_the_function_that_it_maps(jax, jnp):
    version = tuple(int(part) for part in jax.__version__.split(".")[:2])
    if version < (0, 9):
        pytest.skip("pmap is no jit in this JAX")

    def double(x):
        return x * 2

    with watch() as ledger:
        for _ in range(2):
            jax.pmap(lambda x: double(x))(jnp.ones((1, 2)))
    assert (ledger.events[0].function, ledger.rebuilds) == ("pmap(<lambda>)", 1)
    mapped = jax.pmap(double)
    with watch() as ledger:
        for _ in range(2):
            mapped(jnp.ones((1, 2)))
    assert (ledger.builds, ledger.rebuilds) == (1, 0)


def test_transformations_have_the_names_that_users_call_them_by(jax, jnp):
    with watch() as ledger:
        jax.jit(jax.grad(jax.checkpoint(lambda x: jnp.sum(jnp.sin(x)))))(jnp.ones(2))
        jax.jit(jax.jacfwd(lambda x: x * x))(jnp.ones(2))
    assert ledger.events[0].function == "grad(checkpoint(<lambda>))"
    assert ledger.events[1].function in ("jacfwd(<lambda>)", "jacobian(<lambda>)")


def test_an_array_that_is_closed_over_is_an_array(jax, jnp):
    with watch() as ledger:
        for value in (1.0, 2.0):
            table = jnp.full(3, value)
            jax.jit(lambda x, /: x * table)(jnp.ones(3))  # noqa: B023
    assert last(ledger)[0].what == "table, which the function closes over, is another Array object, made anew"


def test_a_lambda_given_as_a_static_argument(jax, jnp):
    apply = jax.jit(lambda fn, x: fn(x), static_argnums=0)
    with watch() as ledger:
        for _ in range(2):
            apply(lambda x: x * 2, jnp.ones(2))
            apply(functools.partial(jnp.multiply, 2.0), jnp.ones(2))
    assert ledger.rebuilds == 3
    assert last(ledger)[0].hint.endswith(
        "made anew for another value: define it once, outside of the loop, and keep it"
    )
    kept = functools.partial(jnp.multiply, 2.0)
    with watch() as ledger:
        for _ in range(2):
            apply(kept, jnp.ones(2))
    assert ledger.builds == 1
    with watch() as ledger:
        for fn in (jnp.sin, jnp.cos):
            apply(fn, jnp.ones(2))
    assert last(ledger)[0].hint.endswith("keep one value, or allow one build for each")


def test_the_rest_of_the_arguments_by_the_name_that_it_has(jax, jnp):
    total = jax.jit(lambda first, *xs: first + sum(xs))
    with watch() as ledger:
        total(jnp.ones(2), jnp.ones(2))
        total(jnp.ones(2), jnp.ones(2), jnp.ones(2))
    assert [cause.what for cause in last(ledger)] == ["xs has a new element xs[1]"]


def test_the_default_of_a_lambda_over_a_loop_variable(jax, jnp):
    with watch() as ledger:
        for rate in (0.1, 0.2):
            jax.jit(lambda x, rate=rate: x * rate)(jnp.ones(2))
    assert [cause.what for cause in last(ledger)][1:] == ["rate is a Python float that changed 0.1 -> 0.2"]
    assert last(ledger)[1].hint.endswith("pass it as an argument of one function")
    scale = jax.jit(lambda x, rate: x * rate)
    with watch() as ledger:
        for rate in (0.1, 0.2):
            scale(jnp.ones(2), rate)
    assert ledger.rebuilds == 0


def test_a_mesh_that_is_set_around_a_call(jax, jnp):
    if not hasattr(jax, "set_mesh"):
        pytest.skip("this JAX has no mesh to set")
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        double(jnp.ones(2))
        with jax.set_mesh(mesh):
            double(jnp.ones(2))
    assert last(ledger)[0].what == "the mesh of jax.set_mesh changed none -> i: 1"
    with watch() as ledger, jax.set_mesh(mesh):
        double(jnp.ones(2))
        double(jnp.ones(2))
    assert ledger.builds == 0


def test_keys_of_two_generators(jax):
    draw = jax.jit(lambda key: jax.random.normal(key, (2,)))
    with watch() as ledger:
        draw(jax.random.key(0))
        draw(jax.random.key(0, impl="rbg"))
    assert [cause.hint for cause in last(ledger)] == ["make every key with one impl of jax.random.key"]


def test_no_tracer_and_no_address_is_shown(jax, jnp):
    class Silent:
        def __repr__(self):
            raise ValueError("no words")

    with watch() as ledger:
        for _ in range(2):
            jax.grad(lambda x: jax.lax.scan(lambda c, y: (c + y * x, c), 0.0, jnp.ones(3))[0])(1.0)
        scale = jax.jit(lambda x, config: x, static_argnums=1)
        for _ in range(2):
            scale(jnp.ones(2), Silent())
    assert "Tracer" not in ledger.explain()
    assert " at 0x" not in ledger.explain()
    assert last(ledger)[0].what == "config is another Silent object, made anew (<Silent>)"
