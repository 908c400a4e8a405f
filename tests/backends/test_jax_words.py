"""Causes of JAX's rebuilds that once were said wrongly, or in words that no user of JAX has: each both ways."""

import functools
import importlib.util
from contextlib import nullcontext

import numpy as np
import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import changes, ledger_of, repeated, within

pytestmark = pytest.mark.usefixtures("jax")


def last(ledger):
    return ledger.events[-1].causes


def test_the_arguments_of_a_partial_are_no_defaults(jax, jnp):
    scale = jax.jit(functools.partial(lambda x, by: x * by, by=2.0))
    ledger = ledger_of(scale, jnp.ones(2))
    assert ledger.events[0].signature == "x: float32[2]"


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
    ledger = within(lambda: double(jnp.ones(2)), nullcontext, lambda: jax.numpy_dtype_promotion("strict"))
    assert last(ledger)[0].what.endswith("jax_numpy_dtype_promotion changed 'standard' -> 'strict'")


def test_arrays_on_a_mesh(jax, jnp):
    if not hasattr(jax.sharding, "AxisType"):
        pytest.skip("this JAX has no shardings in types")
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Explicit,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
    double = jax.jit(lambda x: x * 2)
    ledger = ledger_of(double, jnp.ones(2), jax.device_put(jnp.ones(2), sharding))
    (cause,) = last(ledger)
    assert cause.what == "x changed layout none -> ('i',) on a mesh (i: Explicit)"
    assert repeated(lambda: double(jax.device_put(jnp.ones(2), sharding))).rebuilds == 0


def test_pmap_is_seen_as_the_function_that_it_maps(jax, jnp):
    version = tuple(int(part) for part in jax.__version__.split(".")[:2])
    if version < (0, 9):
        pytest.skip("pmap is no jit in this JAX")

    def double(x):
        return x * 2

    ledger = repeated(lambda: jax.pmap(lambda x: double(x))(jnp.ones((1, 2))), 2)
    assert (ledger.events[0].function, ledger.rebuilds) == ("pmap(<lambda>)", 1)
    assert ledger_of(jax.pmap(double), *[jnp.ones((1, 2))] * 2).builds == 1


def test_transformations_have_the_names_that_users_call_them_by(jax, jnp):
    def loss(x):
        return jnp.sum(x * x)

    with watch() as ledger:
        for transformed in (loss, jax.grad(loss), jax.grad(jax.checkpoint(loss)), jax.jacfwd(lambda x: x * x)):
            jax.jit(transformed)(jnp.ones(3))
        jax.jit(jax.vmap(jax.grad(loss)))(jnp.ones((2, 3)))
    names = [event.function for event in ledger.events]
    assert names.pop(3) in ("jacfwd(<lambda>)", "jacobian(<lambda>)")
    assert names == ["loss", "grad(loss)", "grad(checkpoint(loss))", "vmap(grad(loss))"]
    assert ledger.rebuilds == 0


def test_an_array_that_is_closed_over_is_an_array(jax, jnp):
    with watch() as ledger:
        for value in (1.0, 2.0):
            table = jnp.full(3, value)
            jax.jit(lambda x, /: x * table)(jnp.ones(3))  # noqa: B023
    assert last(ledger)[0].what == "table, which the function closes over, is another Array object, made anew"


def test_the_default_of_a_lambda_over_a_loop_variable(jax, jnp):
    ledger = ledger_of(lambda rate: jax.jit(lambda x, rate=rate: x * rate)(jnp.ones(2)), 0.1, 0.2)
    assert [cause.what for cause in last(ledger)][1:] == ["rate is a Python float that changed 0.1 -> 0.2"]
    assert last(ledger)[1].hint.endswith("pass it as an argument of one function")
    assert ledger_of(jax.jit(lambda x, rate: x * rate), (jnp.ones(2), 0.1), (jnp.ones(2), 0.2)).rebuilds == 0


