"""The ledger counts the rebuilds that torch itself logs: `TORCH_LOGS=recompiles`."""

import re
import warnings

import pytest

from pytest_graphmode import watch

from .torch_records import recorded

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # torch's own (2.13)
]


@pytest.fixture(autouse=True)
def torch(dynamo):
    torch = pytest.importorskip("torch")
    if not hasattr(dynamo.config, "recompile_limit"):
        pytest.skip("torch 2.4 keeps its graphs by module")
    dynamo.reset()
    yield torch
    dynamo.reset()


@pytest.fixture
def agreed(torch):
    """Runs a scenario with each of some values and a way to make calls: a ledger that agrees with what torch logs."""

    def run(scenario, *values):
        with recorded(torch) as records, watch() as ledger:
            for value in values:
                scenario(records.call, value)
        graphs = ledger.select("torch", "compile")
        assert graphs.rebuilds == records.rebuilds
        return graphs

    return run


# Optimizers.


def _weights(torch, *shapes):
    made = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
    for one in made:
        one.grad = torch.full_like(one, 0.5)
    return made


OPTIMIZERS = "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam RAdam RMSprop Rprop SGD SparseAdam"


@pytest.mark.parametrize("name", OPTIMIZERS.split())
@pytest.mark.slow
def test_an_optimizer_whose_lr_is_set_by_hand(torch, compiled, agreed, name):
    if not hasattr(torch.optim, name):
        pytest.skip(f"this torch has no {name}")
    weights = _weights(torch, (3, 2))
    if name == "SparseAdam":
        weights[0].grad = weights[0].grad.to_sparse()
    optimizer = getattr(torch.optim, name)(weights, lr=0.1)

    def closure():
        loss = (weights[0] ** 2).sum()
        weights[0].grad = 2 * weights[0].detach()
        return loss

    step = compiled((lambda: optimizer.step(closure)) if name == "LBFGS" else optimizer.step)

    def scenario(call, lr):
        optimizer.param_groups[0]["lr"] = lr
        call(step)

    ledger = agreed(scenario, 0.1, 0.09, 0.08, 0.07)
    text = ledger.explain()
    if name not in ("LBFGS", "Muon", "SparseAdam"):  # each with a need of its own
        assert ledger.builds > 0 or name == "Adafactor"  # of which torch 2.15 makes no graph
        assert re.search(r"\blr('])? is a Python float that changed 0.1 -> 0.09: ", text) or not ledger.rebuilds
    _is_readable(text)


def test_optimizers_made_anew(torch, compiled, agreed):
    made = lambda width: compiled(torch.optim.SGD(_weights(torch, (width,)), lr=0.1).step)  # noqa: E731
    ledger = agreed(lambda call, width: call(made(width)), 2, 3, 4)
    assert ledger.rebuilds >= 2
    assert "the function belongs to another SGD object" in ledger.explain()
    _is_readable(ledger.explain())


@pytest.mark.parametrize("tensor", [False, True])
def test_a_scheduler(torch, compiled, agreed, tensor):
    lr = torch.tensor(0.1) if tensor else 0.1
    optimizer = torch.optim.AdamW(_weights(torch, (3, 2)), lr=lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)
    step = compiled(lambda: optimizer.step())

    ledger = agreed(lambda call, _: (call(step), scheduler.step()), *range(4))
    assert (ledger.rebuilds == 0) is tensor


def test_a_gradient_that_appears_late(torch, compiled, agreed):
    first, late = _weights(torch, (2,), (3,))
    late.grad = None
    optimizer = torch.optim.SGD([first, late], lr=0.1)
    step = compiled(optimizer.step)

    def scenario(call, grad):
        late.grad = grad
        call(step)

    ledger = agreed(scenario, None, torch.ones(3), torch.ones(3))
    assert ledger.rebuilds >= 1
    assert (
        ".grad changed structure None -> float32[3]: let it have a gradient before the first step" in ledger.explain()
    )
    _is_readable(ledger.explain())


# Graph breaks.


def read(x):
    y = x * 2
    return y * x.sum().item()


def first(x):
    print(end="")
    return x.relu()


def both(x):
    y = x + 1
    print(end="")
    return y * 2


