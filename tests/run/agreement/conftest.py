"""A project with three backends on NumPy: `ref` and `third`, which agree, and `off`, which is 0.1 % off."""

import pytest

from tests.project import Project
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


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    pytester.makeconftest(CONFTEST)
    return Project(pytester, "ref,third", ("-v", "-rA"), HEAD.strip())


@pytest.fixture
def kept(project: Project) -> Project:
    """A project with one test, and the record of its `ref` variant."""
    project.write(NET)
    project.run(KEPT, backends="ref", passed=1, skipped=1)
    return project
