"""What a JUnit file holds of graphs: properties of variants, plain tests and agreement items, each once."""

import json
import xml.etree.ElementTree

import pytest

from tests.project import Project

SUITE = """
    @pytest.mark.graph_agree
    @pytest.mark.parametrize("shift", [0.0, 1e-7, 0.5])
    def test_net(graphmode, shift):
        f = graphmode.function(lambda x: x)
        f(1), f(2.0)
        for step in range(3):
            graphmode.agree(loss=2.0, other=1.0 + (graphmode.mode == "graph" and step == 1) * shift)

    @pytest.mark.graph_rebuilds(0)
    def test_limit(graphmode):
        f = graphmode.function(abs)
        f(-1), f(-2.0)

    @pytest.mark.graph_rebuilds(1)
    def test_limit_kept(graph_ledger):
        import toylib
        f = toylib.jit(abs)
        f(-1), f(-2.0)

    @pytest.mark.graph_agree
    def test_error(graphmode):
        graphmode.function(abs)(-1)
        raise ValueError("a \\x1b[31m & <b>")
"""
Found = dict[str, dict[str, str]]


def junit(toy: Project, *options: str) -> Found:
    """The properties of each test of a file that is well-formed, none of a name there twice but of rebuilders."""
    toy.write(SUITE, "test_suite")
    toy.run("--graph-backends=numpy,toy", "--junitxml=junit.xml", *options)
    found: Found = {}
    for case in xml.etree.ElementTree.parse(toy.path / "junit.xml").iter("testcase"):
        entries = [(entry.get("name", ""), entry.get("value", "")) for entry in case.iter("property")]
        names = [name for name, _ in entries if name != "graphmode_rebuilder"]
        assert len(names) == len(set(names))
        assert len(list(case.iter("properties"))) == 1
        assert case.get("name") not in found
        found[case.get("name", "")] = {name.removeprefix("graphmode_"): value for name, value in entries}
    return found


@pytest.mark.parametrize(
    "options", [("-ojunit_family=xunit2",), ("-ojunit_family=xunit1",), pytest.param(("-n2",), marks=pytest.mark.slow)]
)
def test_each_item_has_its_properties_once(toy: Project, options: tuple[str, ...]) -> None:
    if "-n2" in options:
        pytest.importorskip("xdist")
    found = junit(toy, *options)
    assert len(found) == 3 * 3 + 2 + 1 + 3
    graph = found["test_net[toy-graph-cpu-0.0]"]
    assert (graph["test"], graph["variant"]) == ("test_suite.py::test_net[0.0]", "toy-graph-cpu")
    assert (graph["builds"], graph["rebuilds"], graph["verdict"], graph["static"]) == ("2", "1", "no limits", "True")
    assert graph["build_seconds"] == "0.5"
    assert json.loads(graph["modes"]) == {
        "toy:graph": {"builds": 2, "rebuilds": 1, "breaks": 0, "fallbacks": 0, "calls": 2, "nodes": 2}
    }
    assert graph["causes"] == "<lambda>: value is a Python str that changed 'int' -> 'float'"
    agree = found["test_net[agreement-0.0]"]
    assert agree == {
        "test": "test_suite.py::test_net[0.0]",
        "verdict": "agree",
        "reference": "numpy-eager-cpu",
        "compared": "1",
        "worst_difference": "0.0",
        "worst": "other of toy-graph-cpu",
    }


def test_verdicts(toy: Project) -> None:
    found = junit(toy)
    limit = found["test_limit[toy-graph-cpu]"]
    assert limit["verdict"] == "broken"
    assert limit["reason"] == "1 rebuild, at most 0 allowed: value is a Python str that changed 'int' -> 'float'"
    assert "reason" not in found["test_limit_kept"]
    assert found["test_limit_kept"]["verdict"] == "kept"
    assert found["test_error[toy-graph-cpu]"]["verdict"] == "not judged"
    skipped = found["test_error[agreement]"]
    assert (skipped["verdict"], skipped["compared"]) == ("not compared", "0")
    assert skipped["reason"].startswith("numpy-eager-cpu, toy-graph-cpu failed, so the variants can't be compared")


def test_the_worst_difference_is_told_where_variants_agree_too(toy: Project) -> None:
    found = junit(toy)
    close, apart = found["test_net[agreement-1e-07]"], found["test_net[agreement-0.5]"]
    assert (close["verdict"], close["worst"]) == ("agree", "other of toy-graph-cpu")
    assert float(close["worst_difference"]) == pytest.approx(1e-7)
    assert (apart["verdict"], float(apart["worst_difference"])) == ("disagree", pytest.approx(0.5))
    assert apart["reason"].startswith("step 1, the first of 3 to differ: other: toy-graph-cpu 1.5, numpy-eager-cpu 1.0")


def test_agreement_items_are_in_no_table(toy: Project) -> None:
    toy.write(SUITE, "test_suite")
    result = toy.run("--graph-backends=toy", "--graph-report", "-k", "net")
    result.says("test, variant *")
    result.omits("  agreement*")
