"""What the ledger says of Dynamo's compilations: arguments, identities, failures, breaks, exports; causes apart."""

import importlib
import inspect

import pytest

from pytest_graphmode import UnsupportedError, watch
from pytest_graphmode.ledger.places import place
from tests.backends.ledgers import ledger_of

pytestmark = pytest.mark.usefixtures("torch")


# What a build says of itself.


def test_a_build_tells_arguments_nodes_call_site_and_control_flow(torch):
    def f(x, *rest, scale=2, **more):
        return (
            torch.cond(x.sum() > 0, lambda x: x.sin() + 1, lambda x: x.cos(), (x,)) * scale + sum(rest) + more["b"]["c"]
        )

    counted = []

    def counting(module, inputs):
        graphs = [inner.graph for inner in module.modules() if isinstance(inner, torch.fx.GraphModule)]
        counted.append(sum(node.op.startswith("call_") for graph in graphs for node in graph.nodes))
        return module.forward

    with watch() as ledger:
        torch.compile(f, backend=counting)(torch.ones(2), torch.ones(2), scale=3, b={"c": torch.ones(2)})
    (build,) = ledger.events
    assert build.signature == "x: float32[2], scale: 3, rest[0]: float32[2], more['b']['c']: float32[2]"
    assert dict(build.control_flow) == {"cond": 1}
    assert [build.nodes] == counted
    assert {"cond": 1, "Tensor.sin": 1, "Tensor.cos": 1, "mul": 1}.items() <= dict(build.operations).items()
    assert build.call_site.rpartition("/")[2].startswith("test_torch_dynamo.py:")
    assert (build.failed, build.internal, build.causes) == (False, False, ())


def test_torchs_own_modules_compiled_in_place_are_not_compiled_at_all(torch):
    """Neither by torch 2.13 alone nor while somebody watches: Dynamo runs the frames of torch.nn as they are."""
    net = torch.nn.Linear(3, 3)
    net.compile(backend="eager")
    torch._dynamo.utils.counters.clear()
    net(torch.ones(2, 3))
    alone = dict(torch._dynamo.utils.counters["frames"])
    with watch() as ledger:
        net(torch.ones(2, 3))
    assert dict(torch._dynamo.utils.counters["frames"]) == alone
    assert ledger.builds <= alone.get("ok", 0)


# Failures.


def test_a_sparse_tensor_does_not_disturb_a_compilation(torch, compiled):
    assert ledger_of(compiled(lambda x, others: x * 2), (torch.ones(3), [torch.ones(3).to_sparse()])).builds == 1


def _cannot_compile(module, inputs):
    raise RuntimeError("no such luck")


def test_a_compilation_that_raises_is_a_failed_build(torch):
    with watch() as ledger, pytest.raises(torch._dynamo.exc.BackendCompilerFailed):
        torch.compile(lambda x: x * 2, backend=_cannot_compile)(torch.ones(3))
    assert [(build.failed, build.nodes) for build in ledger.events] == [(True, 0)]
    assert "failed" in ledger.explain()


def test_after_a_failure_arguments_are_compared(torch, compiled):
    f = compiled(lambda x, n: x + torch.ones(n))
    with watch() as ledger:
        with pytest.raises(torch._dynamo.exc.TorchRuntimeError):
            f(torch.ones(3), 4)
        f(torch.ones(3), 3)
    assert [str(cause) for cause in ledger.events[-1].causes] == [
        "n is a Python int that changed 4 -> 3: pass a tensor, or accept one build per value"
    ]


# Breaks.


def _line_of(function, text):
    lines, start = inspect.getsourcelines(function)
    return place(__file__, start + next(index for index, line in enumerate(lines) if text in line))


def printing(x):
    x = x + 1
    print(end="")
    return x * 2


def reading(x):
    return x * x.sum().item()


def branching(x):
    if x.sum() > 0:
        return x * 2
    return x


def looping(x):
    for _ in range(3):
        x = x + 1
        print(end="")
    return x


def nested(x):
    return printing(x + 1) * 2


BREAKS = [
    (printing, printing, "print(end", "print"),
    (reading, reading, "item()", "item"),
    (branching, branching, "if x.sum()", "a branch depends on the value of a tensor: use torch.cond"),
    (nested, printing, "print(end", "print"),
]


@pytest.mark.parametrize(("function", "breaking", "text", "reason"), BREAKS, ids=[case[0].__name__ for case in BREAKS])
def test_a_break_has_the_users_line_and_a_reason_in_one_line(torch, compiled, function, breaking, text, reason):
    ledger = ledger_of(compiled(function), torch.ones(3))
    assert {entry.where for entry in ledger.graph_breaks} == {_line_of(breaking, text)}
    assert all(reason in entry.reason and "\n" not in entry.reason for entry in ledger.graph_breaks)
    assert ledger.breaks == 1
    assert f"graph break at {_line_of(breaking, text)}: " in ledger.explain()