def test_a_mesh_that_is_set_around_a_call(jax, jnp):
    if not hasattr(jax, "set_mesh"):
        pytest.skip("this JAX has no mesh to set")
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    double = jax.jit(lambda x: x * 2)
    ledger = within(lambda: double(jnp.ones(2)), nullcontext, lambda: jax.set_mesh(mesh))
    assert last(ledger)[0].what == "the mesh of jax.set_mesh changed none -> i: 1"
    with jax.set_mesh(mesh):
        assert ledger_of(double, jnp.ones(2), jnp.ones(2)).builds == 0


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


# Libraries.

FILTER_JIT = """
import functools
import jax

def fun_wrapped(names):
    def fun_wrapped(dynamic_donate, dynamic_nodonate, static):
        leaves = {**dynamic_donate, **dynamic_nodonate}
        parts = []
        for name, (values, tree) in zip(("fun", "first", "rest"), static):
            both = [d if s is None else s for d, s in zip(leaves[name], values)]
            parts.append(jax.tree_util.tree_unflatten(tree, both))
        fun, first, (rest, kwargs) = parts
        return fun(*((first,) + rest)[:-1], **kwargs)
    fun_wrapped.__name__, fun_wrapped.__qualname__ = names
    return jax.jit(fun_wrapped, donate_argnums=0, static_argnums=2)

def partition(tree):
    leaves, definition = jax.tree_util.tree_flatten(tree)
    arrays = tuple(leaf if isinstance(leaf, jax.Array) else None for leaf in leaves)
    return arrays, (tuple(None if isinstance(leaf, jax.Array) else leaf for leaf in leaves), definition)

@functools.lru_cache
def cached(names):
    return fun_wrapped(names)

def filter_jit(fun):
    def call(*args):
        parts = dict(zip(("fun", "first", "rest"), map(partition, (fun, args[0], ((*args[1:], None), {})))))
        arrays = {name: part[0] for name, part in parts.items()}
        return cached((fun.__name__, fun.__qualname__))({}, arrays, tuple(part[1] for part in parts.values()))
    return call
"""


@pytest.fixture(scope="module")
def filter_jit(jax, tmp_path_factory):
    """equinox.filter_jit, by what it hands to jax.jit."""
    file = tmp_path_factory.mktemp("site") / "equinox" / "_jit.py"
    file.parent.mkdir()
    file.write_text(FILTER_JIT)
    spec = importlib.util.spec_from_file_location("equinox_jit_like", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.filter_jit


def test_functions_under_equinox_are_told_apart_and_named_by_their_own_arguments(jnp, filter_jit):
    def loss(x, factor):
        return x * factor

    def other(x):
        return x + 1

    with watch() as ledger:
        for factor in (2, 2, 3):
            filter_jit(loss)(jnp.ones(3), factor)
        filter_jit(other)(jnp.ones(3))
    assert [(event.function, event.signature) for event in ledger.events] == [
        ("loss", "x: float32[3], factor: 2"),
        ("loss", "x: float32[3], factor: 3"),
        ("other", "x: float32[3]"),
    ]
    assert changes(ledger) == [[], [("python-value", "factor", "2", "3")], []]
    assert "pass factor as an array, jax.numpy.asarray(factor)" in ledger.events[1].cause.hint
    ledger = ledger_of(filter_jit(loss), *((jnp.ones(4), jnp.asarray(factor)) for factor in (2, 3)))
    assert ledger.builds == 1


def test_the_wrapper_of_a_library_names_nothing(jax, jnp):
    def checked(fn):
        @functools.wraps(fn)
        def jaxtyped(*args, **kwargs):
            return fn(*args, **kwargs)

        return jaxtyped

    @jax.jit
    @checked
    def scale(x, factor):
        return x * factor

    ledger = ledger_of(scale, (jnp.ones(3), 2.0), (jnp.ones(3), 2))
    assert ledger.events[0].function == "scale"
    assert changes(ledger)[1] == [("dtype", "factor", "weak float32", "weak int32")]
