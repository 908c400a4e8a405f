"""What JAX's rarer hints say, done to the letter: the rebuilds that they are printed for are gone."""

import contextlib

import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import ledger_of

pytestmark = pytest.mark.usefixtures("jax")

STATE = (
    "jax.jit builds a graph for each configuration and context: set it once, before the first call, or enter it around "
    "every call"
)


def doubling(jax):
    return jax.jit(lambda x: x * 2)


def counted(function, *scopes):
    """The ledger of one call in each scope."""
    with watch() as ledger:
        for scope in scopes:
            with scope():
                function()
    return ledger


def test_a_setting_that_is_set_once_or_around_every_call_ends_it(jax):
    def exact():
        return jax.default_matmul_precision("float32")

    x = jax.numpy.ones(2)
    double = doubling(jax)
    ledger = counted(lambda: double(x), contextlib.nullcontext, exact)
    (cause,) = ledger.events[-1].causes
    assert (cause.kind, cause.hint) == ("global-state", STATE)
    assert "jax.config.jax_default_matmul_precision changed None -> 'float32'" in ledger.explain()
    double = doubling(jax)
    assert counted(lambda: double(x), exact, exact, exact).rebuilds == 0
    double, kept = doubling(jax), jax.config.jax_default_matmul_precision
    jax.config.update("jax_default_matmul_precision", "float32")
    try:
        assert counted(lambda: double(x), *[contextlib.nullcontext] * 3).rebuilds == 0
    finally:
        jax.config.update("jax_default_matmul_precision", kept)


def test_a_context_that_is_the_same_around_every_call_ends_it(jax):
    double, x = doubling(jax), jax.numpy.ones((2, 2))
    with watch() as ledger:
        for axis in ("rows", "columns"):
            jax.vmap(double, axis_name=axis)(x)
    (cause,) = ledger.events[-1].causes
    assert (cause.what, cause.hint) == ("the context of jax.jit (a mesh, an axis, a context manager)", STATE)
    assert ledger_of(jax.vmap(doubling(jax), axis_name="rows"), x, x, x).builds == 1


@pytest.mark.parametrize("drop", ["all", "own"])
def test_caches_that_are_left_alone_end_it(jax, drop):
    double, x = doubling(jax), jax.numpy.ones(2)
    with watch() as ledger:
        double(x)
        jax.clear_caches() if drop == "all" else double.clear_cache()
        double(x)
    assert ledger.explain().partition("nothing it depends on changed")[2].rstrip() == (
        ", but the graph built before was not there: leave out jax.clear_caches() and clear_cache(), which drop the "
        "graphs there are"
    )
    assert ledger_of(doubling(jax), x, x).builds == 1


DEVICES = """
import jax, numpy as np
from pytest_graphmode import watch

devices, x = jax.devices(), np.ones(2, "float32")

def called(*scopes):
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        for scope in scopes:
            with jax.default_device(scope):
                double(x)
    return ledger

def test_the_default_device_set_around_every_call_ends_it():
    ledger = called(*devices)
    (cause,) = ledger.events[-1].causes
    assert (cause.kind, cause.argument) == ("global-state", "jax.config.jax_default_device")
    assert cause.hint.endswith("set it once, before the first call, or enter it around every call")
    assert called(devices[1], devices[1]).rebuilds == 0

def test_arrays_of_two_devices_share_a_graph():
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        for device in devices:
            double(jax.device_put(x, device))
    assert (len(devices), ledger.builds) == (2, 1)

def sharded(*parts):
    mesh = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Explicit,))
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        for part in parts:
            sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*part))
            double(jax.device_put(x, sharding))
    return ledger

def test_arrays_that_lie_one_way_on_a_mesh_end_it():
    (cause,) = sharded("i", "").events[-1].causes
    assert cause.what == "x changed layout ('i',) on a mesh (i: Explicit) -> (None,) on a mesh (i: Explicit)"
    assert cause.hint == "put x on one mesh in one way before every call, with jax.device_put(value, sharding)"
    assert sharded("i", "i").rebuilds == 0
"""


@pytest.mark.slow
def test_what_needs_two_devices(jax, run_tests, monkeypatch):
    if not hasattr(jax.sharding, "AxisType"):
        pytest.skip("this JAX has no shardings in types")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    run_tests(DEVICES, fresh=True, passed=3)
