"""`examples/report/faults.py`: its tests fail as they say, and their report has something to show."""

import shutil
from pathlib import Path

import pytest

from pytest_graphmode.report.document import read

pytest.importorskip("jinja2")
FAULTS = Path(__file__).parents[2] / "examples" / "report" / "faults.py"


@pytest.mark.slow
def test_the_faults_are_in_the_report(frameworks: None, pytester: pytest.Pytester) -> None:
    shutil.copy(FAULTS, pytester.path)
    options = ("--graph-backends=tf,torch", "--graph-json=r.json", "--graph-html=r.html", "-p", "no:warnings")
    pytester.runpytest_inprocess(*options, "faults.py").assert_outcomes(passed=10, failed=5)
    report = read(pytester.path / "r.json")
    tests = {test["test"].partition("::")[2]: test for test in report["tests"]}
    assert [variant["counts"]["rebuilds"] for variant in tests["test_batches"]["variants"]] == [2, 2]
    assert [variant["counts"]["breaks"] for variant in tests["test_break"]["variants"]] == [1]
    assert [variant["counts"]["breaks"] for variant in tests["test_training"]["variants"]] == [0] * 4
    found = {name: tests[name]["agreement"]["pairs"] for name in ("test_training", "test_layers", "test_root")}
    assert {pair["differences"][0]["step"] for pair in found["test_training"] if not pair["agrees"]} == {7}
    assert {pair["first_tap"] for pair in found["test_layers"]} == {"norm"}
    assert all(pair["agrees"] for pair in found["test_root"])
    drawn = [
        report["graphs"][event["graph"]] for variant in tests["test_root"]["variants"] for event in variant["events"]
    ]
    assert all(any("bodies" in node for node in graph["nodes"]) for graph in drawn)
    assert (pytester.path / "r.html").stat().st_size < 3_000_000
