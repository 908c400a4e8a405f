"""Devices of a divided CPU in TensorFlow and JAX, each in a fresh process, since a process has one number of them."""

import pytest

from pytest_graphmode.backends.specs import BACKENDS

pytestmark = pytest.mark.slow

HEAD = """
    import numpy as np
    import pytest

    def moved(graphmode, x):
        if graphmode.backend == "jax":
            return graphmode.lib.device_put(x, graphmode.lib.devices()[0])
        with graphmode.lib.device("/CPU:0"):
            return graphmode.lib.identity(x)
"""
RIGHT = """
    def test_values(graphmode):
        weight = graphmode.variable([1.0, 2.0])
        step = graphmode.function(lambda x: {"y": x * weight, "n": graphmode.xp.zeros((2,)), "i": graphmode.tensor(1)})
        assert step(np.array([1.0, 2.0]))["y"].shape == (2,)
        value, grad = graphmode.value_and_grad(lambda x: graphmode.xp.sum(x * weight))(np.array([1.0, 2.0]))
        assert graphmode.numpy(grad).tolist() == [1.0, 2.0]

    def test_moved_and_back(graphmode):
        def step(x):
            return moved(graphmode, x) * graphmode.tensor(2.0)
        if graphmode.backend == "tf":
            graphmode.function(step)(np.array([1.0, 2.0]))
        graphmode.device

    def test_checks(graphmode):
        def power(x):
            return graphmode.fori_loop(0, 3, lambda i, product: product * x, x)
        graphmode.check_control_flow(power, [(np.array([1.0, 2.0]),)], coverage=False)
        graphmode.check_grads(power, np.array([1.0, 2.0]))

    @pytest.mark.graph_agree
    def test_agree(graphmode):
        graphmode.agree(y=graphmode.function(graphmode.xp.exp)(np.array([1.0, 2.0])))
"""
WRONG = """
    def test_result(graphmode):
        graphmode.function(lambda x: (x, moved(graphmode, x + 1.0)))(np.array([1.0, 2.0]))

    def test_value(graphmode):
        graphmode.grad(lambda x: moved(graphmode, graphmode.xp.sum(x)))(np.array([1.0, 2.0]))
"""
# A callback of JAX fails after the function has returned, and yet in the test that caused it.
LATE = """
    @pytest.mark.graphmode("jax:jit")
    def test_late(graphmode):
        def fail(x):
            raise ValueError("the callback failed")

        def step(x):
            graphmode.lib.debug.callback(fail, x)
            return x + 1.0

        step_in_graph = graphmode.function(step)
        step_in_graph(np.array([1.0, 2.0]))

    @pytest.mark.graphmode("jax:jit")
    def test_next(graphmode):
        graphmode.variant
"""


def run(pytester: pytest.Pytester, backends: str, body: str) -> pytest.RunResult:
    name = backends.partition(":")[0]
    spec = next(spec for spec in BACKENDS if spec.name == name)
    if not spec.installed:
        pytest.skip(f"{spec.module} is not installed")
    pytester.makepyfile(HEAD + body)
    options = ("-p", "no:cacheprovider", "-rf", "--graph-logical-cpus=2", f"--graph-backends={backends}")
    return pytester.runpytest_subprocess(*options)


def test_tensorflow_on_its_second_cpu_and_what_it_has_moved(pytester: pytest.Pytester) -> None:
    """XLA compiles all of a function for one device, whatever tf.device says in it."""
    result = run(pytester, "tf:graph+session+eager+xla", RIGHT + WRONG)
    result.assert_outcomes(passed=33 + 10, failed=6)
    result.stdout.fnmatch_lines(
        [
            "E*AssertionError: ?1? of what <lambda> returned is on cpu, and tf-graph-cpu:1 runs on *soft*",
            "E*AssertionError: ?1? of what <lambda> returned is on cpu, and tf-session-cpu:1 runs on cpu:1: *",
            "E*AssertionError: ?1? of what <lambda> returned is on cpu, and tf-eager-cpu:1 runs on cpu:1: *",
            "E*AssertionError: the value of <lambda> is on cpu, and tf-graph-cpu:1 runs on cpu:1: *",
        ]
    )


