"""Where a verdict points and what its one line says, in each way pytest shows a failure."""

from __future__ import annotations

import pytest

LIBRARY = """
import toylib

double = toylib.jit(lambda value: value * 2)
"""
LIMITED = """
import pytest, library


@pytest.mark.graph_budget(builds=1)
@pytest.mark.graph_rebuilds(0)
def test_net():
    library.double(1), library.double(1.5)
"""
UNITTEST = """
import pytest, unittest

class TestNet(unittest.TestCase):
    @pytest.mark.graph_rebuilds({})
    def test_net(self): pass
"""
BRIEF = "1 rebuild, at most 0 allowed: value is a Python str that changed 'int' -> 'float'; 2 builds, at most 1 allowed"


@pytest.fixture
def project(toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("CI", raising=False)
    toy.makepyfile(library=LIBRARY, test_net=LIMITED)
    return toy


def test_the_summary_line_has_every_limit_and_the_cause(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("-ra")
    result.stdout.fnmatch_lines([f"FAILED test_net.py::test_net - {BRIEF}"])
    result.stdout.fnmatch_lines(["1 rebuild, at most 0 allowed", "2 builds, at most 1 allowed", "  <lambda> (*"])


def test_tb_line_points_at_the_test(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--tb=line")
    result.stdout.fnmatch_lines([f"{project.path / 'test_net.py'}:4: {BRIEF}"])
    result.stdout.no_fnmatch_line("*pytest_graphmode*")


def test_a_debugger_stands_in_the_tests_module(project: pytest.Pytester) -> None:
    project.makeconftest((project.path / "conftest.py").read_text() + WHERE)
    result = project.runpytest_inprocess("-s")
    result.stdout.fnmatch_lines([f"STANDS {project.path / 'test_net.py'} 4 test_net True"])


WHERE = """
def pytest_exception_interact(node, call):
    last = call.excinfo.traceback[-1]
    print("\\nSTANDS", last.path, last.lineno + 1, last.name, "library" in last.frame.f_globals)
"""


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import pytest\ndef test_net(graphmode): pass", 2),
        ("import pytest\n\nclass TestNet:\n    def test_net(self, graphmode): pass", 4),
        ("def test_net(request): request.getfixturevalue('graphmode')", 1),
        (UNITTEST.format("count=0"), 4),
        (UNITTEST.format("keras=1"), 4),
    ],
)
def test_every_verdict_points_at_its_test(toy: pytest.Pytester, source: str, line: int) -> None:
    path = toy.makepyfile(source)
    result = toy.runpytest_inprocess("--tb=line", "--graph-backends=toy")
    result.stdout.fnmatch_lines([f"{path}:{line}: *"])
    result.stdout.no_fnmatch_line("*pytest_graphmode*")


def test_a_failure_of_the_tests_own_keeps_its_line(project: pytest.Pytester) -> None:
    project.makepyfile(test_net=LIMITED + "    assert library.double(1) == 3\n")
    result = project.runpytest_inprocess("--tb=line")
    result.stdout.fnmatch_lines([f"{project.path / 'test_net.py'}:8: assert 2 == 3"])
    result.stdout.fnmatch_lines(["FAILED test_net.py::test_net - assert 2 == 3"])


def test_another_attempts_own_failure_keeps_its_line(project: pytest.Pytester) -> None:
    """As plugins that repeat tests do it, on one item."""
    project.makeconftest((project.path / "conftest.py").read_text() + AGAIN)
    project.makepyfile(test_net=LIMITED + "    global runs; runs += 1\n    assert runs == 1\n\nruns = 0\n")
    result = project.runpytest_inprocess("-ra")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [f"FAILED test_net.py::test_net - {BRIEF}", "FAILED test_net.py::test_net - assert 2 == 1"]
    )


AGAIN = """
def pytest_runtest_protocol(item, nextitem):
    from _pytest.runner import runtestprotocol
    runtestprotocol(item, nextitem=nextitem)
    runtestprotocol(item, nextitem=nextitem)
    return True
"""
