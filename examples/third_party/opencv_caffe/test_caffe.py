"""Caffe networks in prototxt, the oldest static graphs still in use, against the same layers in torch."""

import numpy as np
import pytest

pytest.importorskip("graphmode_caffe", reason="pip install ./examples/third_party/opencv_caffe")
from graphmode_caffe import SPEC

from pytest_graphmode import UnsupportedError
from pytest_graphmode.testing import ForwardContract

IMAGES = (2, 3, 8, 8)


def prototxt(name, layers, **inputs):
    """A network of layers, its inputs given by name and shape."""
    dims = {key: " ".join(f"dim: {size}" for size in shape) for key, shape in inputs.items()}
    declared = [f'input: "{key}" input_shape {{ {shape} }}' for key, shape in dims.items()]
    return "\n".join([f'name: "{name}"', *declared, *layers])


def layer(kind, bottoms="x", top="y", parameters=""):
    wires = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}" {wires} top: "{top}" {parameters} }}'


def torch_functions():
    return pytest.importorskip("torch").nn.functional


LAYERS = {
    "relu": (layer("ReLU"), lambda x: torch_functions().relu(x)),
    "tanh": (layer("TanH"), lambda x: x.tanh()),
    "sigmoid": (layer("Sigmoid"), lambda x: x.sigmoid()),
    "elu": (layer("ELU"), lambda x: torch_functions().elu(x)),
    "power": (layer("Power", parameters="power_param { power: 2 scale: 0.5 shift: 1 }"), lambda x: (x / 2 + 1) ** 2),
    "softmax": (layer("Softmax"), lambda x: x.softmax(1)),
    "max pooling": (
        layer("Pooling", parameters="pooling_param { pool: MAX kernel_size: 3 stride: 2 }"),
        lambda x: torch_functions().max_pool2d(x, 3, 2, ceil_mode=True),
    ),
    "average pooling": (
        layer("Pooling", parameters="pooling_param { pool: AVE kernel_size: 2 stride: 2 }"),
        lambda x: torch_functions().avg_pool2d(x, 2),
    ),
    "local response": (
        layer("LRN", parameters="lrn_param { local_size: 3 alpha: 0.1 beta: 0.75 }"),
        lambda x: torch_functions().local_response_norm(x, 3, alpha=0.1, beta=0.75),
    ),
    "flatten": (layer("Flatten"), lambda x: x.flatten(1)),
    "twice x": (layer("Eltwise", "x x", parameters="eltwise_param { operation: SUM }"), lambda x: x + x),
    "squares": (layer("Eltwise", "x x", parameters="eltwise_param { operation: PROD }"), lambda x: x * x),
    "concat": (layer("Concat", "x x"), lambda x: pytest.importorskip("torch").cat([x, x], 1)),
}


@pytest.mark.graphmode(backends="caffe,torch")
@pytest.mark.graph_agree
@pytest.mark.parametrize("kind", LAYERS)
def test_layer(graphmode, kind):
    layers, function = LAYERS[kind]
    run = graphmode.function(graphmode.pick(caffe=prototxt(kind, [layers], x=IMAGES), torch=function))
    graphmode.agree(output=run(graphmode.rng.standard_normal(IMAGES)))


def two_layers():
    """A network whose weights are inputs, so that the prototxt is all of it."""
    matmul = "inner_product_param {{ num_output: {} bias_term: false transpose: true }}"
    layers = [
        layer("InnerProduct", "x w1", "h", matmul.format(5)),
        layer("ReLU", "h", "a"),
        layer("InnerProduct", "a w2", "y", matmul.format(2)),
    ]
    return prototxt("two_layers", layers, x=(4, 3), w1=(3, 5), w2=(5, 2))


@pytest.mark.graphmode(backends="caffe,torch")
@pytest.mark.graph_agree
@pytest.mark.graph_rebuilds(caffe=0)
def test_network(graphmode):
    """Built once, run many times."""
    run = graphmode.function(graphmode.pick(caffe=two_layers(), torch=lambda x, w1, w2: (x @ w1).relu() @ w2))
    for _ in range(3):
        graphmode.agree(output=run(*(graphmode.rng.standard_normal(shape) for shape in ((4, 3), (3, 5), (5, 2)))))


@pytest.mark.graphmode(backends="caffe")
def test_what_it_can_not_do_is_said(graphmode):
    relu = prototxt("rectifier", [layer("ReLU")], x=(1, 3))
    with pytest.raises(UnsupportedError, match=r"no reverse mode.* finite differences"):
        graphmode.grad(relu)(np.ones((1, 3)))
    with pytest.raises(UnsupportedError, match=r"can't trace Python functions: .*graphmode\.pick\(caffe=model"):
        graphmode.function(lambda x: x)
    with pytest.raises(ValueError, match=r"x of rectifier is declared as float32\[1, 3\], not float32\[2, 3\]"):
        graphmode.function(relu)(np.ones((2, 3)))
    with pytest.raises(ValueError, match="declares no input"):
        graphmode.function('name: "empty"')


class TestContract(ForwardContract, spec=SPEC):
    def model(self, graphmode):
        # OpenCV has no arrays of one axis: a vector comes back as a column.
        return prototxt("rectifier", [layer("ReLU")], x=(3,)), lambda x: np.maximum(x, 0)[:, None]

    def disturb(self, graphmode):
        graphmode.lib.setUseOptimized(not graphmode.lib.useOptimized())

    def state(self, graphmode):
        return graphmode.lib.useOptimized()

    def random(self, graphmode):
        drawn = np.empty(4, np.float32)
        graphmode.lib.randn(drawn, 0, 1)
        return drawn
