"""Values that are no numbers, or too large for float64, in all that tells of what `agree` and taps recorded."""

import xml.etree.ElementTree
from typing import Any

import numpy as np
import pytest

from pytest_graphmode.records.disagreement import Allowed, Pair, Side
from pytest_graphmode.records.recording import Recording
from pytest_graphmode.report.document import read
from pytest_graphmode.report.recorded import series_data
from tests.project import Project

UNUSUAL: dict[str, Any] = {
    "large": 2**1024,
    "text": np.array(["x"]),
    "digits": np.array(["1"]),
    "pair": np.array([(1, 2.0)], dtype="i4,f4"),
    "day": np.array("2020-01-01", dtype="datetime64[D]"),
    "none": None,
}


@pytest.fixture(autouse=True)
def unusual(toy: Project) -> None:
    toy.write("""
        import numpy as np
        import pytest

        VALUES = {"large": 2**1024, "text": np.array(["x"]), "pair": np.array([(1, 2.0)], dtype="i4,f4"), "none": None}

        @pytest.mark.graph_agree
        @pytest.mark.parametrize("name", VALUES)
        def test_same(graphmode, name):
            graphmode.agree(a=VALUES[name])
            graphmode.tap("h", VALUES[name])

        @pytest.mark.graph_agree
        def test_mixed(graphmode):
            graphmode.agree(a=3.0 if graphmode.mode == "graph" else VALUES["text"])
    """)


@pytest.mark.parametrize("option", ["--graph-json=out.json", "--junitxml=out.xml"])
def test_no_report_changes_how_tests_end(toy: Project, option: str) -> None:
    result = toy.run("--graph-backends=numpy,toy", option, passed=14, failed=1)
    result.says("*a: toy-graph-cpu 3.0, numpy-eager-cpu array(*")
    if option.endswith("json"):
        tests = {test["test"].partition("::")[2]: test for test in read(toy.path / "out.json")["tests"]}
        assert [one["values"] for one in tests["test_same[large]"]["variants"][1]["series"]] == [["inf"]]
        assert tests["test_same[text]"]["variants"][1]["series"] == []
        assert tests["test_same[pair]"]["agreement"]["pairs"][0]["taps"][0]["error"] == 0
    else:
        entries = list(xml.etree.ElementTree.parse(toy.path / "out.xml").iter("property"))
        worst = [one.get("value") for one in entries if one.get("name") == "graphmode_worst_difference"]
        assert worst == [*["0.0"] * 4, "inf"]


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_value_is_as_far_from_itself_as_it_should_be(name: str) -> None:
    def side(value: Any) -> Side:
        return Side("a", "float32", "cpu", lambda: Recording(values={"a": [{"a": value}]}))

    same = Pair(side(UNUSUAL[name]), side(UNUSUAL[name]), Allowed()).worst_difference
    assert same is not None
    assert same[0] == 0


def test_series_of_numbers_alone() -> None:
    def values(*steps: Any) -> list[Any]:
        return [one["values"] for one in series_data({"a": [{"a": step} for step in steps]})]

    assert values(2**64, 2**1024, -(2**1024)) == [[float(2**64), "inf", "-inf"]]
    assert values(None, 2.0, "x") == [[None, 2.0, None]]
    assert values(np.finfo(np.longdouble).max) in ([["inf"]], [[float(np.finfo(np.longdouble).max)]])
    assert [values(UNUSUAL[name]) for name in ("text", "digits", "pair", "day", "none")] == [[]] * 5


@pytest.mark.parametrize("planted", ["report.recorded.series_data", "report.recorded.comparison_data"])
def test_a_fault_of_the_plugin_is_noted_and_breaks_no_run(
    toy: Project, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    def fail(*_: object) -> object:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(f"pytest_graphmode.{planted}", fail)
    of_variants = "series" in planted
    result = toy.run(
        "--graph-backends=numpy,toy",
        "-k",
        "same and large",
        "--graph-json=out.json",
        "-Werror",
        passed=3,
        deselected=12,
        warnings=2 if of_variants else 1,
    )
    result.says("*pytest-graphmode: * left out, since reading it failed (ZeroDivisionError: planted):*")
    (test,) = read(toy.path / "out.json")["tests"]
    notes = test["variants"][0]["notes"] if of_variants else [test["agreement"]["text"]]
    assert "left out, since reading it failed (ZeroDivisionError: planted)" in notes[0]


def test_a_worst_difference_that_is_not_found_breaks_no_run(toy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_graphmode.run.agreement.comparison.worst", lambda *_: 1 / 0)
    result = toy.run(
        "--graph-backends=numpy,toy", "-k", "same and large", "--junitxml=x.xml", passed=3, deselected=12, warnings=1
    )
    result.says("*pytest-graphmode: the worst difference is left out, since*")
