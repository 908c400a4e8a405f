"""Taps of every layer of a model, for the three kinds of models."""

import numpy as np
import pytest

from tests.backends.variants import variants

IMAGE = np.random.default_rng(0).standard_normal((3, 2, 2, 2)).astype(np.float32)

pytestmark = pytest.mark.graph_agree(rtol=1e-4, atol=1e-5)


def steps(graphmode):
    """How often each tap was recorded, gradients left out."""
    return {name: len(found) for name, found in graphmode.recording.taps.items() if not name.startswith("grad(")}


# torch.


def torch_net(torch):
    """Nested blocks, with one activation for both that works in place, and a layer that is called twice."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.conv, self.bn, self.act = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), act

        def forward(self, x):
            return self.act(self.bn(self.conv(x)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            act = nn.ReLU(inplace=True)
            self.a, self.b, self.head = Block(act), Block(act), nn.Linear(8, 8)

        def forward(self, x):
            x = self.b(self.a(x)).flatten(1)
            return self.head(self.head(x))

    torch.manual_seed(0)
    return Net()


of_torch = variants("torch:eager", "torch:compile")


@of_torch
def test_modules_are_tapped_without_a_build_or_break_more(graphmode):
    net, plain = torch_net(graphmode.lib), torch_net(graphmode.lib)
    graphmode.tap_layers(net, {"head": "dense", "a.conv": "first"})
    run, image = graphmode.function(net), graphmode.tensor(IMAGE)
    with graphmode.watch() as ledger:
        outputs = [run(image) for _ in range(2)]
    assert (ledger.breaks, ledger.fallbacks) == (0, 0)
    if graphmode.mode == "compile":
        assert ledger.builds == 1
    for output in outputs:
        np.testing.assert_allclose(graphmode.numpy(output), graphmode.numpy(plain(image)), rtol=1e-5)
    once = dict.fromkeys(["first", "a.bn", "a", "b.conv", "b.bn", "b"], 2)
    assert steps(graphmode) == {**once, "a.act": 4, "dense": 4}
    before, after = (next(iter(graphmode.recording.taps[name][0].values())) for name in ("a.bn", "a.act"))
    assert (before < 0).any()
    assert (after >= 0).all()


@of_torch
def test_gradients_go_through_the_taps_of_modules(graphmode):
    net, plain = torch_net(graphmode.lib), torch_net(graphmode.lib)
    graphmode.tap_layers(net)
    gradients = [graphmode.grad(lambda x, of=of: of(x).sum())(IMAGE) for of in (net, plain)]
    np.testing.assert_allclose(*map(graphmode.numpy, gradients), rtol=1e-5, atol=1e-7)
    taps = graphmode.recording.taps
    assert list(taps)[-8:] == [
        f"grad({name})" for name in ("head", "b", "b.bn", "b.conv", "a", "a.act", "a.bn", "a.conv")
    ]
    assert len(taps["grad(head)"]) == len(taps["grad(a.act)"]) == 2
    np.testing.assert_array_equal(taps["grad(head)"][1]["grad(head)"], np.ones((3, 8)))


@variants("torch:eager")
def test_names_that_the_model_lacks_and_names_for_two_are_refused(graphmode):
    net = torch_net(graphmode.lib)
    with pytest.raises(
        ValueError, match=r"has no layer 'conv1': its layers are a, a.conv, a.bn, a.act, b, b.conv, b.bn"
    ):
        graphmode.tap_layers(net, {"conv1": "x"})
    with pytest.raises(ValueError, match=r"a.conv and b.conv would both be tapped as 'conv'"):
        graphmode.tap_layers(net, {"a.conv": "conv", "b.conv": "conv"})
    with pytest.raises(TypeError, match=r"taps the layers of an nn.Module, not of a list: tap the values themselves"):
        graphmode.tap_layers([net])
    assert not any(module._forward_hooks for module in net.modules())
    graphmode.tap("x", 1)


@variants("torch:eager")
def test_a_shared_layer_has_any_of_its_names_and_a_module_without_others_its_own(graphmode):
    net, layer = torch_net(graphmode.lib), graphmode.lib.nn.Linear(2, 3)
    graphmode.tap_layers(net, {"b.act": "relu"})
    net(graphmode.tensor(IMAGE))
    assert steps(graphmode)["relu"] == 2
    assert "a.act" not in steps(graphmode)
    graphmode.tap_layers(layer)
    layer(graphmode.tensor(np.ones(2)))
    assert steps(graphmode)["Linear"] == 1


@variants("torch:eager")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_layers_of_torchscript_are_left_out(graphmode):
    nn, jit = graphmode.lib.nn, graphmode.lib.jit
    scripted = jit.script(nn.Sequential(nn.Linear(2, 2)))
    net = nn.Sequential(scripted, nn.ReLU())
    graphmode.tap_layers(net)
    graphmode.agree(y=graphmode.function(net)(graphmode.tensor(np.ones((1, 2)))))
    assert steps(graphmode) == {"1": 1}
    with pytest.raises(TypeError, match="not scripted, not of a RecursiveScriptModule"):
        graphmode.tap_layers(scripted)


# Keras and tf.Module.


def keras_net(kind):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    if kind == "sequential":
        inner = keras.Sequential([layers.Conv2D(2, 1), layers.ReLU()], name="inner")
        return keras.Sequential(
            [layers.Conv2D(2, 3, padding="same"), layers.BatchNormalization(), inner, layers.Flatten(), layers.Dense(3)]
        )
    if kind == "functional":
        image, conv, relu = keras.Input((2, 2, 2)), layers.Conv2D(2, 3, padding="same"), layers.ReLU()
        return keras.Model(image, layers.Flatten()(layers.Add()([relu(conv(relu(conv(image)))), image])))
    if kind == "recurrent":
        return keras.Sequential([layers.Reshape((4, 2)), layers.LSTM(3, return_sequences=True), layers.Dense(2)])

    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.conv, self.act = layers.Conv2D(2, 3, padding="same"), layers.ReLU()

        def call(self, x):
            return self.act(self.conv(x))

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.more, self.head = Block(), [Block()], layers.Dense(8)

        def call(self, x):
            x = keras.ops.reshape(self.more[0](self.a(x)), (-1, 8))
            return self.head(self.head(x))

    return Net()


KERAS = {
    "sequential": {
        "conv2d": 2, "batch_normalization": 2, "inner.conv2d": 2, "inner.re_lu": 2, "inner": 2, "flatten": 2, "dense": 2
    },
    "functional": {"conv2d": 4, "re_lu": 4, "add": 2, "flatten": 2},
    "recurrent": {"reshape": 2, "lstm": 2, "dense": 2},
    "subclass": {
        "a.conv": 2, "a.act": 2, "a": 2, "more.0.conv": 2, "more.0.act": 2, "more.0": 2, "head": 4
    },
}  # fmt: skip


@variants("tf:graph", "tf:eager")
@pytest.mark.parametrize("kind", list(KERAS))
def test_layers_of_keras_are_tapped_without_a_build_more(graphmode, kind):
    pytest.importorskip("keras").utils.set_random_seed(0)
    net, image = keras_net(kind), graphmode.tensor(IMAGE)
    plain = net(image)
    graphmode.tap_layers(net)
    run = graphmode.function(lambda image: net(image))
    with graphmode.watch() as ledger:
        outputs = [run(image) for _ in range(2)]
    assert (ledger.builds, ledger.fallbacks) == (int(graphmode.mode == "graph"), 0)
    for output in outputs:
        np.testing.assert_allclose(output, plain, rtol=1e-4, atol=1e-6)
    assert steps(graphmode) == KERAS[kind]
    graphmode.grad(lambda image: graphmode.xp.sum(net(image)))(image)
    last = list(KERAS[kind])[-1]
    np.testing.assert_array_equal(graphmode.recording.taps[f"grad({last})"][-1][f"grad({last})"], np.ones(plain.shape))


def tf_module(graphmode):
    tf = graphmode.lib

    class Dense(tf.Module):
        def __init__(self, scale):
            super().__init__()
            self.weight = graphmode.variable(np.eye(3) * scale)

        def __call__(self, x):
            x = tf.matmul(x, tf.convert_to_tensor(self.weight))
            if tf.reduce_sum(x) > 100:  # AutoGraph's to convert
                x = x * 0
            return x

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.first = [Dense(1.0), Dense(2.0)]
            self.head = self.shared = Dense(3.0)

        def __call__(self, x):
            for layer in self.first:
                x = layer(x)
            return self.head(self.head(x))

    return Net()


@variants("tf:graph", "tf:eager")
def test_a_call_that_is_a_tf_function_is_one_for_each_object(graphmode):
    tf = graphmode.lib

    class Lazy(tf.Module):
        weight = None

        @tf.function
        def __call__(self, x):
            if self.weight is None:
                self.weight = tf.Variable(tf.ones((3, 3)))
            return tf.matmul(x, self.weight)

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = Lazy(), Lazy()

        def __call__(self, x):
            return self.second(self.first(x))

    net = Net()
    graphmode.tap_layers(net)
    graphmode.agree(y=graphmode.function(net)(graphmode.tensor(np.ones((2, 3)))))
    assert list(steps(graphmode)) == ["first", "second"]


@variants("tf:graph", "tf:session", "tf:eager")
def test_modules_of_tensorflow_are_tapped_without_a_build_more(graphmode):
    net = tf_module(graphmode)
    graphmode.tap_layers(net, {"shared": "dense"})
    run = graphmode.function(lambda x: net(x))
    with graphmode.watch() as ledger:
        outputs = [graphmode.numpy(run(np.full((1, 3), value, np.float32))) for value in (1, 10)]
    assert (ledger.builds, ledger.fallbacks) == (int(graphmode.mode != "eager"), 0)
    assert [output[0, 0] for output in outputs] == [18, 0]
    assert steps(graphmode) == {"first.0": 2, "first.1": 2, "dense": 4}


@variants("jax:jit", "numpy")
def test_other_models_are_refused(graphmode):
    with pytest.raises(
        TypeError, match=r"taps the layers of an nn.Module, a Keras model or a tf.Module, not of a dict"
    ):
        graphmode.tap_layers({})
    graphmode.tap("x", 1)
