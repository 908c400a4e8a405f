"""JAX: variables threaded through jitted functions, arguments, dtypes, the state of the framework, and gradients."""

import dataclasses

import numpy as np
import pytest

from pytest_graphmode import UnsupportedError
from tests.backends.variants import variant, variants

pytestmark = pytest.mark.usefixtures("jax")

both = variants("jax:jit", "jax:eager")
jit = variants("jax:jit")


# Variables.


@jit
def test_a_variable_made_after_the_first_call_is_found(graphmode):
    made = []
    first = graphmode.variable(1.0)
    function = graphmode.function(lambda x: x + sum((variable * 1 for variable in made), first * 0))
    assert function(np.ones(2)).tolist() == [1, 1]
    made.append(graphmode.variable(5.0))
    assert function(np.ones(3)).tolist() == [6, 6, 6]
    graphmode.assign(made[0], 7.0)
    assert function(np.ones(3)).tolist() == [8, 8, 8]
    assert graphmode.ledger.builds == 2


@jit
def test_a_function_may_make_its_variables_on_its_first_call(graphmode):
    class Layer:
        weight = None

        def __call__(self, x):
            if self.weight is None:
                self.weight = graphmode.variable(np.full(3, 2.0))
            graphmode.assign(self.weight, self.weight + 1)
            return x * self.weight

    function = graphmode.function(Layer())
    assert function(np.ones(3)).tolist() == [3, 3, 3]
    assert function(np.ones(3)).tolist() == [4, 4, 4]
    assert graphmode.ledger.builds == 1


