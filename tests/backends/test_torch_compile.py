"""torch.compile as a mode: functions and their options, verbs in the graph, what a test leaves behind, assertions."""

import shutil
from typing import NamedTuple

import numpy as np
import optree
import pytest

from pytest_graphmode.ledger.durations import CallTimes

pytestmark = [pytest.mark.graphmode(backends="torch:compile"), pytest.mark.usefixtures("torch")]


# Functions.


def test_a_build_is_told_with_the_lines_of_the_test(graphmode):
    double = graphmode.function(lambda x: {"y": x * 2, "none": None})
    np.testing.assert_array_equal(graphmode.numpy(double(np.ones(3)))["y"], np.full(3, 2))
    (build,) = graphmode.ledger.events
    assert (build.function, build.mode, build.nodes, build.number) == ("<lambda>", "compile", 1, 1)
    assert build.signature == "x: float32[3]"
    assert build.location.startswith("tests/backends/test_torch_compile.py:")
    assert build.call_site.startswith("tests/backends/test_torch_compile.py:")


@pytest.mark.parametrize("options", [{"backend": "eager"}, {"fullgraph": True}, {"dynamic": True}, {"dynamic": False}])
def test_options_go_to_torch_compile(graphmode, options):
    double = graphmode.function(lambda x: x * 2, **options)
    for size in (3, 4, 5):
        assert double(np.ones(size)).shape == (size,)
    assert graphmode.ledger.builds == {True: 1, False: 3}.get(options.get("dynamic"), 2)


@pytest.mark.slow
def test_the_compiler_can_be_inductor(graphmode):
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("inductor needs a C++ compiler")
    double = graphmode.function(lambda x: graphmode.xp.sin(x) * 2, backend="inductor")
    np.testing.assert_allclose(graphmode.numpy(double(np.ones(3))), np.full(3, 2 * np.sin(1)), rtol=1e-6)
    assert graphmode.ledger.builds == 1


def test_fullgraph_turns_a_break_into_an_error(torch, graphmode):
    def broken(x):
        x = x * 2
        print(end="")
        return x * 2

    with pytest.raises(torch._dynamo.exc.Unsupported):
        graphmode.function(broken, fullgraph=True)(np.ones(3))
    assert [build.failed for build in graphmode.ledger.events] == [True]
    graphmode.function(broken)(np.ones(3))
    assert graphmode.ledger.breaks == 1


ONES = np.ones((3, 2))


@pytest.mark.parametrize(
    "value",
    [ONES, np.array(1.0), np.float64(1.0), (ONES, [1.0]), {"a": ONES}],
    ids=["array", "no-axes", "scalar", "tuple", "dict"],
)
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_tensors_are_made_within_the_graph(graphmode, value, dtype):
    tensor = graphmode.function(lambda: graphmode.tensor(value, dtype), fullgraph=True)
    for made, given in zip(optree.tree_leaves(tensor()), optree.tree_leaves(value), strict=False):
        np.testing.assert_array_equal(graphmode.numpy(made), np.asarray(given))
        assert graphmode.numpy(made).dtype == (dtype or "float32")


def test_an_unknown_option_is_a_clear_error(graphmode):
    with pytest.raises(TypeError, match=r"torch\.compile has no option jit: graphmode\.function takes backend"):
        graphmode.function(lambda x: x, jit=True)


def test_a_function_called_in_another_is_part_of_its_graph(graphmode):
    inner = graphmode.function(lambda x: x + 1)
    outer = graphmode.function(lambda x: inner(x) * 2)
    assert outer(np.float32(1)) == 4
    assert (graphmode.ledger.builds, graphmode.ledger.breaks) == (1, 0)


def test_code_that_a_break_left_outside_runs_as_python(torch, graphmode):
    trips = []

    @torch.compiler.disable
    def outside(x):
        return graphmode.while_loop(lambda x: x < 3, lambda x: trips.append(1) or x + 1, x)

    assert graphmode.function(lambda x: outside(x * 1) * 2)(np.float32(0)) == 6
    assert len(trips) == 3
    assert graphmode.ledger.breaks == 1


# Control flow.


class Pair(NamedTuple):
    first: object
    second: object


def _while(graphmode, x):
    return graphmode.while_loop(lambda p: p.second < 3, lambda p: Pair(p.second + p.first, p.second + 1), Pair(x, x))


