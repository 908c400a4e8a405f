"""torch.jit.trace, torch.jit.script and torch.export are events of the ledger."""

from __future__ import annotations

import importlib

import pytest

from pytest_graphmode import UnsupportedError, watch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def torch(dynamo):
    return pytest.importorskip("torch")


@pytest.fixture
def net(torch):
    return torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())


def test_a_trace_is_a_build(torch, net):
    with watch() as ledger:
        torch.jit.trace(net, torch.ones(4, 3))
    (build,) = ledger.events
    assert (build.backend, build.mode, build.function) == ("torch", "jit", "trace(Sequential.forward)")
    assert build.signature == "input: float32[4, 3]"
    assert build.nodes > 2
    assert build.call_site.startswith("test_torch_export.py:")


def test_tracing_again_is_a_rebuild_with_its_cause(torch, net):
    with watch() as ledger:
        torch.jit.trace(net, torch.ones(4, 3))
        torch.jit.trace(net, torch.ones(5, 3))
        torch.jit.trace(net, torch.ones(5, 3))
    assert (ledger.builds, ledger.rebuilds) == (3, 2)
    text = ledger.explain()
    assert "input changed shape [4, 3] -> [5, 3]: trace it once, and keep the result" in text
    assert "the graph built before was not there: trace it once, and keep the result" in text


def test_a_script_is_a_build_with_its_control_flow(torch):
    def choose(x):
        while bool(x.sum() < 3):
            x = x + 1
        if bool(x.sum() > 10):
            x = x * 2
        return x

    with watch() as ledger:
        torch.jit.script(choose)
    (build,) = ledger.events
    assert (build.mode, build.function) == ("jit", "script(choose)")
    assert dict(build.control_flow) == {"while": 1, "cond": 1}


@pytest.mark.parametrize("strict", [False, True])
def test_an_export_is_one_build(torch, net, strict):
    with watch() as ledger:
        torch.export.export(net, (torch.ones(4, 3),), strict=strict)
    (build,) = ledger.events
    assert (build.mode, build.function) == ("export", "export(Sequential.forward)")
    assert build.nodes >= 2


def test_a_copy_of_a_function_is_seen_too(torch, net):
    from torch.jit import trace

    with watch() as ledger:
        trace(net, torch.ones(4, 3))
    assert ledger.builds == 1


def test_a_build_that_raises_is_marked(torch):
    def fail(x):
        raise ValueError("not today")

    with watch() as ledger, pytest.raises(ValueError, match="not today"):
        torch.jit.trace(fail, torch.ones(3))
    assert [build.failed for build in ledger.events] == [True]


def test_a_torch_without_the_hook_is_told_so(torch, monkeypatch):
    from pytest_graphmode.backends.torch.export import ExportSource, JitSource

    monkeypatch.delattr(importlib.import_module("torch.jit._script"), "_script_impl")
    with pytest.raises(UnsupportedError, match=r"torch.jit._script._script_impl, by which graphs are counted"):
        JitSource().attach(None)
    monkeypatch.delattr(importlib.import_module("torch.export._trace"), "_export")
    with pytest.raises(UnsupportedError, match=r"torch.export._trace._export, by which graphs are counted"):
        ExportSource().attach(None)


def test_nothing_stays_patched(torch):
    trace, script = importlib.import_module("torch.jit._trace"), importlib.import_module("torch.jit._script")
    before = trace._trace_impl, script._script_impl
    with watch():
        assert trace._trace_impl is not before[0]
    assert (trace._trace_impl, script._script_impl) == before
