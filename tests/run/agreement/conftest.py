"""A project with three backends on NumPy: `ref` and `third`, which agree, and `off`, which is 0.1 % off."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from tests.run.agreement.kept import KEPT, NET

CONFTEST = """
import numpy as np
import pytest
from pytest_graphmode import BackendSpec
from pytest_graphmode.backends.numpy import NumPy, NumPyEager

class Ref(NumPy):
    name = "ref"

class Third(NumPy):
    name = "third"

class Off(NumPy):
    name = "off"

    def mode(self, name, device):
        return Inexact()

class Inexact(NumPyEager):
    def tensor(self, array, dtype):
        made = np.array(array, dtype)
        return made * made.dtype.type(1.001) if made.dtype.kind == "f" else made

def pytest_graphmode_backends():
    return [
        BackendSpec(name, ("eager",), "eager", "numpy", ("numpy",), f"conftest:{name.title()}")
        for name in ("ref", "off", "third")
    ]
"""
HEAD = """
import numpy as np
import pytest

agree = pytest.mark.graph_agree
"""
Run = Callable[..., pytest.RunResult]


class Project:
    """A folder of tests, and runs of pytest in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeconftest(CONFTEST)

    def write(self, text: str, name: str = "test_net") -> None:
        self.pytester.makepyfile(**{name: HEAD + textwrap.dedent(text)})

    def run(self, *args: str, backends: str = "ref,third", run: Run | None = None) -> pytest.RunResult:
        """Run all tests, or what `args` select, in this process."""
        run = run or self.pytester.runpytest_inprocess
        return run(f"--graph-backends={backends}", "-v", "-rA", *args)

    def check(self, text: str, *args: str, backends: str = "ref,third") -> pytest.RunResult:
        self.write(text)
        return self.run(*args, backends=backends)


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture
def kept(project: Project) -> Project:
    """A project with one test, and the record of its `ref` variant."""
    project.write(NET)
    project.run(KEPT, backends="ref").assert_outcomes(passed=1, skipped=1)
    return project
