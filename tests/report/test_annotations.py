"""Annotations of GitHub Actions: at the lines of the user's code, escaped, few, and printed there only."""

import sys
import types
from typing import Any

import pytest

from pytest_graphmode.report.annotations import Annotation, found_in
from tests.project import Project, Result

SUITE = """
    from pytest_graphmode import expect

    @pytest.mark.graph_rebuilds(0)
    def test_limit(graphmode):
        f = graphmode.function(lambda x: x)
        f(-1)
        f(-2.0)

    @pytest.mark.graph_agree(triage=False)
    def test_net(graphmode):
        f = graphmode.function(lambda x: x)
        f(1), f(2.0)
        graphmode.agree(loss=1.0 + (graphmode.mode == "graph"))

    def test_block(graphmode):
        f = graphmode.function(lambda x: x)
        with expect(rebuilds=0):
            f(1)
            f(2.0)

    @pytest.mark.graph_budget(nodes=0)
    def test_nodes(graphmode):
        graphmode.function(abs)(1)

    def test_plain_failure(graphmode):
        f = graphmode.function(lambda x: x)
        f(1), f(2.0)
        assert False

    @pytest.mark.graph_xfail("toy", reason="known")
    @pytest.mark.graph_rebuilds(0)
    def test_expected(graphmode):
        f = graphmode.function(lambda x: x)
        f(-1), f(-2.0)
"""
CAUSE = "value is a Python str that changed 'int' -> 'float': pass one type"


def commands(result: Result) -> list[str]:
    return [line for line in result.outlines if line.startswith("::")]


@pytest.fixture
def job(toy: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(toy.path / "summary.md"))
    toy.write(SUITE, "test_suite")
    return toy


@pytest.mark.parametrize("options", [(), pytest.param(("-n2",), marks=pytest.mark.slow)])
def test_each_failing_rebuild_and_disagreement_has_its_line(job: Project, options: tuple[str, ...]) -> None:
    if options:
        pytest.importorskip("xdist")
    result = job.run("--graph-backends=numpy,toy", *options)
    found = commands(result)
    block, limit, net, nodes = found
    who = "test_suite.py::test_limit (toy-graph-cpu)"
    assert limit == f"::error file=test_suite.py,line=7,title=graph rebuild::{who}: <lambda> was built again: {CAUSE}"
    assert block.startswith("::error file=test_suite.py,line=18,title=graph rebuild::test_suite.py::test_block ")
    assert net.startswith(
        "::error file=test_suite.py,line=11,title=variants disagree::test_suite.py::test_net: toy-graph-cpu does not "
        "agree with the reference, numpy-eager-cpu:%0A  loss: toy-graph-cpu 2.0, numpy-eager-cpu 1.0: they differ by 1 "
    )
    assert nodes == (
        "::error file=test_suite.py,line=23,title=graph counts::test_suite.py::test_nodes (toy-graph-cpu): 1 node, at "
        "most 0 allowed"
    )
    assert len((job.path / "summary.md").read_text(encoding="utf-8").split("## Graphs")) == 2


def test_paths_are_those_of_the_repository(job: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(job.path.parent))
    (found,) = commands(job.run("--graph-backends=toy", "-k", "limit"))
    assert found.startswith(f"::error file={job.path.name}/test_suite.py,line=7,")
    (job.path / "elsewhere").mkdir()
    monkeypatch.setenv("GITHUB_WORKSPACE", str(job.path / "elsewhere"))
    assert commands(job.run("--graph-backends=toy", "-k", "limit")) == []


def test_no_more_than_github_shows(job: Project) -> None:
    lines = "\n".join(f"    f = graphmode.function(lambda x: x); f({number}); f({number}.0)" for number in range(12))
    job.write(f"@pytest.mark.graph_rebuilds(0)\ndef test_limit(graphmode):\n{lines}\n", "test_suite")
    found = commands(job.run("--graph-backends=toy"))
    assert [line.partition("line=")[2].partition(",")[0] for line in found] == [str(5 + number) for number in range(10)]
    summary = (job.path / "summary.md").read_text(encoding="utf-8")
    assert "2 annotations left out, since GitHub shows 10 of a step." in summary


def test_nothing_of_it_elsewhere(job: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "false"):
        monkeypatch.setenv("GITHUB_ACTIONS", value)
        assert commands(job.run("--graph-backends=toy", "--graph-json=r.json")) == []
    assert not (job.path / "summary.md").exists()


def test_tests_that_never_heard_of_the_plugin(job: Project) -> None:
    job.write("def test_a(): assert False", "test_suite")
    assert commands(job.run()) == []
    assert not (job.path / "summary.md").exists()


