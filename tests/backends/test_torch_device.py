"""torch on a second device: one made in Python, in a fresh process, by the mechanism that other makers' devices use."""

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(getattr(torch._C, "_acc", None), "create_empty_tensor"),
        reason="this torch has no devices made in Python",
    ),
]


@pytest.fixture
def device(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose conftest adds the device `toy` to torch."""
    shutil.copy(Path(__file__).parents[1] / "toy" / "python_device.py", pytester.path)
    pytester.makeconftest("import python_device")
    return pytester


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    given = options or ("--graph-devices=all",)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-s", "--graph-backends=torch:eager", *given)


RIGHT = """
    import numpy as np
    import pytest

    @pytest.mark.graph_agree
    def test_net(graphmode):
        xp, weight = graphmode.xp, graphmode.variable(graphmode.rng.normal(size=(3, 2)))
        x = graphmode.tensor(graphmode.rng.normal(size=(4, 3)))

        def loss(x):
            return xp.sum(xp.tanh(x @ weight) ** 2)

        value, grad = graphmode.value_and_grad(loss)(x)
        graphmode.agree(value=value, grad=grad, weight=graphmode.grad(loss, variables=weight)(x))
        print("AT", graphmode.variant, grad.device)

    def test_checks(graphmode):
        def power(x):
            return graphmode.fori_loop(0, 3, lambda i, product: product * x, x)

        graphmode.check_control_flow(power, [(np.array([1.0, 2.0]),)], coverage=False)
        graphmode.check_grads(power, np.array([1.0, 2.0]))

    def test_module(graphmode):
        linear = graphmode.lib.nn.Linear(3, 2).to(graphmode.native_device)
        graphmode.check_grads(linear, np.ones((4, 3)))
        variable = graphmode.variable(1.0)
        graphmode.assign(variable, 2.0)
        assert graphmode.numpy(variable) == 2.0
"""
STRAY = """
    def test_stray(graphmode):
        graphmode.function(lambda x: {"y": x.cpu() * 2})(graphmode.tensor([1.0, 2.0]))

    def test_value(graphmode):
        graphmode.grad(lambda x: x.cpu().sum())(graphmode.tensor([1.0, 2.0]))

    def test_gradient_of_a_module_left_there(graphmode):
        weight = graphmode.lib.nn.Parameter(graphmode.lib.ones(2))
        loss = lambda x: (weight.to(graphmode.native_device) * x).sum()
        graphmode.grad(loss, variables=[weight])(graphmode.tensor([1.0, 2.0]))

    def test_parameter_of_a_module_left_there(graphmode):
        class Net(graphmode.lib.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = graphmode.lib.nn.Parameter(graphmode.lib.ones(2))

            def forward(self, x):
                return self.weight.detach().to(graphmode.native_device) * x

        graphmode.function(Net())(graphmode.tensor([1.0, 2.0]))
"""
PRODUCTS = """
    import torch
    from pytest_graphmode.backends.torch import state

    def products():
        return [torch.get_float32_matmul_precision(), *(get() for get, _ in state._products())]

    before = products()

    def test_full(graphmode):
        if graphmode.device == "toy:0":
            assert set(products()) <= {"highest", "ieee", False}
        else:
            assert products() == before
        torch.set_float32_matmul_precision("medium")
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def test_restored():
        assert products() == before
"""


def test_variants_run_on_it_and_agree_and_what_is_on_the_cpu_by_mistake_fails(device: pytest.Pytester) -> None:
    """Products are in full precision on it, and as before after it."""
    device.makepyfile(test_right=RIGHT, test_stray=STRAY, test_products=PRODUCTS)
    result = run(device)
    result.assert_outcomes(passed=7 + 4 + 3, failed=4)
    result.stdout.fnmatch_lines(["*devices: all; *"])
    result.stdout.fnmatch_lines_random(["*AT torch-eager-cpu cpu", "*AT torch-eager-toy:0 toy:0"])
    ending = "and torch-eager-toy:0 runs on toy:0: a stray .cpu() or .to() moved it, *"
    result.stdout.fnmatch_lines(
        [
            f"E*AssertionError: ?'y'? of what <lambda> returned is on cpu, {ending}",
            f"E*AssertionError: the value of <lambda> is on cpu, {ending}",
            f"E*AssertionError: ?0? of the gradient of <lambda> is on cpu, {ending}",
            f"E*AssertionError: the variable weight of *Net.forward is on cpu, {ending}",
        ]
    )
    wrong = run(device, "--graph-devices=toy:1")
    wrong.stderr.fnmatch_lines(["ERROR: --graph-devices=toy:1: there is no toy:1 here: torch has cpu, toy:0"])


def test_what_fails_late_fails_the_test_that_caused_it(device: pytest.Pytester) -> None:
    device.makepyfile(
        """
        import gc, weakref

        def test_late(graphmode):
            graphmode.lib.toy.pending = RuntimeError("kernel launch failed") if graphmode.device == "toy:0" else None

        def test_next(graphmode):
            graphmode.variant

        def test_memory(graphmode):
            global large
            held = graphmode.tensor([1.0])
            large = weakref.ref(held)
            if graphmode.device == "toy:0":
                graphmode.lib.toy.pending = RuntimeError("said by nobody")
                raise graphmode.lib.OutOfMemoryError("toy out of memory")

        def test_after(graphmode):
            print("LEFT", graphmode.variant, large() is None, graphmode.lib.toy.emptied)
        """
    )
    result = run(device, "--graph-devices=toy")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*LEFT torch-eager-toy:0 True 2",
            "*test_late?torch-eager-toy:0? *",
            "E*RuntimeError: kernel launch failed",
            "*toy:0 said so when it was waited for at the end of the test: *",
            "*test_memory?torch-eager-toy:0? *",
            "E*OutOfMemoryError: toy out of memory",
        ]
    )
