"""A network as an ONNX model, made once and run many times, against the same network in torch."""

import numpy as np
import pytest

pytest.importorskip("graphmode_onnxruntime", reason="pip install ./examples/third_party/onnxruntime")
from graphmode_onnxruntime import SPEC
from onnx import TensorProto, helper

from pytest_graphmode import UnsupportedError
from pytest_graphmode.testing import ForwardContract


def onnx_model(name, nodes, inputs, output, shape):
    """A float32 model of one output, its nodes as rows of operator, inputs, output and attributes."""
    declared = [helper.make_tensor_value_info(*value) for value in inputs]
    made = [helper.make_node(operator, ins.split(), [out], **more) for operator, ins, out, more in nodes]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(made, name, declared, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def loss_model():
    """The sum of the squared outputs of a two-layer network, with its weights as inputs."""
    return onnx_model(
        "loss",
        [
            ("MatMul", "x w1", "h", {}),
            ("Tanh", "h", "a", {}),
            ("MatMul", "a w2", "y", {}),
            ("Mul", "y y", "squares", {}),
            ("ReduceSum", "squares", "total", {"keepdims": 0}),
        ],
        inputs=[
            ("x", TensorProto.FLOAT, ["batch", 3]),
            ("w1", TensorProto.FLOAT, [3, 5]),
            ("w2", TensorProto.FLOAT, [5, 2]),
        ],
        output="total",
        shape=[],
    )


def torch_loss(x, w1, w2):
    return (((x @ w1).tanh() @ w2) ** 2).sum()


def central_differences(fn, step=1e-2):
    """The gradient by the first argument of a function that has no reverse mode."""

    def gradient(x, *others):
        slopes = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            shift = np.zeros(x.shape)
            shift[index] = step
            slopes[index] = (fn(x + shift, *others) - fn(x - shift, *others)) / (2 * step)
        return slopes

    return gradient


@pytest.fixture
def arguments(graphmode):
    return [graphmode.rng.standard_normal(shape) for shape in ((4, 3), (3, 5), (5, 2))]


@pytest.mark.graphmode(backends="onnxruntime,torch")
@pytest.mark.graph_agree
@pytest.mark.graph_rebuilds(onnxruntime=0)
def test_loss(graphmode, arguments):
    """The session is created once, and `batch` is free."""
    x, w1, w2 = arguments
    loss = graphmode.function(graphmode.pick(onnxruntime=loss_model(), torch=torch_loss))
    for size in (4, 3, 2):
        graphmode.agree(loss=loss(x[:size], w1, w2))


@pytest.mark.graphmode(backends="onnxruntime,torch")
@pytest.mark.graph_agree(rtol=1e-3, atol=1e-2)
def test_gradient(graphmode, arguments):
    """Finite differences of what only runs forward agree with torch's gradient."""
    loss = graphmode.function(graphmode.pick(onnxruntime=loss_model(), torch=torch_loss))
    differentiate = graphmode.pick(onnxruntime=central_differences, torch=graphmode.grad)
    graphmode.agree(gradient=graphmode.numpy(differentiate(loss)(*arguments)).astype("float32"))


def exported(network):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript", reason="torch.onnx.export needs it: pip install onnxscript")
    return torch.onnx.export(network, (torch.zeros(4, 3),), dynamo=True, verbose=False).model_proto


@pytest.mark.graphmode(backends="onnxruntime,torch")
@pytest.mark.graph_agree
@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # torch.export itself, 2.13
def test_exported_from_torch(graphmode):
    nn = pytest.importorskip("torch").nn
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    model = graphmode.pick(onnxruntime=exported, torch=lambda network: network)(network)
    graphmode.agree(output=graphmode.function(model)(graphmode.rng.standard_normal((4, 3))))


@pytest.mark.graphmode(backends="onnxruntime")
def test_a_session_in_a_loop_is_counted(graphmode):
    for _ in range(3):
        graphmode.function(loss_model())
    assert (graphmode.ledger.builds, graphmode.ledger.rebuilds) == (3, 2)
    assert "make it once, outside the loop" in graphmode.explain()


@pytest.mark.graphmode(backends="onnxruntime")
def test_what_it_can_not_do_is_said(graphmode, arguments):
    with pytest.raises(UnsupportedError, match=r"no reverse mode.* finite differences"):
        graphmode.grad(loss_model())(*arguments)
    with pytest.raises(AssertionError, match="no reverse mode"):
        graphmode.check_grads(loss_model(), *arguments)
    with pytest.raises(UnsupportedError, match=r"can't trace Python functions: .*graphmode\.pick\(onnxruntime=model"):
        graphmode.function(torch_loss)
    with pytest.raises(TypeError, match=r"w2 of loss is declared as float32\[5, 2\], not int32"):
        graphmode.function(loss_model())(*arguments[:2], np.zeros((5, 2), np.int32))


class TestContract(ForwardContract, spec=SPEC):
    def model(self, graphmode):
        nodes = [("Mul", "x x", "squared", {}), ("Relu", "x", "positive", {}), ("Add", "squared positive", "y", {})]
        vector = [("x", TensorProto.FLOAT, ["n"])]
        return onnx_model("squares", nodes, vector, "y", ["n"]), lambda x: x * x + np.maximum(x, 0)

    def random(self, graphmode):
        normal = onnx_model("normal", [("RandomNormal", "", "y", {"shape": [3]})], [], "y", [3])
        return graphmode.function(normal)()