@pytest.mark.parametrize(("function", "rebuilds"), [(read, 3), (first, 1), (both, 1)])
def test_the_rest_of_a_function_after_a_break(torch, compiled, agreed, function, rebuilds):
    f = compiled(function, dynamic=False)
    given = [torch.full((size,), float(value)) for size, value in ((2, 1), (2, 2), (3, 2), (3, 3))]
    ledger = agreed(lambda call, x: call(f, x), *given)
    assert ledger.rebuilds == rebuilds
    _is_readable(ledger.explain())


def test_library_frames_after_a_break(torch, compiled, agreed):
    class Printing(torch.nn.Module):
        def forward(self, x):
            print(end="")
            return x * 2

    f = compiled(torch.nn.Sequential(torch.nn.Linear(2, 2), Printing(), torch.nn.Linear(2, 2)), dynamic=False)
    assert agreed(lambda call, size: call(f, torch.ones(size, 2)), 2, 3, 4).rebuilds > 0


# Modules.


def test_modules_of_one_class(torch, compiled, agreed):
    ledger = agreed(lambda call, width: call(compiled(torch.nn.Linear(2, width)), torch.ones(1, 2)), 2, 3, 3, 4)
    assert ledger.rebuilds == 2
    assert {build.function for build in ledger.events} == {"Linear.forward"}
    assert {build.signature for build in ledger.events} == {"input: float32[1, 2]"}
    assert "Linear.weight changed shape [2, 2] -> [3, 2]: accept one build per shape" in ledger.explain()


def test_modules_of_one_class_compiled_in_place(torch, agreed):
    class Layer(torch.nn.Module):
        def __init__(self, index):
            super().__init__()
            self.index = index

        def forward(self, x):
            return x * self.index

    layers = [Layer(index) for index in range(2, 6)]
    for layer in layers:
        layer.compile(backend="eager")
    ledger = agreed(lambda call, layer: call(layer, torch.ones(2)), *layers, *layers)
    assert ledger.rebuilds == 3
    assert {build.function.rpartition(".<locals>.")[2] for build in ledger.events} == {"Layer.forward"}
    assert "self.index is a Python int that changed 2 -> 3" in ledger.explain()


def test_modules_of_other_classes_are_the_exception(torch, compiled):
    """torch has one wrapper for all of them, and says that it compiles that again."""
    with recorded(torch) as records, watch() as ledger:
        for module in (torch.nn.ReLU(), torch.nn.Tanh()):
            records.call(compiled(module), torch.ones(2))
    assert (ledger.rebuilds, records.rebuilds) == (0, 1)


# Functions.


def test_a_lambda_over_a_loop_variable(torch, compiled, agreed):
    ledger = agreed(lambda call, by: call(compiled(lambda x: x * by), torch.ones(2)), 2.0, 3.0, 4.0)
    assert ledger.rebuilds >= 1
    assert "by is a Python float that changed 2.0 -> 3.0" in ledger.explain()


@pytest.mark.parametrize("transform", ["grad", "vmap", "jacrev"])
def test_torch_func(torch, compiled, agreed, transform):
    def f(x):
        return (x**2).sum(-1)

    made = compiled(lambda x: getattr(torch.func, transform)(f)(x), dynamic=False)
    more = (2,) if transform == "vmap" else ()
    assert agreed(lambda call, size: call(made, torch.ones(size, *more)), 2, 3, 3, 4).rebuilds == 2


def test_a_build_without_an_operation_is_a_rebuild_and_no_graph(torch, compiled, agreed):
    f = compiled(lambda x, double: x * 2 if double else x)
    ledger = agreed(lambda call, double: call(f, torch.ones(2), double), True, False)
    assert (ledger.builds, ledger.rebuilds) == (1, 1)
    assert "double is a Python bool that changed True -> False" in ledger.explain()
    assert "no graph" in ledger.explain()


def test_torchmetrics(torch, compiled, agreed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchmetrics = pytest.importorskip("torchmetrics")
    update = compiled(torchmetrics.MeanMetric().update, dynamic=False)
    ledger = agreed(lambda call, size: call(update, torch.ones(size)), 2, 3, 4)
    assert ledger.rebuilds >= 2
    _is_readable(ledger.explain())


def _is_readable(text):
    for word in ("___", "L['", "G['", "another one", "any int", "also reads"):
        assert word not in text
