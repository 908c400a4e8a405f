"""Counts of torch's graphs that may be wrong are never silent: what the source hooks into, its probe and its audit."""

import functools
import warnings

import pytest

from pytest_graphmode import UnsupportedError, watch
from tests.backends.ledgers import ledger_of, repeated

pytestmark = pytest.mark.usefixtures("torch")


@pytest.fixture
def source(torch):
    from pytest_graphmode.backends.torch.dynamo.source import DynamoSource

    return DynamoSource()


HOOKS = {
    "_compile": "convert_frame",
    "call_user_compiler": "output_graph.OutputGraph",
    "_callback_from_stance": "eval_frame",
}


def _owner(torch, name):
    return functools.reduce(getattr, HOOKS[name].split("."), torch._dynamo)


@pytest.mark.parametrize("name", HOOKS)
def test_a_torch_without_a_hook_is_told_so(torch, source, monkeypatch, name):
    owner = _owner(torch, name)
    if not hasattr(owner, name):
        pytest.skip("this torch has another one")
    before = torch._dynamo.convert_frame._compile
    monkeypatch.delattr(owner, name)
    for other in ("_maybe_set_eval_frame", "set_eval_frame"):
        if name == "_callback_from_stance":
            monkeypatch.delattr(owner, other, raising=False)
    with pytest.raises(UnsupportedError, match=rf"{name}, by which graphs are counted: use torch 2.4 to"):
        source.attach(None)
    if name != "_compile":
        assert torch._dynamo.convert_frame._compile is before


def test_a_torch_that_gives_its_frames_in_another_way_is_told_so(torch, source, monkeypatch):
    monkeypatch.setattr(torch._dynamo.convert_frame, "_compile", lambda frame, hooks: None)
    with pytest.raises(UnsupportedError, match=r"_compile of this version, .*, takes frame, hooks where code, globals"):
        source.attach(None)


def test_the_probe_is_one_build_of_x(torch, source):
    ledger = repeated(source.probe, 2)
    assert [build.signature for build in ledger.events] == ["x: float32[1]"] * 2


@pytest.mark.parametrize("switch", ["config", "stance", "environment"])
def test_the_probe_compiles_whatever_is_switched_off(torch, source, monkeypatch, switch):
    if switch == "environment":
        monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    elif switch == "config":
        torch._dynamo.config.disable = True
    elif not hasattr(torch.compiler, "set_stance"):
        pytest.skip("this torch has no stance")
    else:
        torch.compiler.set_stance("force_eager")
    try:
        with watch() as ledger:
            source.probe()
    finally:
        assert torch._dynamo.config.disable is (switch == "config")
        torch._dynamo.config.disable = False
        if hasattr(torch.compiler, "set_stance"):
            torch.compiler.set_stance("default")
    assert ledger.builds == 1


def test_what_cannot_be_described_makes_no_trouble_for_the_code(torch, compiled, monkeypatch):
    from pytest_graphmode.backends.torch.dynamo import source

    def broken(*_):
        raise RuntimeError("odd")

    monkeypatch.setattr(source, "Frame", broken)
    f = compiled(lambda x: x * 2)
    with watch() as ledger:
        assert f(torch.ones(1)) == 2
    assert ledger.builds == 0


# Calls.


def test_calls_of_compiled_code_that_nobody_wrapped_are_counted(torch, compiled):
    f, net = compiled(lambda x: x * 2), compiled(torch.nn.Linear(2, 2))
    f(torch.ones(2))
    ledger = repeated(lambda: (f(torch.ones(2)), net(torch.ones(2))))  # f has a graph from before
    assert (ledger.calls, ledger.select("torch", "compile").calls) == (6, 6)


def test_a_call_within_another_one_is_part_of_it(torch, compiled):
    inner = compiled(lambda x: x * 2)

    def outer(x):
        print(end="")
        return inner(x) + 1

    outer = compiled(outer)
    assert ledger_of(outer, *[torch.ones(2)] * 3).calls == 3


@pytest.mark.parametrize("how", ["disable", "config", "no operation"])
def test_a_call_that_runs_no_graph_is_no_call(torch, compiled, how):
    f = compiled(lambda x: x if how == "no operation" else x * 2, disable=how == "disable")
    with torch._dynamo.config.patch(disable=how == "config"):
        assert ledger_of(f, *[torch.ones(2)] * 3).calls == 0


# What a run begins with.

CONFIGURED = """
    import pytest
    import torch
    import torch._dynamo

    torch._dynamo.config.capture_scalar_outputs = True  # the run begins with it

    def test_first():
        torch._dynamo.config.recompile_limit = 2
        torch._dynamo.config.capture_scalar_outputs = False

    @pytest.fixture
    def assumed():
        torch._dynamo.config.assume_static_by_default = False

    @pytest.mark.graph_rebuilds(2)
    def test_second(assumed):
        assert torch._dynamo.config.capture_scalar_outputs
        assert not torch._dynamo.config.assume_static_by_default
        f = torch.compile(lambda x, text: x * len(text), backend="eager")
        for length in range(3):
            f(torch.ones(2), "a" * length)
"""


@pytest.mark.slow
def test_a_test_that_asserts_starts_from_the_configuration_of_the_run(torch, run_tests):
    if not hasattr(torch._dynamo.config, "recompile_limit"):
        pytest.skip("torch 2.4 has another name for it")
    run_tests(CONFIGURED, fresh=True, passed=2)


@pytest.mark.slow
def test_torchs_structured_log_stays_out_of_what_pytest_shows(run_tests):
    # The first is captured before torch, and so its logger, is there.
    source = """
        import pytest

        def test_variant(graphmode):
            graphmode.function(lambda x: x * 2)(graphmode.tensor([1.0]))
            assert False

        @pytest.mark.graph_rebuilds(0)
        def test_step():
            import torch

            f = torch.compile(lambda x: x * 2, backend="eager")
            for size in (2, 3):
                f(torch.ones(size))
        """
    result = run_tests(source, "--graph-backends=torch:compile", fresh=True, failed=2)
    result.stdout.no_fnmatch_line("*torch.__trace*")


def test_what_torch_warns_of_when_its_caches_are_cleared_is_no_users_failure(torch, source, monkeypatch):
    """Where there is CUDA, clearing them imports Inductor, which uses what torch (2.11) has deprecated."""
    cleared = []

    def reset():
        cleared.append(True)
        warnings.warn("`torch.jit.script_method` is deprecated", DeprecationWarning, stacklevel=2)

    monkeypatch.setattr(torch._dynamo, "reset", reset)
    source.reset()
    assert cleared
