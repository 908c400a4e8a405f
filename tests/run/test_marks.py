"""Marks that are for some variants or some parameters of a test."""

import pytest

from tests.project import Project

BOTH = "--graph-backends=toy,numpy"


@pytest.mark.usefixtures("accelerator")
def test_skip_and_xfail_by_variant(toy: Project) -> None:
    toy.write("""
        @pytest.mark.graph_xfail("numpy", reason="bug 7", raises=(KeyError, ZeroDivisionError))
        class TestNet:
            @pytest.mark.graph_skip("toy@gpu", reason="no gpu here")
            def test_net(self, graphmode):
                if graphmode.backend == "numpy":
                    1 / 0
    """)
    result = toy.run(BOTH, "-rxs", "-v", passed=1, skipped=1, xfailed=1)
    result.says(
        "*::test_net[[]toy-graph-cpu] PASSED*",
        "*::test_net[[]toy-graph-gpu:0] SKIPPED*",
        "*::test_net[[]numpy-eager-cpu] XFAIL*",
        "XFAIL *::test_net[[]numpy-eager-cpu] - bug 7",
        "SKIPPED *: no gpu here",
    )


def test_marks_of_a_single_parameter(toy: Project) -> None:
    toy.write("""
        skipped = pytest.param(2, marks=pytest.mark.graph_skip("toy", reason="not two"))
        failing = pytest.param(3, marks=pytest.mark.graph_xfail("numpy", reason="three", raises=ZeroDivisionError))

        @pytest.mark.parametrize("number", [1, skipped, failing])
        def test_net(graphmode, number):
            if graphmode.backend == "numpy" and number == 3:
                1 / 0
    """)
    result = toy.run(BOTH, "-v", passed=4, skipped=1, xfailed=1)
    result.says("*[[]toy-graph-cpu-2] SKIPPED*", "*[[]numpy-eager-cpu-3] XFAIL*")


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("graph_skip('jax:nil', reason='x')", "graph_skip(*): unknown mode 'nil' of jax: *"),
        ("graph_rebuilds(-1)", "graph_rebuilds(-1): count must be a whole number from 0, not -1"),
        ("graph_agree(rtol=-1)", "graph_agree(rtol=-1): rtol must be a number from 0, not -1"),
        ("graphmode('toy')", "graphmode can't narrow one parameter: use graph_skip(variants, reason=...)"),
    ],
)
def test_wrong_marks_of_a_single_parameter(toy: Project, mark: str, message: str) -> None:
    toy.write(f"""
        @pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.{mark})])
        def test_net(graphmode, number): pass
    """)
    toy.run(BOTH).fails_collection(f"*::test_net[[]toy-graph-cpu-2]: @pytest.mark.{message}")