VERBS = {
    "fori_loop": lambda graphmode, x: graphmode.fori_loop(0, graphmode.xp.astype(x, "int32"), lambda i, y: y + i, x),
    "while": _while,
    "cond": lambda graphmode, x: graphmode.cond(x > 0, lambda: x, lambda: -x),
    "switch": lambda graphmode, x: graphmode.switch(
        graphmode.xp.astype(x, "int32"), [lambda y: y, lambda y: y * 2, lambda y: y * 3, lambda y: y * 4], x
    ),
    "scan": lambda graphmode, x: graphmode.scan(lambda c, y: (c + y, {"c": c, "none": None}), x, np.ones(3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_verbs_are_operators_in_one_graph(graphmode, verb):
    function = graphmode.function(lambda x: VERBS[verb](graphmode, x))
    function(np.float32(1))
    function(np.float32(2))
    (build,) = graphmode.ledger.events
    operator = "while" if verb == "fori_loop" else verb
    assert (dict(build.control_flow), graphmode.ledger.breaks) == ({operator: 1}, 0)


@pytest.mark.slow
def test_one_tensor_may_stand_twice_and_come_back_unchanged(graphmode):
    x = graphmode.tensor(2.0)
    kept = graphmode.function(lambda x: graphmode.while_loop(lambda a, b: a < 0, lambda a, b: (b, a), (x, x)))
    assert [leaf.item() for leaf in kept(x)] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("trips", [0, 3])
def test_an_assignment_in_a_loop_makes_it_a_loop_of_python(graphmode, trips):
    """torch's operators allow no assignment; the loop runs outside of the graphs then, and every trip assigns."""
    count = graphmode.variable(0.0)

    def body(x):
        graphmode.assign(count, count + 1)
        return x + 1

    run = graphmode.function(lambda x: graphmode.while_loop(lambda x: x < trips, body, x * 1))
    for calls in (1, 2):
        assert run(np.float32(0)) == trips
        assert count == calls * trips
    assert graphmode.ledger.breaks >= 1
    assert not any(build.control_flow for build in graphmode.ledger.events)
    graphmode.function(lambda x: graphmode.while_loop(lambda x: x < trips, lambda x: x + 1, x))(np.float32(0))
    assert dict(graphmode.ledger.events[-1].control_flow) == {"while": 1}


# Isolation.


def test_what_a_test_changes_of_torch_ends_with_it(torch, graphmode):
    from pytest_graphmode.backends.torch import state

    config = torch._dynamo.config
    compiled = torch.compile(lambda x: x + 1, backend="eager")
    with state.restored(), state.fresh_graphs():
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("cpu")
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(7)
        config.cache_size_limit = config.cache_size_limit + 3
        if hasattr(torch.compiler, "set_stance"):
            torch.compiler.set_stance("force_eager")
        changed = torch.rand(3)
    assert torch.get_default_dtype() == torch.float32
    assert state._default_device() is None
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.equal(torch.rand(3), changed.float())
    compiled(torch.ones(2))
    assert graphmode.ledger.builds == 1


def test_a_default_compiler_that_a_test_sets_ends_with_it(torch):
    from pytest_graphmode.backends.torch import state

    if not hasattr(torch.compiler, "set_default_backend"):
        pytest.skip("this torch has no default compiler backend that can be set")
    before = torch.compiler.get_default_backend()
    with state.restored():
        torch.compiler.set_default_backend("eager")
    assert torch.compiler.get_default_backend() == before
    torch.compiler.set_default_backend("eager")  # by a plain test, around which nothing is restored
    state.Dynamo.by_default().restore()
    assert torch.compiler.get_default_backend() == before


def test_every_variant_starts_without_graphs(run_tests):
    source = """
        import pytest
        import torch

        shared = torch.compile(lambda x: x * 2, backend="eager")

        @pytest.mark.parametrize("number", range(2))
        def test_shared(graphmode, number):
            shared(torch.ones(3))
            assert graphmode.ledger.builds == 1
        """
    run_tests(source, "--graph-backends=torch:compile", passed=2)


@pytest.mark.slow
def test_an_eager_variant_does_not_import_dynamo(run_tests):
    source = """
        import sys

        def test_eager(graphmode):
            graphmode.function(graphmode.grad(lambda x: (x * x).sum()))(graphmode.tensor([1.0, 2.0]))

        def test_dynamo_was_not_imported():
            assert "torch._dynamo" not in sys.modules
        """
    run_tests(source, "--graph-backends=torch", fresh=True, passed=2)


# Budgets and assertions.

STEP = """
    import numpy as np
    import pytest

    @pytest.mark.graph_rebuilds(0)
    @pytest.mark.graph_budget(breaks=0)
    def test_step(graphmode):
        def step(x, training):
            x = x * 2
            {line}
            return x * 3 if training else x

        run = graphmode.function(step)
        run(np.ones(3), True)
        run(np.ones(3), {training})
"""


REBUILD = [
    "*1 rebuild, at most 0 allowed*",
    "*step (test_*.py:*) built 2 times in *",
    "*training is a Python bool that changed True -> False: pass a tensor, or accept one build per value*",
]
BREAK = ["*1 break, at most 0 allowed*", "*graph break at test_*.py:*: *print*"]


@pytest.mark.parametrize(
    ("line", "training", "said"),
    [("pass", True, ()), ("pass", False, REBUILD), ("print(end='')", True, BREAK)],
    ids=["kept", "rebuild", "break"],
)
def test_a_test_keeps_to_its_budget_or_fails_with_cause_and_line(run_tests, line, training, said):
    source, outcome = STEP.format(line=line, training=training), "failed" if said else "passed"
    run_tests(source, "--graph-backends=torch:compile", said=said, **{outcome: 1})


@pytest.mark.slow
def test_timing_calls_changes_no_count(graphmode, torch):
    """Dynamo meets the wrappers that time calls, inside of graphs and after a break."""

    def counted():
        inner = graphmode.function(lambda x: x * 2)

        def step(x):
            y = inner(x)
            torch._dynamo.graph_break()
            return inner(y)

        step = graphmode.function(step)
        with graphmode.watch() as ledger:
            for size in (3, 4):
                step(graphmode.tensor([1.0] * size))
        builds = [(event.function, event.signature, event.nodes) for event in ledger.events]
        return builds, ledger.calls, ledger.graph_breaks, ledger.fallback_reasons

    plain = counted()
    torch._dynamo.reset()
    times = graphmode.runtime.recorder.times = CallTimes()
    assert counted() == plain
    assert times.warm_up is None  # both calls built
    assert plain[2]