def test_a_break_counts_once_for_all_shapes_and_its_resumption_is_no_rebuild(torch, compiled):
    f = compiled(printing)
    ledger = ledger_of(f, *map(torch.ones, ((4,), (4, 3), (4, 3, 2))))
    assert ledger.breaks == 1
    assert (ledger.builds, ledger.rebuilds) == (6, 2)
    rest = [build for build in ledger.events if build.resumed]
    assert [build.number for build in rest] == [1, 2, 3]
    assert {build.function for build in rest} == {"printing after its graph break"}
    assert not any(build.rebuild for build in rest)


def test_a_break_in_a_loop_leaves_the_whole_function_to_python(torch, compiled):
    ledger = ledger_of(compiled(looping), torch.ones(3))
    if not hasattr(torch._dynamo.config, "recompile_limit"):
        pytest.skip("torch 2.4 keeps it to itself")
    assert (ledger.builds, ledger.breaks) == (0, 1)
    assert "(the whole function runs eagerly)" in ledger.graph_breaks[0].reason


def test_a_frame_without_operations_is_no_graph(torch, compiled):
    @compiled
    def f(x):
        print(end="")
        return x * 2

    ledger = ledger_of(f, torch.ones(3))
    assert (ledger.builds, ledger.breaks) == (1, 1)
    assert ledger.events[0].resumed


# Torch's internals.


def test_the_internals_that_causes_are_read_from_are_there(torch, compiled):
    """Fails where torch spells its guards in another way: then every cause is the first failure that torch names."""
    from pytest_graphmode.backends.torch.dynamo import guards

    seen = []
    original = guards.EarlierGraph.told
    with pytest.MonkeyPatch.context() as patch, watch() as ledger:
        patch.setattr(guards.EarlierGraph, "told", lambda graph, told: seen.append(1) or original(graph, told))
        f = compiled(lambda x, n: x * n)
        for n in (2.0, 3.0):
            f(torch.ones(3), n)
            f(torch.ones(3, dtype=torch.float64), n)
            with torch.no_grad():
                f(torch.ones(3), n)
    assert ledger.rebuilds >= 4
    assert not seen


# What torch.export makes.


@pytest.fixture
def net(torch):
    return torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())


@pytest.mark.parametrize("strict", [False, True])
def test_an_export_is_one_build(torch, net, strict):
    with watch() as ledger:
        torch.export.export(net, (torch.ones(4, 3),), strict=strict)
    (build,) = ledger.events
    assert (build.backend, build.mode, build.function) == ("torch", "export", "export(Sequential.forward)")
    assert build.signature == "input: float32[4, 3]"
    assert build.nodes >= 2
    assert build.call_site.rpartition("/")[2].startswith("test_torch_dynamo.py:")


def test_exporting_again_is_a_rebuild_with_its_cause(torch, net):
    ledger = ledger_of(lambda size: torch.export.export(net, (torch.ones(size, 3),), strict=False), 4, 5, 5)
    assert (ledger.builds, ledger.rebuilds) == (3, 2)
    text = ledger.explain()
    assert "input changed shape [4, 3] -> [5, 3]: export it once, and keep the program" in text
    assert "the graph built before was not there: export it once, and keep the program" in text


def test_a_copy_of_torch_export_is_seen_too(torch, net):
    from torch.export import export

    assert ledger_of(export, (net, (torch.ones(4, 3),))).builds == 1


def test_an_export_that_raises_is_marked(torch):
    class Failing(torch.nn.Module):
        def forward(self, x):
            raise ValueError("not today")

    with watch() as ledger, pytest.raises(Exception, match="not today"):
        torch.export.export(Failing(), (torch.ones(3),), strict=False)
    assert [build.failed for build in ledger.events] == [True]


def test_a_torch_without_the_hook_of_exports_is_told_so(torch, monkeypatch):
    from pytest_graphmode.backends.torch.export import ExportSource

    monkeypatch.delattr(importlib.import_module("torch.export._trace"), "_export")
    with pytest.raises(UnsupportedError, match=r"torch.export._trace._export, by which graphs are counted"):
        ExportSource().attach(None)


def test_torch_export_is_left_as_it_was(torch):
    module = importlib.import_module("torch.export._trace")
    before = module._export
    with watch():
        assert module._export is not before
    assert module._export is before