@both
def test_a_variable_is_usable_like_an_array(graphmode):
    v = graphmode.variable([1.0, 4.0])
    jnp = graphmode.lib.numpy

    def several(x):
        return (
            v + x, x - v, 2 * v, v / 2, v**2, -v, abs(v), v @ x, x @ v, v < x, v == v, v[1], v.sum(), v.T, len(v),
            jnp.sqrt(v), graphmode.xp.stack([v, v]), graphmode.xp.exp(v), graphmode.lib.nn.relu(v), next(iter(v)),
            v.shape, graphmode.lib.tree_util.tree_map(jnp.sqrt, {"v": v})["v"], graphmode.lib.jit(jnp.sqrt)(v),
        )  # fmt: skip

    plain = np.array([1.0, 4.0], np.float32)
    x = np.array([2.0, 3.0], np.float32)
    wanted = (
        plain + x, x - plain, 2 * plain, plain / 2, plain**2, -plain, plain, plain @ x, x @ plain, plain < x,
        np.array([True, True]), plain[1], plain.sum(), plain, 2, np.sqrt(plain), np.stack([plain, plain]),
        np.exp(plain), plain, plain[0], (2,), np.sqrt(plain), np.sqrt(plain),
    )  # fmt: skip
    for got, want in zip(graphmode.numpy(graphmode.function(several)(x)), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    assert repr(v) == "Variable(Array([1., 4.], dtype=float32))"
    assert (bool(v[0] > 0), float(graphmode.variable(2.0)), int(graphmode.variable(2))) == (True, 2.0, 2)
    assert np.asarray(v).tolist() == [1, 4]


@both
def test_a_variable_keeps_its_dtype(graphmode):
    v = graphmode.variable(np.zeros(2))
    graphmode.assign(v, graphmode.tensor([1, 2]))
    assert graphmode.numpy(v).dtype == np.float32


@both
def test_a_variable_may_be_an_argument_and_a_result(graphmode):
    v = graphmode.variable(1.0)

    def bump(tree):
        graphmode.assign(tree["v"], tree["v"] + 1)
        return tree["v"]

    bumped = graphmode.function(bump)
    assert [float(graphmode.numpy(bumped({"v": v}))) for _ in range(3)] == [2, 3, 4]
    assert float(v) == 4


@both
def test_a_variable_that_is_assigned_in_a_nested_function_and_a_scan(graphmode):
    v = graphmode.variable(1.0)
    inner = graphmode.function(lambda x: graphmode.assign(v, v * x))

    def outer(xs):
        graphmode.scan(lambda carry, x: (carry, inner(x)), 0.0, xs)
        return v + 0

    assert float(graphmode.function(outer)(np.array([2.0, 3.0, 4.0]))) == 24
    assert float(v) == 24


@both
def test_the_condition_of_a_loop_reads_what_its_body_assigned(graphmode):
    v = graphmode.variable(0.0)

    def body(n):
        graphmode.assign(v, v + 2)
        return (n + 1,)

    iterations = graphmode.function(lambda limit: graphmode.while_loop(lambda n: v < limit, body, (0,)))
    assert int(iterations(graphmode.tensor(5.0))[0]) == 3
    assert float(v) == 6


# Arguments.


def scaled(x, mode):
    return x * {"double": 2, "half": 0.5}[mode]


@jit
def test_a_string_may_be_static(graphmode):
    function = graphmode.function(scaled, static_argnames="mode")
    assert function(np.ones(2), "half").tolist() == [0.5, 0.5]
    assert function(np.ones(2), mode="double").tolist() == [2, 2]
    assert graphmode.function(scaled, static_argnums=1)(np.ones(2), "double").tolist() == [2, 2]


@jit
def test_static_arguments_are_left_as_they_are(graphmode):
    settings = dataclasses.make_dataclass("Settings", ["factor"], frozen=True)
    function = graphmode.function(lambda x, settings: x * settings.factor, static_argnums=-1)
    assert function(np.ones(1), settings(3)).tolist() == [3]


@jit
def test_python_scalars_are_weak_as_jax_has_them(graphmode):
    function = graphmode.function(lambda x, by: x * by)
    assert str(function(graphmode.tensor([1, 2]), 3).dtype) == "int32"
    function(graphmode.tensor([1, 2]), 4)
    assert graphmode.ledger.builds == 1


# What is refused.


def wasteful(g):
    def makes_one_each_time(x):
        return x * g.variable(np.ones(3))

    g.function(makes_one_each_time)(np.ones(3))


def counts_in_its_condition(g):
    v = g.variable(0.0)

    def cond(n):
        g.assign(v, v + 1)
        return n < 3

    g.function(lambda: g.while_loop(cond, lambda n: (n + 1,), (0,)))()


def assigns_in_native_jit(g):
    v = g.variable(1.0)
    try:
        g.lib.jit(lambda x: (g.assign(v, x), x)[1])(2.0)
    finally:
        assert float(v) == 1


# What is tried, in which mode; the error and what it says.
REFUSED = {
    "a variable in every trace": (
        *("jit", wasteful, ValueError),
        "makes_one_each_time makes a variable each time it is traced, and uses it: make",
    ),
    "a condition that assigns": (
        *("jit", counts_in_its_condition, UnsupportedError),
        "the cond of a while_loop can't assign variables in jax",
    ),
    "text": (
        *("jit", lambda g: g.function(scaled)(np.ones(2), "half"), TypeError),
        r"the Python str 'half' can't be traced by jax.jit, as mode: .*static_argnames='mode'",
    ),
    "the user's own": ("jit", lambda g: g.function(lambda x: x + "")(np.ones(1)), TypeError, "unsupported operand"),
    "options": (
        *("eager", lambda g: g.function(lambda x: x, static_argnums=0), TypeError),
        "eager mode takes no options for a function, got static_argnums",
    ),
    "another shape": (
        *("", lambda g: g.assign(g.variable(np.zeros(2)), np.ones(3)), ValueError),
        r"a variable of shape \[2\] can't be assigned a value of shape \[3\]: reshape",
    ),
    "native jit": (
        *("", assigns_in_native_jit, UnsupportedError),
        r"inside a native jax transformation .*: use graphmode\.function",
    ),
    "float64": (
        *("", lambda g: g.tensor(1.0, dtype="float64"), UnsupportedError),
        "jax has no float64 unless it is enabled: run with --graph-dtypes=float64",
    ),
    "a wide integer": ("", lambda g: g.tensor(np.array([2**40])), OverflowError, "these values don't fit int32"),
}


@pytest.mark.parametrize(
    ("graphmode", "case"),
    [
        pytest.param(*one.values, case, marks=one.marks, id=f"{one.id}-{case}")
        for case, (only, *_) in REFUSED.items()
        for one in (variant(f"jax:{mode}") for mode in ("jit", "eager") if mode.startswith(only))
    ],
    indirect=["graphmode"],
)
def test_what_is_refused(graphmode, case):
    _, attempt, error, said = REFUSED[case]
    with pytest.raises(error, match=said):
        attempt(graphmode)


# Dtypes and state.


@both
def test_float64_ends_wide_integers_are_narrowed_and_random_keys_come_out_as_their_data(graphmode):
    with graphmode.runtime.using_dtype("float64"):
        assert float(graphmode.tensor(0.1)) == 0.1
    assert str(graphmode.tensor(0.1).dtype) == "float32"
    assert str(graphmode.tensor(np.arange(3)).dtype) == "int32"
    assert graphmode.numpy(graphmode.lib.random.key(3)).tolist() == [0, 3]


def test_a_float64_variant_and_a_float32_one_in_one_run(run_tests):
    source = """
        def test_dtype(graphmode):
            x = graphmode.tensor(0.1)
            assert str(x.dtype) == graphmode.dtype
            assert str(graphmode.function(lambda x: x * graphmode.tensor(2.0))(x).dtype) == graphmode.dtype

        def test_leak(graphmode):
            graphmode.lib.config.update("jax_enable_x64", True)
            graphmode.lib.config.update("jax_debug_nans", True)

        def test_no_leak(graphmode):
            assert graphmode.lib.config.jax_debug_nans is False
            assert str(graphmode.tensor(0.1).dtype) == graphmode.dtype
        """
    run_tests(source, "--graph-backends=jax:jit+eager", "--graph-dtypes=float32,float64", passed=12)


@pytest.mark.slow
def test_a_second_device_gets_what_is_made_and_computed(run_tests, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    source = """
        import numpy as np
        import pytest
        from pytest_graphmode import Variant

        variants = [Variant("jax", mode, device).param() for mode in ("jit", "eager") for device in ("cpu", "cpu:1")]

        @pytest.mark.parametrize("graphmode", variants, indirect=True)
        def test_it(graphmode):
            wanted = {"cpu": 0, "cpu:1": 1}[graphmode.device]
            computed = graphmode.function(lambda x: (x * 2, graphmode.lib.numpy.ones(3), graphmode.tensor(1.0)))
            made = [graphmode.tensor(1.0), graphmode.variable(1.0).value, graphmode.lib.numpy.ones(2)]
            for array in (*made, *computed(np.ones(3))):
                assert {device.id for device in array.devices()} == {wanted}
        """
    run_tests(source, fresh=True, passed=4)


# Gradients: what means the same as on the other frameworks, and loops that JAX alone can't differentiate.


@both
def test_paths_that_carry_no_derivative_are_none(graphmode):
    lax, jnp = graphmode.lib.lax, graphmode.lib.numpy

    def loss(p):
        stopped = lax.stop_gradient(p["stopped"]).sum()
        index = jnp.argmax(p["index"])
        return p["used"][index] + stopped + jnp.sum(p["zero"] * 0)

    tree = {name: np.array([1.0, 2.0]) for name in ("used", "stopped", "index", "zero", "unused")}
    grads = graphmode.grad(loss)(tree)
    assert {name for name, grad in grads.items() if grad is None} == {"stopped", "index", "unused"}
    assert grads["used"].tolist() == [0, 1]
    assert grads["zero"].tolist() == [0, 0]


@jit
def test_a_leaf_without_a_path_inside_a_nested_jit_is_none(graphmode):
    inner = graphmode.lib.jit(lambda a, b: a * 2 + 0 * b.shape[0])
    grads = graphmode.grad(lambda p: graphmode.xp.sum(inner(p["a"], p["b"])))({"a": np.ones(2), "b": np.ones(2)})
    assert grads["a"].tolist() == [2, 2]
    assert grads["b"] is None


@both
def test_a_variable_that_was_assigned_is_differentiated_as_tensorflow_and_torch_do(graphmode):
    v = graphmode.variable(3.0)

    def loss():
        graphmode.assign(v, 2 * v)
        return v * v

    value, grad = graphmode.value_and_grad(loss, variables=v)()
    assert (float(value), float(grad)) == (36, 12)
    assert float(v) == 6


@both
def test_a_variable_passed_once_can_be_assigned(graphmode):
    w = graphmode.variable(3.0)

    def loss(a):
        graphmode.assign(a, a + 1)
        return a * a

    assert float(graphmode.grad(loss)(w)) == 8
    assert float(w) == 4


@jit
def test_while_loops_are_refused_by_name(graphmode):
    """JAX has no reverse mode through them: scan and fori_loop with Python ints as bounds serve."""
    lax = graphmode.lib.lax
    native = graphmode.grad(lambda x: lax.while_loop(lambda y: y < 10, lambda y: y * 2, x))
    ours = graphmode.grad(lambda x: graphmode.while_loop(lambda y: y < 10, lambda y: y * 2, (x,))[0])
    counted = graphmode.grad(lambda x: graphmode.fori_loop(0, graphmode.tensor(3), lambda i, y: y * x, x))
    for grad in (native, ours, counted):
        with pytest.raises(UnsupportedError, match=r"no gradients through a while_loop.*use scan, or fori_loop"):
            grad(graphmode.tensor(2.0))
    assert float(graphmode.grad(lambda x: graphmode.fori_loop(0, 3, lambda i, y: y * x, x))(2.0 * np.float32(1))) == 32


@jit
def test_a_training_loop_in_a_loop_updates_variables(graphmode):
    v = graphmode.variable(0.0)

    def descend(steps):
        def step(i):
            graphmode.assign(v, v - 0.25 * graphmode.grad(lambda: (v - 3) ** 2, variables=v)())
            return (i + 1,)

        return graphmode.while_loop(lambda i: i < steps, step, (0,))[0]

    graphmode.function(descend)(graphmode.tensor(5))
    assert float(v) == pytest.approx(3 * (1 - 0.5**5))
