"""What fooled every other way to count torch's compilations must not fool the ledger.

Where a naive counter is fooled, a test shows it first: `CompileCounter` (a compiler backend that counts its calls),
callbacks at the start of a compilation.
"""

import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import ledger_of

pytestmark = pytest.mark.usefixtures("torch")


# The recompile limit.


def test_past_the_recompile_limit_counters_freeze(torch):
    from torch._dynamo.testing import CompileCounter

    naive = CompileCounter()
    f = torch.compile(lambda x, text: x * len(text), backend=naive)
    ledger = ledger_of(f, *((torch.ones(2), "a" * length) for length in range(12)))
    assert naive.frame_count == 8  # for 12 graphs: it looks as if the last four calls reused one
    assert (ledger.builds, ledger.fallbacks) == (8, 1)
    (fallback,) = ledger.fallback_reasons
    assert (
        "torch has 8 graphs of it (torch._dynamo.config.recompile_limit), runs it eagerly from now on"
        in fallback.reason
    )
    assert "fell back to eager execution" in ledger.explain()


LIMIT = """
    import pytest
    import torch

    @pytest.mark.graph_rebuilds(at_most=100)
    def test_length():
        f = torch.compile(lambda x, text: x * len(text), backend="eager")
        for length in range({lengths}):
            f(torch.ones(2), "a" * length)
"""


@pytest.mark.parametrize(("lengths", "outcome"), [(8, {"passed": 1}), (9, {"failed": 1})])
def test_a_fallback_fails_an_assertion_of_rebuilds(run_tests, lengths, outcome):
    said = ["*rebuilds can't be asserted*fell back to eager execution*", "*make it compile less*"]
    run_tests(LIMIT.format(lengths=lengths), said=said if "failed" in outcome else (), **outcome)


def test_twelve_different_modules_share_one_limit(torch, compiled):
    ledger = ledger_of(lambda width: compiled(torch.nn.Linear(3, width))(torch.ones(2, 3)), *range(1, 13))
    limited = hasattr(torch._dynamo.config, "recompile_limit")  # torch 2.4 keeps a cache for each module
    assert (ledger.builds, ledger.rebuilds, ledger.fallbacks) == ((8, 7, 1) if limited else (12, 11, 0))


# What a test does to Dynamo's records.


def test_a_reset_deletes_callbacks_and_not_the_ledger(torch, compiled):
    starts = []
    callbacks = torch._dynamo.callback
    callbacks.on_compile_start(lambda *args: starts.append(args))
    f = compiled(lambda x: x * 2)
    with watch() as ledger:
        f(torch.ones(2))
        torch._dynamo.reset()
        f(torch.ones(2))
    assert len(starts) == 1
    assert (ledger.builds, ledger.rebuilds) == (2, 1)
    assert [cause.kind for cause in ledger.events[-1].causes] == ["cache-reset"]


# Breaks and failures.


def test_torchs_loops_compile_even_where_nothing_is_compiled(torch, run_tests):
    from torch._higher_order_ops.while_loop import while_loop

    with watch() as ledger:
        while_loop(lambda x: x.sum() < 3, lambda x: (x + 1,), (torch.zeros(2),))
    assert ledger.select("torch", "compile").builds >= 1
    source = """
        def test_eager(graphmode):
            graphmode.while_loop(lambda x: x < 3, lambda x: x + 1, graphmode.tensor(0.0))
            assert graphmode.ledger.builds == 0
        """
    run_tests(source, "--graph-backends=torch", passed=1)
