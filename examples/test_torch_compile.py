"""Catching recompiles and a graph break in a torch module."""

import pytest

torch = pytest.importorskip("torch")


class Scaled(torch.nn.Module):
    """`scale` is a Python number, which Dynamo compiles into the graph."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)
        self.scale = 1.0

    def forward(self, x):
        return self.linear(x) * self.scale


class Logged(torch.nn.Module):
    def forward(self, x):
        total = x.sum().item()  # leaves the graph to fetch a number
        return x / total


def compiled(module):
    return torch.compile(module, backend="aot_eager")


@pytest.mark.graph_rebuilds(0)
@pytest.mark.graph_budget(breaks=0)
def test_one_graph_for_all_steps():
    model = compiled(Scaled())
    for _ in range(5):
        model(torch.ones(2, 3)).sum().backward()


def test_a_python_number_that_changes_recompiles(graph_ledger):
    module = Scaled()
    model = compiled(module)
    for step in range(3):
        module.scale = 1.0 / (step + 1)
        model(torch.ones(2, 3))
    assert graph_ledger.rebuilds >= 1
    assert "scale" in graph_ledger.explain()


def test_item_breaks_the_graph(graph_ledger):
    compiled(Logged())(torch.ones(2, 3))
    assert graph_ledger.breaks == 1
    (broken,) = graph_ledger.graph_breaks
    assert "test_torch_compile.py:" in broken.where  # with its folder, seen from pytest's rootdir
