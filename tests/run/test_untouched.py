"""Names that the handle and the ledger do not have, and values that `agree` is given without a name."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("graphmode.tesnor(1.0)", "graphmode has no attribute 'tesnor': did you mean graphmode.tensor?"),
        ("graphmode.variant, graphmode.tesnor(1.0)", "graphmode has no attribute 'tesnor': did you mean graphmode.*"),
        ("graphmode.zzz", "graphmode has no attribute 'zzz': see help(pytest_graphmode.Handle)"),
        ("graph_ledger.rebuild", "ledger has no attribute 'rebuild': did you mean ledger.rebuilds?"),
        ("graphmode.session", "toy-graph-cpu has no session: only tf:session does; *"),
    ],
)
def test_what_there_is_not(toy: pytest.Pytester, body: str, message: str) -> None:
    toy.makepyfile(f"def test_net(graphmode, graph_ledger):\n    {body}")
    result = toy.runpytest_inprocess("--graph-backends=toy", "--tb=short")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E   AttributeError: {message}"])
    result.stdout.no_fnmatch_line("*untouched.py*")


def test_what_there_is_and_what_is_asked_for(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import copy

        def test_net(graphmode, graph_ledger):
            assert not hasattr(graphmode, "tesnor")
            assert getattr(graph_ledger, "rebuild", None) is None
            assert copy.copy(graph_ledger).builds == graph_ledger.builds == 0
        """
    )
    toy.runpytest_inprocess("--graph-backends=toy").assert_outcomes(passed=1)


def test_agree_takes_names(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.graph_agree
        def test_net(graphmode):
            graphmode.agree(1.0, loss=2.0)
        """
    )
    result = toy.runpytest_inprocess("--graph-backends=toy")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["E *TypeError: graphmode.agree needs the values to compare, each by a name: graphmode.agree(loss=loss)"]
    )