def test_what_another_plugin_annotates_is_left_to_it(job: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where pytest shows each failure: at the test, or in it."""
    name = "pytest_github_actions_annotate_failures"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    found = commands(job.run("--graph-backends=numpy,toy", "-p", name))
    assert [line.partition(",title=")[0] for line in found] == [
        "::error file=test_suite.py,line=18",
        "::error file=test_suite.py,line=7",
    ]


# Facts as they are told.


def test_commands_are_escaped_as_github_reads_them() -> None:
    annotation = Annotation("a,b:c%.py", 3, "x: 1, 2", "100 %\r\nsecond: line, and ::error::")
    assert str(annotation) == (
        "::error file=a%2Cb%3Ac%25.py,line=3,title=x%3A 1%2C 2::100 %25%0D%0Asecond: line, and ::error::"
    )


def failed(text: str, **more: Any) -> dict[str, Any]:
    variant = {"shown": "torch-compile-cpu", "outcome": "failed", "text": text, "events": [], "breaks": []}
    place = {"file": "test_a.py", "line": 7}
    variants = [{**variant, "fallbacks": [], "failed_at": place, **more}]
    return {"test": "test_a.py::test_a", "file": "test_a.py", "line": 5, "variants": variants, "agreement": None}


def everywhere(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return file, int(line)


def test_a_rebuild_is_where_it_was_called() -> None:
    cause = {"text": "x changed shape [1] -> [2]", "hint": "pad it"}
    other = {"text": "y changed shape [3] -> [4]", "hint": "pad it"}
    event = {"function": "step", "call_site": "test_a.py:9", "location": "net.py:3", "rebuild": True, "causes": [cause]}
    events = [event, {**event, "call_site": None}, {**event, "causes": [other]}, {**event, "rebuild": False}]
    text = "1 rebuild, at most 0 allowed\n  x changed shape [1] -> [2]: pad it"
    called, defined = found_in([failed(text, events=events)], everywhere)
    assert called[:3] == ("test_a.py", 9, "graph rebuild")
    assert (
        called.message
        == "test_a.py::test_a (torch-compile-cpu): step was built again: x changed shape [1] -> [2]: pad it"
    )
    assert defined[:2] == ("net.py", 3)


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("was 0 rebuilds, now 1, because x changed shape [1] -> [2] (tf:graph, worse than in g.lock)", "graph rebuild"),
        ("was 0 breaks, now 1, was 1 rebuild, now 2 (tf:graph, worse than in g.lock)", "graph rebuild"),
        ("was 2 rebuilds, now 1 (tf:graph, better than in g.lock)", "graph counts"),
        ("was 9 operations, now 3 (tf:graph, worse than in g.lock)", "graph counts"),
    ],
)
def test_what_is_other_than_in_the_lock(head: str, title: str) -> None:
    cause = {"text": "x changed shape [1] -> [2]", "hint": ""}
    event = {"function": "step", "call_site": "test_a.py:9", "location": "net.py:3", "rebuild": True, "causes": [cause]}
    (found,) = found_in([failed(f"{head}\n  x changed shape [1] -> [2]", events=[event])], everywhere)
    assert (found.title, found.line) == (title, 9 if title == "graph rebuild" else 7)


def test_a_break_is_at_its_line() -> None:
    breaks = [
        {"function": "step", "where": "net.py:12", "reason": "print"},
        {"function": "other", "where": "net.py:30", "reason": "not of this block"},
    ]
    text = "AssertionError: 1 break, at most 0 allowed\n  graph break at net.py:12: print"
    (found,) = found_in([failed(text, breaks=breaks)], everywhere)
    assert found[:3] == ("net.py", 12, "graph break")
    assert found.message == "test_a.py::test_a (torch-compile-cpu): step: print"


def test_a_fallback_is_at_its_function() -> None:
    fallbacks = [{"function": "step", "location": "net.py:3", "reason": "recompile limit"}]
    text = "rebuilds can't be asserted\n  step (net.py:3) fell back to eager execution: recompile limit"
    (found,) = found_in([failed(text, fallbacks=fallbacks)], everywhere)
    assert found[:3] == ("net.py", 3, "fallback to eager execution")


def test_an_annotation_of_a_disagreement_has_what_triage_said_and_advises_however_many_taps_there_are() -> None:
    text = "\n".join(
        [
            "a does not agree with the reference, b:",
            *("  tap" for _ in range(20)),
            "Triage: no.",
            "Tap.",
            "To repeat it",
        ]
    )
    item = {"outcome": "failed", "text": text, "verdict": "disagree", "failed_at": None}
    (found,) = found_in([{**failed(""), "variants": [], "agreement": item}], everywhere)
    lines = found.message.splitlines()
    assert (len(lines), lines[-2:]) == (10, ["Triage: no.", "Tap."])


def test_what_is_in_no_file_of_the_repository_is_at_the_test() -> None:
    text = "1 break, at most 0 allowed\n  graph break at /lib/net.py:12: print"
    test = failed(text, breaks=[{"function": "step", "where": "/lib/net.py:12", "reason": "print"}])
    (found,) = found_in([test], lambda place: None if place.startswith("/") else everywhere(place))
    assert found[:2] == ("test_a.py", 7)
    assert found_in([test], lambda place: None) == []


def test_one_line_of_several_variants_has_one_annotation() -> None:
    breaks = [{"function": "step", "where": "net.py:12", "reason": "print"}]
    text = "1 break, at most 0 allowed\n  graph break at net.py:12: print"
    tests = [failed(text, breaks=breaks, shown=f"variant-{number}") for number in range(7)]
    (found,) = found_in(tests, everywhere)
    lines = found.message.splitlines()
    assert (len(lines), lines[-1]) == (6, "and 2 more")
    assert lines[0] != lines[1]
