"""Agreement between real frameworks, in processes of their own."""

import importlib.util

import pytest

from tests.run.agreement.test_item import outcomes

MODEL = """
single = pytest.mark.graphmode(dtypes="float32")

@agree
@single
def test_net(graphmode):
    inputs = graphmode.tensor(graphmode.rng.standard_normal((8, 3)))
    weight = graphmode.variable(np.ones((3, 2)))

    def loss(x):
        return graphmode.xp.sum(graphmode.xp.tanh(x @ weight) ** 2)

    for step in range(3):
        value, grad = graphmode.value_and_grad(loss, variables=weight)(inputs)
        graphmode.agree(loss=value, number=float(graphmode.numpy(value)), grads={"w": grad})
        graphmode.assign(weight, weight - 0.1 * grad)
    kept = graphmode.tensor(graphmode.numpy(value))
    graphmode.agree(kept=kept)

@agree
@single
def test_off(graphmode):
    graphmode.agree(loss=graphmode.tensor(1.0) + (1e-4 if graphmode.backend == "torch" else 0.0))

@agree
@pytest.mark.graphmode(dtypes="bfloat16")
def test_half(graphmode):
    graphmode.agree(third=graphmode.tensor(1.0) / 3, loss=graphmode.tensor(1.0 + 0.01 * (graphmode.backend == "torch")))
"""
SYMBOLS = """
@agree
@pytest.mark.graphmode(backends="tf:graph")
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_net(graphmode, native, constant):
    def f(x):
        graphmode.agree(inside=1.0 if constant else x)
        return x

    (graphmode.lib.function if native else graphmode.function)(f)(graphmode.tensor(1.0))
"""


def installed(*names):
    """Skip without importing, which would cost this process seconds."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.mark.slow
def test_tensorflow_and_torch_agree_on_a_training_loop_and_not_on_a_planted_difference(project):
    installed("tensorflow", "torch", "xdist")
    project.write(MODEL)
    result = project.run(
        "-n2",
        "--graph-dtypes=float32,bfloat16",
        backends="tf,torch",
        run=project.pytester.runpytest_subprocess,
    )
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines(["torch-eager-cpu does not agree with the reference, tf-graph-cpu:"])
    result.stdout.fnmatch_lines(["FAILED test_net.py::test_off?agreement?*"])


@pytest.mark.slow
def test_reading_a_symbol_is_explained(project):
    installed("tensorflow")
    project.write(SYMBOLS)
    result = project.run(backends="tf:graph", run=project.pytester.runpytest_subprocess)
    result.assert_outcomes(failed=4, skipped=4)
    assert result.stdout.str().count("RuntimeError: graphmode.agree can't read the value of inside") >= 4
    assert outcomes(result)["test_net[agreement-False-False]"] == "SKIPPED"


def test_a_record_is_a_copy_that_keeps_no_tensor_alive():
    torch = pytest.importorskip("torch")
    import weakref

    from pytest_graphmode.backends.torch import Torch
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.recorder import Recorder
    from pytest_graphmode.records.recording import Recording
    from pytest_graphmode.runtime import Runtime
    from pytest_graphmode.select.variants import Variant

    backend = Torch()
    mode = backend.mode("eager", "cpu")
    runtime = Runtime(Variant("torch", "eager"), backend, mode, Recorder(), rng=None)
    handle = Handle(runtime, skip=pytest.skip, recording=Recording())
    tensor = torch.ones(3, requires_grad=True)
    handle.agree(x=[tensor])
    with torch.no_grad():
        tensor += 1
    gone = weakref.ref(tensor)
    del tensor
    assert gone() is None
    assert handle.recording.values["x"][0]["x[0]"].tolist() == [1, 1, 1]
