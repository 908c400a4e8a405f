"""A backend of somebody else's: offered by a conftest or a package, listed, run, counted and heard of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toy import calculator


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose conftest offers `calculator`, a forward-only backend, and hears of builds."""
    pytester.makepyfile(calculator=Path(calculator.__file__).read_text())
    pytester.makeconftest(
        """
        import calculator

        def pytest_graphmode_backends():
            return [calculator.SPEC]

        def pytest_graphmode_build(config, nodeid, build):
            print(f"heard in {nodeid}: {build.backend}:{build.mode} {build.function}({build.signature})")
        """
    )
    return pytester


def test_it_is_listed_in_the_header(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--graph-backends=calculator,numpy")
    result.stdout.fnmatch_lines(["graphmode: calculator *, numpy *; devices: *"])


def test_it_is_listed_among_the_legal_ones(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--graph-backends=calcullator")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown backend 'calcullator': the backends are tf, torch, jax, numpy, calculator*"])


def test_it_runs_and_agrees_with_another(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import numpy as np, pytest

        @pytest.mark.graph_agree
        @pytest.mark.graph_rebuilds(calculator=0)
        def test_squares(graphmode):
            squares = graphmode.function(graphmode.pick(calculator="x: x * x", numpy=lambda x: x * x))
            for size in (2, 3):
                graphmode.agree(squares=squares(np.arange(size) + 0.5))
        """
    )
    result = project.runpytest_inprocess("-v", "--graph-backends=calculator,numpy")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "*test_squares[[]calculator-sums-cpu[]] PASSED*",
            "*test_squares[[]numpy-eager-cpu[]] PASSED*",
            "*test_squares[[]agreement[]] PASSED*",
        ]
    )


REBUILT = """
    import pytest

    @pytest.mark.graph_rebuilds(0)
    def test_once(graphmode):
        for _ in range(3):
            graphmode.function("x: x * 2")(1.5)
    """


def test_its_builds_are_counted_and_explained(project: pytest.Pytester) -> None:
    project.makepyfile(REBUILT)
    result = project.runpytest_inprocess("--graph-backends=calculator")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*2 rebuilds, at most 0 allowed",
            "  model (test_its_builds_are_counted_and_explained.py:6) built 3 times in * s",
            "    1  x: float32[[]?]*1 node    called from test_its_builds_are_counted_and_explained.py:6",
            "*make it once, outside the loop, and call that",
        ]
    )


def test_a_class_that_is_not_there_is_named(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import calculator, dataclasses

        def pytest_graphmode_backends():
            return [dataclasses.replace(calculator.SPEC, target="calculator:Abacus")]
        """
    )
    project.makepyfile(REBUILT)
    result = project.runpytest_inprocess("--graph-backends=calculator")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*calculator*Abacus*"])


def test_a_package_offers_one_by_its_entry_point(pytester: pytest.Pytester) -> None:
    """In a process of its own, since pytest finds entry points when it starts."""
    pytester.makepyfile(calculator=Path(calculator.__file__).read_text())
    pytester.makepyfile(
        calculator_plugin="import calculator\ndef pytest_graphmode_backends(): return [calculator.SPEC]\n"
    )
    metadata = pytester.mkdir("calculator-1.5.dist-info")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: calculator\nVersion: 1.5\n")
    (metadata / "entry_points.txt").write_text("[pytest11]\ncalculator = calculator_plugin\n")
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("--graph-backends=calculator")
    result.stdout.fnmatch_lines(["graphmode: calculator 1.5; devices: *"])
