"""Names that the handle and the ledger do not have, and values that `agree` is given without a name."""

import pytest

from tests.project import Project


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
def test_what_there_is_not(toy: Project, body: str, message: str) -> None:
    toy.write(f"def test_net(graphmode, graph_ledger):\n    {body}")
    result = toy.run("--graph-backends=toy", "--tb=short", failed=1)
    result.says(f"E   AttributeError: {message}")
    result.omits("*untouched.py*")


def test_what_there_is_and_what_is_asked_for(toy: Project) -> None:
    toy.write("""
        import copy

        def test_net(graphmode, graph_ledger):
            assert not hasattr(graphmode, "tesnor")
            assert getattr(graph_ledger, "rebuild", None) is None
            assert copy.copy(graph_ledger).builds == graph_ledger.builds == 0
    """)
    toy.run("--graph-backends=toy", passed=1)


def test_agree_takes_names(toy: Project) -> None:
    toy.write("""
        @pytest.mark.graph_agree
        def test_net(graphmode):
            graphmode.agree(1.0, loss=2.0)
    """)
    result = toy.run("--graph-backends=toy", failed=1, skipped=1)
    result.says("E *TypeError: graphmode.agree needs the values to compare, each by a name: graphmode.agree(loss=loss)")
