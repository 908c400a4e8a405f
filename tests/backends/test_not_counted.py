"""Counts that may be wrong are never silent: a test that asserts some fails, and says why they can't be trusted."""

import sys
from typing import NamedTuple

import pytest

SUITE = """
    import pytest
    {0}

    @pytest.fixture(autouse=True)
    def other_version(monkeypatch):
        {2}

    @pytest.mark.graph_rebuilds(0)
    def test_step():
        with pytest.MonkeyPatch.context() as monkeypatch:
            {3}
            {1}
        {4}
"""
CALLS = {
    "tf": ("import tensorflow as tf", "tf.function(lambda x: x * 2)(1.0)"),
    "torch": ("import torch", "torch.compile(lambda x: x * 2, backend='eager')(torch.ones(2))"),
    "jax": ("import jax, types", "jax.jit(lambda x: x * 2)(1.0)"),
}


class Case(NamedTuple):
    """What is said if the test fails; what happens before it, and in it before and after a function is called."""

    said: str | None = None
    earlier: str = "pass"
    before: str = "pass"
    after: str = "pass"


CASES = {
    "tf": Case(),
    "tf: a private name is gone": Case(
        "*the graphs of tf are not counted*tf 2.*this version has no FunctionCache.generalize*",
        earlier="from tensorflow.core.function.polymorphism import function_cache; "
        "monkeypatch.delattr(function_cache.FunctionCache, 'generalize')",
    ),
    "tf: a trace that is not seen": Case(
        "*not counted*experimental_get_tracing_count() grew by 1, but 0 builds of it were seen*",
        before="from tensorflow.python.eager.polymorphic_function import tracing_compilation as tracing; "
        "seen = tracing._create_concrete_function; "
        "monkeypatch.setattr(tracing, '_create_concrete_function', seen.__wrapped__)",
    ),
    "torch": Case(),
    "torch: a graph that only torch counted": Case(
        "*not counted*unique_graphs*has 1 graph more than were seen*",
        after="torch._dynamo.utils.counters['stats']['unique_graphs'] += 1",
    ),
    "torch: cleared counters": Case(after="torch._dynamo.utils.counters.clear()"),
    "torch: what can't be described": Case(
        "*not counted*",
        earlier="from pytest_graphmode.backends.torch.dynamo import source; monkeypatch.setattr(source, 'Frame', None)",
    ),
    "jax: a private name is gone": Case(
        "*not counted*VERSION*has no jax._src.pjit._infer_params, by which graphs are counted*",
        earlier="from pytest_graphmode.backends.jax import steps; "
        "monkeypatch.setattr(steps, '_module', lambda name: types.SimpleNamespace(__name__=f'jax._src.{name}'))",
    ),
    "jax: a private name is another function": Case(
        "*not counted*VERSION*jax._src.pjit._infer_params of this version, by which graphs are counted*",
        earlier="from jax._src import pjit; step = pjit._infer_params; "
        "monkeypatch.setattr(pjit, '_infer_params', lambda *inputs: step(*inputs))",
    ),
    "jax: traces begin elsewhere": Case(
        "*not counted*one build of a trivial function of x was expected*none*",
        earlier="from pytest_graphmode.backends.jax import steps; from pytest_graphmode.ledger.watcher import watcher; "
        "[monkeypatch.setattr(one, '_proved', False) for one in watcher._attachments]; "
        "monkeypatch.setattr(steps, '_begun', lambda original, begin: original)",
    ),
    "jax: a trace that only its public event shows": Case(
        "*not counted*monitoring events*elsewhere*",
        after="jax.monitoring.record_event_duration_secs("
        "'/jax/core/compile/jaxpr_trace_duration', 0.1, fun_name='elsewhere')",
    ),
    "jax: other events": Case(
        after="jax.monitoring.record_event_duration_secs('/jax/core/compile/backend_compile_duration', 0.1); "
        "jax.monitoring.clear_event_listeners()",
    ),
}


@pytest.mark.parametrize(
    ("native", "case"), [(case.partition(":")[0], case) for case in CASES], ids=list(CASES), indirect=["native"]
)
def test_an_assertion_fails_where_counts_can_not_be_trusted(native, run_tests, case):
    said, *steps = CASES[case]
    imports, call = CALLS[native.backend]
    source = SUITE.format(imports, call, *steps)
    if said is None:
        run_tests(source, passed=1)
        return
    version = getattr(sys.modules.get(native.backend), "__version__", "")
    run_tests(source, said=[said.replace("VERSION", version)], failed=1)
