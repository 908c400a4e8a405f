"""`graph_within` and `graph_per_object` on code that torch compiles: whose breaks count, and what is a first build."""

from typing import Any

import pytest

pytest.importorskip("torch")

MODEL = """
import torch

def broken(x):
    y = x * 2
    print(end="")
    return y + 1

class Net(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = torch.nn.Linear(size, size)

    def forward(self, x):
        return self.linear(x)
"""
TEST = """
import pytest
import torch
from mypackage.model import Net, broken

@pytest.mark.graph_budget(breaks=0)
def test_breaks():
    torch.compile(broken, backend="eager")(torch.ones(2))

@pytest.mark.graph_rebuilds(0)
def test_objects():
    for size in (2, 3):
        torch.compile(Net(size), backend="eager", dynamic=False)(torch.ones(size))
"""


@pytest.fixture
def project(pytester: pytest.Pytester, dynamo: Any) -> pytest.Pytester:
    pytester.mkpydir("mypackage").joinpath("model.py").write_text(MODEL)
    pytester.makepyfile(test_net=TEST)
    pytester.syspathinsert()
    return pytester


def failed(project: pytest.Pytester, ini: str) -> tuple[list[str], str]:
    project.makeini(f"[pytest]\ngraph_report = true\n{ini}\n")
    result = project.runpytest_inprocess("-p", "no:cacheprovider")
    lines = [line.partition("::")[2].partition(" ")[0] for line in result.outlines if line.startswith("FAILED")]
    return lines, result.stdout.str()


def test_without_them_all_breaks_and_objects_count(project: pytest.Pytester) -> None:
    tests, text = failed(project, "")
    assert tests == ["test_breaks", "test_objects"]
    assert "graph break at mypackage/model.py:6: " in text
    assert "1 rebuild of Net.forward (mypackage/model.py:14) in test_net.py::test_objects, torch:compile" in text


@pytest.mark.parametrize(
    ("packages", "counted"),
    [("mypackage", True), ("mypackage.model", True), ("other, mypackage", True), ("other", False), ("my", False)],
)
def test_breaks_count_in_the_packages_that_are_named(project: pytest.Pytester, packages: str, counted: bool) -> None:
    tests, text = failed(project, f"graph_within = {packages}")
    assert tests == (["test_breaks", "test_objects"] if counted else ["test_objects"])
    assert f"  torch:compile      2        0      {counted:d}" in text


def test_the_first_build_of_another_object_is_none_again_where_objects_are_told_apart(project: pytest.Pytester) -> None:
    tests, text = failed(project, "graph_per_object = true")
    assert tests == ["test_breaks"]
    assert "worst rebuilders" not in text
