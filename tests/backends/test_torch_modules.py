"""Modules that record autograd graphs eagerly are builds, once each, and watching them changes nothing for Dynamo."""

import contextlib
import functools
import gc
import weakref

import pytest

from pytest_graphmode import watch
from pytest_graphmode.backends.calls import here
from tests.backends.ledgers import ledger_of, repeated

# Dynamo (2.13) asks what a graph break left between two graphs for its gradient.
pytestmark = [
    pytest.mark.usefixtures("torch"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]


@pytest.fixture
def net(torch):
    return torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))


def test_an_outermost_call_that_records_a_graph_is_a_build(torch, net):
    x = torch.ones(4, 3)
    with watch() as ledger:
        for _ in range(5):
            net(x).sum().backward()
        with torch.no_grad():
            net(x)
    assert (ledger.builds, ledger.rebuilds, ledger.structures) == (5, 4, 1)
    assert ledger.select("torch", "eager").builds == 5
    (event,) = ledger.events
    assert (event.function, event.recorded) == ("Sequential.forward", True)
    assert event.call_site.startswith("tests/backends/test_torch_modules.py:")
    assert event.nodes >= 3
    assert ledger.nodes == 5 * event.nodes


def test_modules_of_a_class_are_counted_together(torch):
    x = torch.ones(4, 3)
    with watch() as ledger:
        for width in (1, 2, 3):
            torch.nn.Linear(3, width)(x)
        torch.nn.Sequential(torch.nn.Linear(3, 3))(x)
    assert (ledger.builds, ledger.rebuilds) == (4, 2)


def test_a_graph_of_another_structure_is_an_event(torch):
    class Deep(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, x, depth):
            for _ in range(depth):
                x = self.layer(x)
            return x

    deep, x = Deep(), torch.ones(4, 3)
    ledger = ledger_of(deep, *((x, depth) for depth in (1, 2, 1, 2, 2)), structures=True)
    assert (ledger.builds, ledger.structures, len(ledger.events)) == (5, 2, 2)


def test_a_module_that_raises_is_called_as_ever(torch):
    with watch() as ledger, pytest.raises(RuntimeError):
        torch.nn.Linear(3, 3)(torch.ones(4, 2))
    assert (ledger.builds, here()) == (0, None)


def test_a_module_inside_a_graphmode_function_is_counted_once(run_tests):
    source = """
        import torch

        def test_step(graphmode):
            net = torch.nn.Linear(3, 1)
            step = graphmode.function(lambda x: net(x).sum())
            for _ in range(3):
                step(torch.ones(2, 3))
            assert graphmode.ledger.builds == {"eager": 3, "compile": 1}[graphmode.mode]
        """
    run_tests(source, "--graph-backends=torch:eager+compile", passed=2)


def test_a_compiled_module_is_no_eager_build(torch, net, dynamo):
    x = torch.ones(4, 3)
    compiled = torch.compile(net, backend="eager")
    function = torch.compile(lambda x: net(x) + 1, backend="eager")

    @functools.partial(torch.compile, backend="eager")
    def broken(x):
        y = net(x)
        print(end="")
        return y + net(x)

    ledger = repeated(lambda: (compiled(x), function(x), broken(x)))
    assert ledger.select("torch", "eager").builds == 0
    assert ledger.select("torch", "compile").rebuilds == 0


def _frames(dynamo):
    return dict(dynamo.utils.counters["frames"])


@pytest.mark.parametrize("first", ["alone", "watched"])
def test_watching_makes_dynamo_build_nothing_again(torch, net, dynamo, first):
    x = torch.ones(4, 3)
    compiled, function = torch.compile(net, backend="eager"), torch.compile(lambda x: net(x) + 1, backend="eager")

    def run():
        compiled(x)
        function(x)

    dynamo.utils.counters.clear()
    if first == "alone":
        run()
    for _ in range(3):
        with watch():
            run()
        run()
    assert _frames(dynamo) == {"total": 2, "ok": 2}
    assert not dynamo.utils.counters["graph_break"]


def test_dynamo_sees_the_same_code_whether_somebody_watches_or_not(torch, net, dynamo):
    x = torch.ones(4, 3)

    def broken(x):
        y = net(x)
        print(end="")
        return net(y.repeat(1, 3))

    seen = []
    for scope in (contextlib.nullcontext, watch):
        dynamo.reset()
        dynamo.utils.counters.clear()
        with scope():
            torch.compile(broken, backend="eager")(x)
        seen.append((_frames(dynamo), dict(dynamo.utils.counters["graph_break"]), dict(dynamo.utils.counters["stats"])))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("way", ["super", "by name"])
def test_watching_compiles_nothing_again_where_code_names_the_call_of_modules(torch, dynamo, way):
    """Keras' layers do: their own `__call__` calls that of torch, and Dynamo guards by the function it finds there."""

    class Own(torch.nn.Linear):
        def __call__(self, x):
            return super().__call__(x) + 1

    net, x = Own(3, 3), torch.ones(2, 3)
    calls = {"super": lambda x: net(x), "by name": lambda x: torch.nn.Module.__call__(net, x)}
    function = torch.compile(calls[way], backend="eager")
    dynamo.utils.counters.clear()
    ledger = ledger_of(function, x, x, x)
    assert (ledger.select("torch", "compile").builds, ledger.fallbacks) == (1, 0)
    for _ in range(3):  # a graph without the watched call, and no more
        function(x)
        assert ledger_of(function, x).builds == 0
    assert _frames(dynamo) == {"total": 2, "ok": 2}


@pytest.mark.slow
def test_dynamo_imported_while_somebody_watches_knows_torchs_own_call(run_tests):
    source = """
        import sys

        import torch
        from pytest_graphmode import watch

        def test_import():
            assert "torch._dynamo" not in sys.modules
            own = torch.nn.Module.__call__
            with watch():
                assert torch.nn.Module.__call__ is not own
                torch.compile(torch.nn.Linear(3, 3), backend="eager")(torch.ones(2, 3))
            assert torch.nn.Module.__call__ is own
            for module in (torch._dynamo.utils, torch._dynamo.variables.nn_module):
                assert getattr(module, "unpatched_nn_module_call", own) is own
        """
    run_tests(source, fresh=True, passed=1)


def test_a_call_that_somebody_else_replaced_is_left_to_them(torch, monkeypatch):
    own = torch.nn.Module.__call__
    with watch():
        watched = torch.nn.Module.__call__
        monkeypatch.setattr(torch.nn.Module, "__call__", lambda module, *args: watched(module, *args))
    assert torch.nn.Module.__call__ not in (own, watched)
    assert torch.nn.Linear(3, 3)(torch.ones(2, 3)).shape == (2, 3)
    monkeypatch.undo()
    torch.nn.Module.__call__ = own


def test_no_module_is_kept_alive(torch):
    with watch() as ledger:
        layer = torch.nn.Linear(3, 3)
        layer(torch.ones(2, 3))
        gone = weakref.ref(layer)
        del layer
        gc.collect()
        assert gone() is None
    assert ledger.builds == 1
