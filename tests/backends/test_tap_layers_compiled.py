"""Taps of the layers of a module where Dynamo has more to do than one graph: they change nothing of what is counted."""

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import pytest
from packaging.version import Version

from tests.backends.test_tap_layers import of_torch, steps
from tests.backends.variants import variants

pytestmark = pytest.mark.graph_agree(rtol=1e-4, atol=1e-5)
installed = Version(version("torch")) if find_spec("torch") else Version("0")


def before(release, reason):
    return pytest.mark.skipif(installed < Version(release), reason=f"torch before {release}: {reason}")


def counted(graphmode, model, *inputs):
    """What the calls of a compiled model count in the variant, on inputs one after the other."""
    run = graphmode.function(model)
    with graphmode.watch() as ledger:
        for value in inputs:
            run(graphmode.tensor(value))
    return ledger.builds, ledger.rebuilds, ledger.breaks, ledger.fallbacks


def torch_module(torch, call, **layers):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, layer in layers.items():
                setattr(self, name, layer)

        def forward(self, x):
            return call(self, x)

    return Model()


@before("2.12", reason="effects in it break graphs there")
@of_torch
def test_layers_in_activation_checkpointing_are_tapped_once_without_a_break(graphmode):
    torch = graphmode.lib
    checkpoint = pytest.importorskip("torch.utils.checkpoint").checkpoint

    def call(model, x):
        def region(x):
            return graphmode.tap("h", model.b(model.a(x).sin()))

        return model.c(checkpoint(region, x, use_reentrant=False).sin())

    torch.manual_seed(0)
    net = torch_module(torch, call, **{name: torch.nn.Linear(3, 3) for name in "abc"})
    x = np.ones((2, 3))
    expected = graphmode.numpy(net(graphmode.tensor(x)))
    graphmode.tap_layers(net)
    assert counted(graphmode, net, x, x)[2:] == (0, 0)
    assert steps(graphmode) == {"h": 3, "a": 2, "b": 2, "c": 2}
    np.testing.assert_allclose(graphmode.recording.taps["c"][0]["c"], expected, rtol=1e-5)
    graphmode.grad(lambda x: net(x).sum())(x)
    assert steps(graphmode) == {"h": 4, "a": 3, "b": 3, "c": 3}
    assert {"grad(h)", "grad(a)", "grad(b)", "grad(c)"} <= set(graphmode.recording.taps)


@variants("torch:eager", "torch:compile")
def test_gradients_by_several_tensors_are_left_out_where_they_would_be_a_part(graphmode):
    # h of an LSTM cell is made of c, so the gradient by c has a part that goes by no tap behind the cell.
    torch = graphmode.lib
    net = torch_module(torch, lambda model, x: model.cell(model.dense(x))[0], cell=torch.nn.LSTMCell(3, 2),
                       dense=torch.nn.Linear(3, 3))  # fmt: skip
    graphmode.tap_layers(net)
    graphmode.value_and_grad(lambda x: graphmode.tap("out", net(x)).sum())(np.ones((4, 3)))
    gradients = {name for name in graphmode.recording.taps if name.startswith("grad(")}
    if graphmode.mode == "eager":
        assert gradients == {"grad(dense)", "grad(cell[0])", "grad(cell[1])", "grad(out)"}
        assert graphmode.recording.left_out == {}
    else:
        assert gradients == {"grad(dense)", "grad(out)"}
        assert graphmode.recording.left_out == {
            "grad(cell)": "of several tensors tapped together; tap each by itself before others are made of it"
        }


@pytest.mark.parametrize("tapped", [False, True])
@variants("torch:compile")
def test_taps_where_dynamo_breaks_anyway_change_no_count(graphmode, tapped):
    nn = graphmode.lib.nn
    net = torch_module(
        graphmode.lib,
        lambda model, x: model.dense(model.gru(model.lstm(x)[0])[0].sin()),
        lstm=nn.LSTM(3, 3), gru=nn.GRU(3, 2), dense=nn.Linear(2, 2),
    )  # fmt: skip
    if tapped:
        graphmode.tap_layers(net)
    with graphmode.lib.no_grad():
        found = counted(graphmode, net, *[np.ones((4, 2, 3))] * 2, np.ones((5, 2, 3)))
    # The whole function runs eagerly, and Dynamo looks at it again for the other shape; torch 2.15 builds its rest.
    assert found == ((2, 2, 1, 0) if installed >= Version("2.15") else (0, 1, 1, 0))
    graphmode.tap("x", 1)
    assert steps(graphmode) == {**(dict.fromkeys(["lstm", "gru", "dense"], 3) if tapped else {}), "x": 1}


@pytest.mark.parametrize("tapped", [False, True])
@pytest.mark.graph_budget(builds=(0, 9))
@variants("torch:eager")
def test_taps_change_no_count_of_what_the_test_compiles_itself(graphmode, tapped):
    torch = graphmode.lib

    def call(model, x):
        x = model.a(x)
        torch._dynamo.graph_break()
        return model.b(x)

    net = torch_module(torch, call, a=torch.nn.Linear(3, 3), b=torch.nn.Linear(3, 3))
    if tapped:
        graphmode.tap_layers(net)
    compiled = torch.compile(net, backend="eager")
    with graphmode.watch() as ledger, torch.no_grad():
        for rows in (2, 3, 2):
            compiled(torch.ones(rows, 3))
    assert (ledger.builds, ledger.rebuilds, ledger.breaks) == (4, 2, 1)
    graphmode.tap("x", 1)
    reason = "inside of a torch.compile that is not graphmode.function's"
    assert graphmode.recording.left_out == (dict.fromkeys("ab", reason) if tapped else {})


@of_torch
def test_layers_in_an_operator_of_torch_are_left_out_with_the_reason(graphmode):
    torch = graphmode.lib

    def call(model, x):
        return model.b(torch.cond(x.sum() > 0, lambda x: model.a(x).sin(), lambda x: x.clone(), (x,)))

    net = torch_module(torch, call, a=torch.nn.Linear(3, 3), b=torch.nn.Linear(3, 3))
    graphmode.tap_layers(net)
    with torch.no_grad():
        assert counted(graphmode, net, np.ones((2, 3)))[2:] == (0, 0)
    assert steps(graphmode) == {"b": 1}
    where = "torch.cond", "operator of torch's", "torch.compile that is not graphmode.function's"
    assert list(graphmode.recording.left_out) == ["a"]  # in eager mode too: torch.cond compiles by itself
    assert graphmode.recording.left_out["a"].endswith(where)


@before("2.9", reason="it has a graph for each object")
@variants("torch:compile")
def test_models_that_share_a_graph_keep_their_names(graphmode):
    torch = graphmode.lib

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x).sin()

    first, second, third = Model(), Model(), Model()
    graphmode.tap_layers(first, {"layer": "one"})
    graphmode.tap_layers(second, {"layer": "two"})
    run = graphmode.function(lambda model, x: model(x))
    with graphmode.watch() as ledger, torch.no_grad():
        for model in (first, second, third):
            run(model, graphmode.tensor(np.ones((1, 2))))
    assert steps(graphmode) == {"one": 1, "two": 1}
    assert ledger.rebuilds == 0
