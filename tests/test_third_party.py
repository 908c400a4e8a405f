"""A backend of somebody else's: offered by a conftest or a package, listed, run, counted and heard of."""

from pathlib import Path

import pytest

from tests.project import Project
from tests.toy import calculator


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    """A project whose conftest offers `calculator`, a forward-only backend, and hears of builds."""
    pytester.makepyfile(calculator=Path(calculator.__file__).read_text())
    pytester.makeconftest("""
        import calculator

        def pytest_graphmode_backends():
            return [calculator.SPEC]

        def pytest_graphmode_build(config, nodeid, build):
            print(f"heard in {nodeid}: {build.backend}:{build.mode} {build.function}({build.signature})")
    """)
    return Project(pytester)


def test_it_runs_and_agrees_with_another(project: Project) -> None:
    project.write("""
        import numpy as np

        @pytest.mark.graph_agree
        @pytest.mark.graph_rebuilds(calculator=0)
        def test_squares(graphmode):
            squares = graphmode.function(graphmode.pick(calculator="x: x * x", numpy=lambda x: x * x))
            for size in (2, 3):
                graphmode.agree(squares=squares(np.arange(size) + 0.5))
    """)
    result = project.run("-v", "--graph-backends=calculator,numpy", passed=3)
    result.says(
        "*test_squares[[]calculator-sums-cpu[]] PASSED*",
        "*test_squares[[]numpy-eager-cpu[]] PASSED*",
        "*test_squares[[]agreement[]] PASSED*",
    )


REBUILT = """
    @pytest.mark.graph_rebuilds(0)
    def test_once(graphmode):
        for _ in range(3):
            graphmode.function("x: x * 2")(1.5)
    """


def test_its_builds_are_counted_and_explained(project: Project) -> None:
    project.write(REBUILT)
    result = project.run("--graph-backends=calculator", failed=1)
    result.says(
        "*2 rebuilds, at most 0 allowed",
        "  model (test_net.py:6) built 3 times in * s",
        "    1  x: float32[[]?]*1 node    called from test_net.py:6",
        "*make it once, outside the loop, and call that",
    )


def test_a_class_that_is_not_there_is_named(project: Project) -> None:
    project.makeconftest("""
        import calculator, dataclasses

        def pytest_graphmode_backends():
            return [dataclasses.replace(calculator.SPEC, target="calculator:Abacus")]
    """)
    project.write(REBUILT)
    project.run("--graph-backends=calculator", errors=1).says("*calculator*Abacus*")


def test_a_package_offers_one_by_its_entry_point(project: Project) -> None:
    """In a process of its own, since pytest finds entry points when it starts."""
    project.makeconftest("")
    project.makepyfile(
        calculator_plugin="import calculator\ndef pytest_graphmode_backends(): return [calculator.SPEC]\n"
    )
    metadata = project.mkdir("calculator-1.5.dist-info")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: calculator\nVersion: 1.5\n")
    (metadata / "entry_points.txt").write_text("[pytest11]\ncalculator = calculator_plugin\n")
    project.syspathinsert()
    project.run("--graph-backends=calculator", apart=True).says("graphmode: calculator 1.5; devices: *")


@pytest.mark.parametrize("hook", ["pytest_graphmode_build(nodeid, {})", "pytest_graphmode_backends({})"])
def test_a_hook_takes_only_what_it_is_called_with(pytester: pytest.Pytester, hook: str) -> None:
    folder = pytester.mkdir("deep")
    (folder / "test_plain.py").write_text("def test_plain(): pass\n")
    (folder / "conftest.py").write_text(f"def {hook.format('config')}: return []\n")
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.OK
    (folder / "conftest.py").write_text(f"def {hook.format('nothing')}: return []\n")
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(["*Argument(s) {'nothing'} are declared in the hookimpl but can not be found*"])
