"""Failures of the checks, and of wrong calls, point at the line of the test: in one line, and in a debugger."""

import pytest

from tests.project import Project, Result

BODIES = {
    "check_control_flow": "graphmode.check_control_flow(branch, [(1.0,)])",
    "check_grads": "graphmode.check_grads(branch, np.ones(2))",
    "agree": "graphmode.agree(x=1.0)",
    "a case": "graphmode.check_control_flow(branch, [1.0])",
    "a name": "graphmode.pick(tensorflow=1)",
    "a value": "graphmode.tensor({'x': 'text'})",
    "no function": "graphmode.function(3)",
    "an option": "graphmode.function(branch, bogus=3)",
    "a loop": "graphmode.while_loop(lambda x: x < 3, lambda x: 'a', (0,))",
}
TEST = """
import numpy as np

def branch(x):
    if x > 0:
        return x * 2
    return x - 1

def test_it(graphmode):
    {}
"""
LINE = 11  # of the body


def run(project: Project, body: str, *options: str, **outcomes: int) -> Result:
    return project.check(TEST.format(body), *options, "-p", "no:cacheprovider", backends="numpy", **outcomes)


@pytest.mark.parametrize("name", BODIES)
def test_the_one_line_of_a_failure_is_the_test_s(project: Project, name: str) -> None:
    run(project, BODIES[name], "--tb=line", failed=1).says(f"*test_net.py:{LINE}: *")


def test_an_error_of_the_user_s_function_is_at_its_own_line(project: Project) -> None:
    result = run(project, "graphmode.check_control_flow(lambda x: [][1], [(1.0,)])", "--tb=short")
    result.says("*lambda x: [[][]][[]1]*", "E   IndexError: *")
    result.omits("*pytest_graphmode/*.py:*")


@pytest.mark.parametrize("name", ["check_control_flow", "check_grads"])
def test_a_debugger_begins_in_the_test(project: Project, name: str) -> None:
    project.write(TEST.format(BODIES[name]))
    pytest_ = project._getpytestargs()
    result = project.pytester.run(*pytest_, "--pdb", "--graph-backends=numpy", "-p", "no:cacheprovider", stdin=b"q\n")
    result.stdout.fnmatch_lines([f"> *test_net.py({LINE})test_it()"])