def test_variables_of_tensorflows_own(pytester: pytest.Pytester) -> None:
    """Those that TensorFlow keeps in the host's memory on purpose, counters and iterators, are no concern."""
    body = """
    def dense(graphmode):
        keras = pytest.importorskip("keras")
        layer = keras.layers.Dense(2)
        assert graphmode.function(lambda x: layer(x))(np.ones((3, 4), np.float32)).shape == (3, 2)
        return layer

    def test_here(graphmode):
        tf = graphmode.lib
        weight, step, text = tf.Variable([1.0, 2.0]), tf.Variable(0), tf.Variable("text")
        with tf.device(graphmode.native_device):
            more = tf.Variable(2.0)
        numbers = iter(tf.data.Dataset.from_tensor_slices([[1.0, 2.0]]))
        run = graphmode.function(lambda x: x * weight * more + tf.cast(step, tf.float32))
        assert graphmode.numpy(run(next(numbers))).tolist() == [2.0, 8.0]
        layer = dense(graphmode)
        pytest.importorskip("keras").optimizers.Adam().build(layer.trainable_variables)

    def test_elsewhere(graphmode):
        with graphmode.lib.device("/CPU:0"):
            graphmode.lib.Variable([1.0], name="table")

    def test_layer_elsewhere(graphmode):
        with graphmode.lib.device("/CPU:0"):
            dense(graphmode)

    def test_made_in_a_graph(graphmode):
        tf, made = graphmode.lib, []

        def call(x):
            with tf.device("/CPU:0"):
                made or made.append(tf.Variable([1.0], name="inner"))
            return x + made[0]

        graphmode.function(call)(np.array([1.0]))
"""
    result = run(pytester, "tf:graph+eager", body)
    result.assert_outcomes(passed=10, failed=6)
    runs = "and tf-{mode}-cpu:1 runs on cpu:1: a tf.device(...) moved it, *"
    result.stdout.fnmatch_lines(
        [
            f"E*AssertionError: the variable {name} is on cpu, {runs.format(mode=mode)}"
            for name, mode in [("table", "graph"), ("table", "eager"), ("*kernel", "graph"), ("inner", "eager")]
        ]
    )


def test_jax_on_its_second_cpu_and_what_it_has_moved(pytester: pytest.Pytester) -> None:
    """A jitted function runs on one device, whatever jax.device_put says in it."""
    result = run(pytester, "jax:jit+eager", RIGHT + WRONG + LATE)
    result.assert_outcomes(passed=17 + 6 + 2, failed=2 + 2)
    result.stdout.fnmatch_lines(
        [
            "E*AssertionError: ?1? of what <lambda> returned is on cpu, and jax-eager-cpu:1 runs on *device_put*",
            "E*AssertionError: the value of <lambda> is on cpu, and jax-eager-cpu:1 runs on cpu:1: *",
        ]
    )
    result.stdout.fnmatch_lines(["FAILED *test_late?jax-jit-cpu?*", "FAILED *test_late?jax-jit-cpu:1?*"])


@pytest.mark.parametrize(
    ("backend", "framework", "use"),
    [
        ("tf", "TensorFlow", "import tensorflow; tensorflow.constant(1.0)"),
        ("jax", "JAX", "import jax; jax.numpy.ones(1)"),
    ],
)
def test_a_conftest_that_uses_the_framework_is_too_early(
    pytester: pytest.Pytester, backend: str, framework: str, use: str
) -> None:
    pytester.makeconftest(use)
    result = run(pytester, backend, RIGHT)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --graph-logical-cpus=2: {framework} has made its devices already, 1 of the CPU: let nothing use it *"]
    )
