"""Subtests, of pytest and of unittest, in what is told of their tests."""

from typing import Any

import pytest

from pytest_graphmode.report.document import Gathered, read
from tests.project import Project

SUITE = """
import unittest

def test_failing(graphmode, subtests):
    graphmode.function(abs)(-1)
    for name in ("a", "b"):
        with subtests.test(name):
            assert name == "a", "that is none"

@pytest.mark.graph_agree
def test_skipping(graphmode, subtests):
    graphmode.agree(x=graphmode.function(abs)(-1))
    with subtests.test("c"):
        pytest.skip("no c")

@pytest.mark.graph_rebuilds(0)
class TestCase(unittest.TestCase):
    def test_failing(self):
        import toylib
        toylib.jit(abs)(-1)
        for i in range(3):
            with self.subTest(i=i):
                assert i != 1, "that is one"

    def test_passing(self):
        import toylib
        toylib.jit(abs)(-1)
        with self.subTest(i=1):
            pass
"""


@pytest.fixture
def tests(toy: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if not hasattr(pytest, "Subtests"):
        pytest.skip("this pytest has no subtests")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(toy.path / "summary.md"))
    toy.write(SUITE, "test_suite")
    toy.run("--graph-backends=numpy,toy", "--graph-json=r.json", "--graph-lock=g.lock", "--graph-lock-update")
    return {test["test"].partition("::")[2]: test for test in read(toy.path / "r.json")["tests"]}


def test_a_failed_subtest_fails_its_test(tests: dict[str, Any], toy: Project) -> None:
    of_case, of_function = tests["TestCase::test_failing"]["variants"][0], tests["test_failing"]["variants"][1]
    assert (of_case["outcome"], of_case["text"]) == ("failed", "AssertionError: that is one\nassert 1 != 1")
    assert of_function["outcome"] == "failed"
    assert "that is none" in of_function["text"]
    assert of_function["failed_at"]["line"] == 9
    assert "## Graphs of 4 tests: 3 failures\n" in (toy.path / "summary.md").read_text(encoding="utf-8")


def test_no_line_is_written_of_a_test_with_failed_subtests(tests: dict[str, Any], toy: Project) -> None:
    text = (toy.path / "g.lock").read_text(encoding="utf-8")
    assert "test_skipping" in text
    assert "test_passing" in text
    assert "test_failing" not in text


def test_a_skipped_subtest_changes_nothing(tests: dict[str, Any]) -> None:
    skipping = tests["test_skipping"]
    assert [(one["outcome"], one["text"]) for one in skipping["variants"]] == [("passed", None)] * 2
    assert skipping["agreement"]["verdict"] == "agree"


def test_seconds_are_the_calls() -> None:
    gathered = Gathered()
    phases = [("setup", 1.0), ("subtest", 2.0), ("subtest", 2.0), ("call", 4.0), ("teardown", 1.0)]
    for phase, seconds in phases:
        gathered.add("a", {"phase": phase, "outcome": "failed" if phase == "subtest" else "passed", "seconds": seconds,
                           "node": "a"})  # fmt: skip
    (item,) = gathered.items
    assert (item["outcome"], item["seconds"]) == ("failed", 6.0)
