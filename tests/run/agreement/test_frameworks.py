"""Agreement between real frameworks."""

import re

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

TRIAGED = """
import random

@agree
@pytest.mark.graphmode(backends="tf,torch:eager")
def test_rounding(graphmode):
    x = graphmode.tensor([0.1, 0.2])
    graphmode.agree(y=(x + 1000.0) - 1000.0 if graphmode.backend == "torch" else x)

@agree
@pytest.mark.graphmode(backends="tf,torch:eager")
def test_fault(graphmode):
    graphmode.agree(y=graphmode.tensor(1.0) + (graphmode.backend == "torch"))

@agree
@pytest.mark.graphmode(backends="tf,torch:eager")
def test_chance(graphmode):
    chance = random.SystemRandom().random() if graphmode.backend == "torch" else 0.5
    graphmode.agree(y=graphmode.tensor(1.0 + chance))

@agree
@pytest.mark.graphmode(backends="torch:eager+compile")
def test_compiled(graphmode):
    def double(x):
        return x * (3 if graphmode.lib.compiler.is_compiling() else 2)

    graphmode.agree(y=graphmode.function(double)(graphmode.tensor(1.0)))
"""


@pytest.mark.slow
def test_tensorflow_and_torch_agree_on_a_training_loop_and_not_on_a_planted_difference(frameworks, project):
    result = project.check(MODEL, "--graph-dtypes=float32,bfloat16", backends="tf,torch", passed=8, failed=1)
    result.says("torch-eager-cpu does not agree with the reference, tf-graph-cpu:")
    result.says("FAILED test_net.py::test_off?agreement?*")


@pytest.mark.slow
def test_triage_tells_rounding_faults_chance_and_stages_apart(frameworks, project):
    result = project.check(TRIAGED, backends="tf,torch:eager+compile", passed=8, failed=4)
    rounding, fault, chance, compiled = [line for line in result.outlines if line.startswith("Triage: ")]
    rtol = re.search(r"in float64 they agree to \S+: rounding; allow rtol=([^;]+);", rounding)
    assert rtol is not None
    assert "in float64 still 1 apart: not rounding" in fault
    assert "torch-eager-cpu differs from itself: not deterministic" in chance
    assert "the first that differs is torch-compile-cpu with the compiler eager" in compiled
    project.write(TRIAGED.replace("@agree", f"@pytest.mark.graph_agree(rtol={rtol[1]})", 1))
    project.run("-k", "rounding", backends="tf,torch", passed=3, deselected=9)


@pytest.mark.slow
def test_reading_a_symbol_is_explained(frameworks, project):
    result = project.check(SYMBOLS, backends="tf:graph", failed=4, skipped=4)
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
