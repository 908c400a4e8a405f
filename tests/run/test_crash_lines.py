"""Failures of the checks, and of wrong calls, point at the line of the test: in one line, and in a debugger."""

from __future__ import annotations

import pytest

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
HEAD = """
import numpy as np

def branch(x):
    if x > 0:
        return x * 2
    return x - 1

def test_it(graphmode):
    """


def project(pytester: pytest.Pytester, body: str) -> int:
    """A test with this body; the number of the line that it stands in."""
    pytester.makepyfile(test_it=HEAD.strip() + "\n    " + body)
    return HEAD.strip().count("\n") + 2


@pytest.mark.parametrize("name", BODIES)
def test_the_one_line_of_a_failure_is_the_test_s(pytester: pytest.Pytester, name: str) -> None:
    line = project(pytester, BODIES[name])
    result = pytester.runpytest_inprocess("--tb=line", "--graph-backends=numpy", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*test_it.py:{line}: *"])


def test_an_error_of_the_user_s_function_is_at_its_own_line(pytester: pytest.Pytester) -> None:
    project(pytester, "graphmode.check_control_flow(lambda x: [][1], [(1.0,)])")
    result = pytester.runpytest_inprocess("--tb=short", "--graph-backends=numpy", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*lambda x: [[][]][[]1]*", "E   IndexError: *"])
    result.stdout.no_fnmatch_line("*pytest_graphmode/*.py:*")


@pytest.mark.parametrize("name", ["check_control_flow", "check_grads"])
def test_a_debugger_begins_in_the_test(pytester: pytest.Pytester, name: str) -> None:
    line = project(pytester, BODIES[name])
    arguments = pytester._getpytestargs()
    result = pytester.run(*arguments, "--pdb", "--graph-backends=numpy", "-p", "no:cacheprovider", stdin=b"q\n")
    result.stdout.fnmatch_lines([f"> *test_it.py({line})test_it()"])
