"""What torch.export makes is an event of the ledger."""

import importlib

import pytest

from pytest_graphmode import UnsupportedError, watch
from tests.backends.ledgers import ledger_of


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
    assert build.call_site.rpartition("/")[2].startswith("test_torch_export.py:")


def test_exporting_again_is_a_rebuild_with_its_cause(torch, net):
    ledger = ledger_of(lambda size: torch.export.export(net, (torch.ones(size, 3),), strict=False), 4, 5, 5)
    assert (ledger.builds, ledger.rebuilds) == (3, 2)
    text = ledger.explain()
    assert "input changed shape [4, 3] -> [5, 3]: export it once, and keep the program" in text
    assert "the graph built before was not there: export it once, and keep the program" in text


def test_a_copy_of_the_function_is_seen_too(torch, net):
    from torch.export import export

    with watch() as ledger:
        export(net, (torch.ones(4, 3),), strict=False)
    assert ledger.builds == 1


def test_an_export_that_raises_is_marked(torch):
    class Failing(torch.nn.Module):
        def forward(self, x):
            raise ValueError("not today")

    with watch() as ledger, pytest.raises(Exception, match="not today"):
        torch.export.export(Failing(), (torch.ones(3),), strict=False)
    assert [build.failed for build in ledger.events] == [True]


def test_a_torch_without_the_hook_is_told_so(torch, monkeypatch):
    from pytest_graphmode.backends.torch.export import ExportSource

    monkeypatch.delattr(importlib.import_module("torch.export._trace"), "_export")
    with pytest.raises(UnsupportedError, match=r"torch.export._trace._export, by which graphs are counted"):
        ExportSource().attach(None)


def test_nothing_stays_patched(torch):
    module = importlib.import_module("torch.export._trace")
    before = module._export
    with watch():
        assert module._export is not before
    assert module._export is before
