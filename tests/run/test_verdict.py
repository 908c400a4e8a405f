"""Where a verdict points and what its one line says, in each way pytest shows a failure."""

import pytest

from tests.project import Project

LIBRARY = """
import toylib

double = toylib.jit(lambda value: value * 2)
"""
LIMITED = """
import library

@pytest.mark.graph_budget(builds=1)
@pytest.mark.graph_rebuilds(0)
def test_net():
    library.double(1), library.double(1.5)
"""
UNITTEST = """
import unittest

class TestNet(unittest.TestCase):
    @pytest.mark.graph_rebuilds({})
    def test_net(self): pass
"""
BRIEF = "1 rebuild, at most 0 allowed: value is a Python str that changed 'int' -> 'float'; 2 builds, at most 1 allowed"


@pytest.fixture
def project(toy: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("CI", raising=False)
    toy.makepyfile(library=LIBRARY)
    toy.write(LIMITED)
    return toy


def test_the_summary_line_has_every_limit_and_the_cause(project: Project) -> None:
    result = project.run("-ra")
    result.says(f"FAILED test_net.py::test_net - {BRIEF}")
    result.says("1 rebuild, at most 0 allowed", "2 builds, at most 1 allowed", "  <lambda> (*")


def test_tb_line_points_at_the_test(project: Project) -> None:
    result = project.run("--tb=line")
    result.says(f"{project.path / 'test_net.py'}:5: {BRIEF}")
    result.omits("*pytest_graphmode*")


def test_a_debugger_stands_in_the_tests_module(project: Project) -> None:
    project.extend(WHERE)
    project.run("-s").says(f"STANDS {project.path / 'test_net.py'} 5 test_net True")


WHERE = """
def pytest_exception_interact(node, call):
    last = call.excinfo.traceback[-1]
    print("\\nSTANDS", last.path, last.lineno + 1, last.name, "library" in last.frame.f_globals)
"""


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def test_net(graphmode): pass", 3),
        ("class TestNet:\n    def test_net(self, graphmode): pass", 4),
        ("def test_net(request): request.getfixturevalue('graphmode')", 3),
        (UNITTEST.format("count=0"), 6),
        (UNITTEST.format("keras=1"), 6),
    ],
)
def test_every_verdict_points_at_its_test(toy: Project, source: str, line: int) -> None:
    path = toy.write(source)
    result = toy.run("--tb=line", "--graph-backends=toy")
    result.says(f"{path}:{line}: *")
    result.omits("*pytest_graphmode*")


def test_a_failure_of_the_tests_own_keeps_its_line(project: Project) -> None:
    project.write(LIMITED + "    assert library.double(1) == 3\n")
    result = project.run("--tb=line")
    result.says(f"{project.path / 'test_net.py'}:9: assert 2 == 3")
    result.says("FAILED test_net.py::test_net - assert 2 == 3")


def test_another_attempts_own_failure_keeps_its_line(project: Project) -> None:
    """As plugins that repeat tests do it, on one item."""
    project.extend(AGAIN)
    project.write(LIMITED + "    global runs; runs += 1\n    assert runs == 1\n\nruns = 0\n")
    result = project.run("-ra", failed=2)
    result.says(f"FAILED test_net.py::test_net - {BRIEF}", "FAILED test_net.py::test_net - assert 2 == 1")


AGAIN = """
def pytest_runtest_protocol(item, nextitem):
    from _pytest.runner import runtestprotocol
    runtestprotocol(item, nextitem=nextitem)
    runtestprotocol(item, nextitem=nextitem)
    return True
"""
