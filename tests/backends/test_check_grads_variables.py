"""`check_grads` by variables: those of modules and layers, and those that a test names."""

import functools
import warnings

import numpy as np
import pytest

from pytest_graphmode import PrecisionWarning
from tests.backends.gradient_cases import custom
from tests.backends.variants import failure, variants

torch_modes = variants("torch:eager", "torch:compile")
tf_modes = variants("tf:eager", "tf:graph")
every_mode = variants("torch:eager", "torch:compile", "tf:eager", "tf:graph", "tf:session", "jax:jit", "jax:eager")
X = np.array([[0.5, -1.0], [2.0, 0.25]])


def scaling(graphmode, wrong):
    """The identity; a wrong one has a gradient that is off by 5 %."""
    return custom(graphmode, lambda w: w * 1.0, lambda up, w: 1.05 * up) if wrong else (lambda w: w)


def net(graphmode, wrong=False):
    """A module whose weight has a wrong gradient, and its bias a right one."""
    torch, scaled = graphmode.lib, scaling(graphmode, wrong)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = torch.nn.Linear(2, 3)
            self.unused = torch.nn.Parameter(torch.ones(2))
            self.frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)
            self.register_buffer("offset", torch.full((3,), 0.5))

        def forward(self, x):
            return torch.tanh(x @ scaled(self.dense.weight).T + self.dense.bias + self.offset) * self.frozen

        def loss(self, x):
            return self(x).sum()

    return Net()


@torch_modes
def test_parameters_of_a_module_are_checked_in_float64_and_left_as_they_were(graphmode):
    module = net(graphmode)
    before = {name: (one, one.data, one.detach().clone()) for name, one in module.state_dict(keep_vars=True).items()}
    for fn in (module, module.loss, functools.partial(module.loss)):
        graphmode.check_grads(fn, X, float64=True)
    for name, one in module.state_dict(keep_vars=True).items():
        kept, data, values = before[name]
        assert one is kept
        assert one.data.data_ptr() == data.data_ptr()
        assert one.dtype == values.dtype
        assert bool((one == values).all())
    assert module.dense.weight.grad is None


@variants("torch:eager")
def test_a_failure_names_the_parameter(graphmode):
    module = net(graphmode, wrong=True)
    for fn in (module, module.loss):
        text = failure(graphmode.check_grads, fn, X)
        assert "is wrong at dense.weight[" in text
        assert ", in a variable of the function [torch-eager-cpu]" in text
        assert "checked in float64" in text


@torch_modes
def test_a_path_that_is_cut_is_named(graphmode):
    torch = graphmode.lib

    class Cut(torch.nn.Linear):
        def forward(self, x):
            return x @ self.weight.T + self.bias.detach()

    assert "by bias, a variable of the function, is None, yet its value changes" in failure(
        graphmode.check_grads, Cut(2, 3), X
    )
    graphmode.check_grads(torch.nn.Linear(2, 3), X)


@variants("torch:eager")
def test_a_lazy_module_says_what_to_do(graphmode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lazy modules being under development
        lazy = graphmode.lib.nn.LazyLinear(3)
    with pytest.raises(NotImplementedError, match="call it once before"):
        graphmode.check_grads(lazy, X)


def layer(graphmode, wrong=False):
    tf, scaled = graphmode.lib, scaling(graphmode, wrong)

    class Layer(tf.keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 3), name="kernel")
            self.bias = self.add_weight(shape=(3,), name="bias", initializer="ones")

        def call(self, x):
            return tf.tanh(x @ scaled(tf.convert_to_tensor(self.kernel)) + self.bias)

    return Layer(name="net")


@tf_modes
@pytest.mark.parametrize("built", [True, False])
def test_variables_of_a_keras_layer(graphmode, built):
    """They are float32 and stay so, which is said."""
    right, wrong = layer(graphmode), layer(graphmode, wrong=True)
    if built:
        for one in (right, wrong):
            one(X.astype("float32"))
    with pytest.warns(PrecisionWarning, match=r"its variable net/kernel is float32 and stays so"):
        graphmode.check_grads(right, X)
    kept = right.get_weights()
    text = failure(graphmode.check_grads, wrong, X)
    assert "is wrong at net/kernel[" in text
    assert ", in a variable of the function" in text
    text = failure(graphmode.check_grads, right, X, float64=True)
    assert "can't be checked in float64: its variable net/kernel is float32 and stays so" in text
    for before, after in zip(kept, right.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@tf_modes
def test_variables_of_a_module_and_of_a_keras_model(graphmode):
    tf = graphmode.lib

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(np.ones((2, 3)), name="weight")  # float64
            self.steps = tf.Variable(0)

        def __call__(self, x):
            return tf.tanh(tf.cast(x, tf.float64) @ self.weight)

    module = Module()
    graphmode.check_grads(module, X, float64=True)
    graphmode.check_grads(module.__call__, X, float64=True)
    model = tf.keras.Sequential([tf.keras.layers.Dense(3, activation="tanh", dtype="float64")])
    graphmode.check_grads(model, X, float64=True)


@every_mode
@pytest.mark.filterwarnings("ignore::pytest_graphmode.PrecisionWarning")
def test_variables_that_the_test_names(graphmode):
    weight, other = graphmode.variable(np.ones((2, 3))), graphmode.variable(np.ones(3))
    tuned = {"weight": weight, "more": [other]}
    graphmode.check_grads(lambda x: graphmode.xp.sum((x @ weight * other) ** 2), X, variables=tuned)
    np.testing.assert_array_equal(graphmode.numpy(weight), np.ones((2, 3)))
    assert str(weight.dtype).endswith(("float32", "float32'>"))


@variants("torch:eager", "tf:eager", "tf:graph", "jax:jit")
@pytest.mark.filterwarnings("ignore::pytest_graphmode.PrecisionWarning")
def test_a_named_variable_that_is_wrong_or_not_used(graphmode):
    weight, other = graphmode.variable(np.ones((2, 3))), graphmode.variable(np.ones(3))
    wrong = scaling(graphmode, wrong=True)

    def loss(x):
        return graphmode.xp.sum((x @ wrong(weight + 0.0)) ** 2)

    graphmode.check_grads(loss, X)  # by x alone it is right
    text = failure(graphmode.check_grads, loss, X, variables={"w": weight})
    assert "is wrong at variables['w'][" in text
    text = failure(graphmode.check_grads, lambda x: graphmode.xp.sum(x), X, variables=[weight, other])
    assert "no path leads from variables[0], a variable of the function, to the value of <lambda>" in text
    with pytest.raises(TypeError, match=r"check_grads: variables\[0\] is .*, not a floating variable: pass what is to"):
        graphmode.check_grads(lambda x: graphmode.xp.sum(x), X, variables=[graphmode.tensor(X)])


@every_mode
@pytest.mark.filterwarnings("ignore::pytest_graphmode.PrecisionWarning")
def test_no_argument_and_one_variable_as_two(graphmode):
    weight = graphmode.variable(np.array([2.0, 3.0]))
    graphmode.check_grads(lambda: graphmode.xp.sum(weight**2), variables=weight)
    graphmode.check_grads(lambda a, b: graphmode.xp.sum(a * a * b), weight, weight)
