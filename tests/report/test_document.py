"""The JSON report: valid by its schema, the same under workers, and there whole also when a run is cut off."""

import json
import os
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest

import pytest_graphmode
from pytest_graphmode.report import document
from pytest_graphmode.report.document import read
from pytest_graphmode.report.recorded import MOST_VALUES, series_data
from tests.project import Project

SUITE = """
    @pytest.mark.graph_agree
    @pytest.mark.parametrize("size", [1, 2])
    def test_net(graphmode, size):
        f = graphmode.function(lambda x: x)
        f(1), f(2.0)
        for step in range(3):
            graphmode.agree(loss=1.0 / (step + 1) + (size == 2 and graphmode.mode == "graph" and step == 1))
            graphmode.tap("h", graphmode.tensor([1.0, 2.0 * size]))

    @pytest.mark.graph_rebuilds(0)
    def test_limit(graphmode):
        f = graphmode.function(abs)
        f(-1), f(-2.0)

    @pytest.mark.graph_skip("toy", reason="not today")
    def test_skip(graphmode):
        graphmode.function(abs)(-1)

    def test_plain(graph_ledger):
        import toylib
        toylib.jit(abs)(-1)

    def test_other():
        pass
"""
BACKENDS = "--graph-backends=numpy,toy"


def checked(folder: Path) -> dict[str, Any]:
    """The report, valid by the schema that ships with the package."""
    report = read(folder / "out" / "report.json")
    assert [path.name for path in (folder / "out").iterdir()] == ["report.json"]
    schema = json.loads((Path(pytest_graphmode.__file__).parent / "report" / "schema.json").read_text(encoding="utf-8"))
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(report)
    return report


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not k.endswith("seconds") and k != "started"}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


@pytest.fixture
def report(toy: Project) -> dict[str, Any]:
    toy.write(SUITE, "test_suite")
    toy.run(BACKENDS, "--graph-json=out/report.json").says("*graph report written to*")
    return checked(toy.path)


def test_the_report_of_a_run(report: dict[str, Any]) -> None:
    tests = {test["test"].partition("::")[2]: test for test in report["tests"]}
    assert list(tests) == ["test_limit", "test_net[1]", "test_net[2]", "test_plain", "test_skip"]
    assert [(one["shown"], one["outcome"]) for one in tests["test_skip"]["variants"]] == [
        ("numpy-eager-cpu", "passed"),
        ("toy-graph-cpu", "skipped"),
    ]
    limit = tests["test_limit"]["variants"][1]
    assert limit["outcome"] == "failed"
    assert limit["text"].startswith("1 rebuild, at most 0 allowed")
    assert (limit["counts"]["builds"], limit["counts"]["rebuilds"]) == (2, 1)
    assert limit["events"][1]["causes"][0]["hint"] == "pass one type"
    (plain,) = tests["test_plain"]["variants"]
    assert (plain["shown"], plain["modes"]["toy:graph"]["operations"]) == ("toy:graph", 1)
    assert report["environment"]["backends"] == ["numpy", "toy"]
    assert report["run"]["finished"] is True


def test_agreement_series_and_taps(report: dict[str, Any]) -> None:
    agree, disagree = (test for test in report["tests"] if "test_net" in test["test"])
    assert agree["agreement"]["verdict"] == "agree"
    found = disagree["agreement"]
    assert found["verdict"] == "disagree"
    assert "step 1, the first of 3 to differ" in found["text"]
    (pair,) = found["pairs"]
    assert [(one["name"], one["step"]) for one in pair["differences"]] == [("loss", 1)]
    assert [(tap["name"], tap["error"]) for tap in pair["taps"]] == [("h", 0.0)]
    assert found["tolerance"]["by_dtype"] == {"float32": [1.3e-06, 1e-05]}
    (series,) = disagree["variants"][1]["series"]
    assert series["values"] == [1.0, 1.5, 1.0 / 3]
    assert disagree["variants"][1]["taps"][0]["of"] == "rms"


def test_the_timeline_and_the_graphs(report: dict[str, Any]) -> None:
    tests = {test["test"].partition("::")[2]: test for test in report["tests"]}
    variant = tests["test_net[1]"]["variants"][1]
    first, second = variant["events"]
    assert 0 <= first["begun_seconds"] <= first["ended_seconds"] <= second["begun_seconds"] <= second["ended_seconds"]
    assert [stretch["calls"] for stretch in variant["stretches"]] == [{"toy:graph": 1}] * 2
    assert [stretch["begun_seconds"] for stretch in variant["stretches"]] == [
        first["ended_seconds"],
        second["ended_seconds"],
    ]
    drawn = [report["graphs"][event["graph"]]["nodes"] for event in variant["events"]]
    assert [nodes[0]["dtype"] for nodes in drawn] == ["int", "float"]
    assert drawn[0][1] == {
        "id": 1,
        "operation": "<lambda>",
        "name": "",
        "kind": "operation",
        "inputs": [0],
        "dtype": None,
        "shape": None,
    }
    others = tests["test_net[2]"]["variants"][1]["events"]
    assert [event["graph"] for event in others] == [event["graph"] for event in variant["events"]]
    assert report["graphs_left_out"] == 0


def test_graphs_of_tests_that_passed_are_left_out_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def variant(outcome: str, name: str) -> dict[str, Any]:
        return {"outcome": outcome, "events": [{"graph": {"nodes": [name]}}, {"graph": None}]}

    monkeypatch.setattr(document, "MOST_OF_GRAPHS", 50)
    tests = [{"variants": [variant("passed", "first"), variant("passed", "first"), variant("failed", "second")]}]
    graphs, left_out = document._shared_graphs(tests)
    assert (graphs, left_out) == ([{"nodes": ["second"]}, {"nodes": ["first"]}], 0)
    monkeypatch.setattr(document, "MOST_OF_GRAPHS", 30)
    tests = [{"variants": [variant("passed", "first"), variant("failed", "second")]}]
    assert document._shared_graphs(tests) == ([{"nodes": ["second"]}], 1)
    assert [one["events"][0]["graph"] for one in tests[0]["variants"]] == [None, 0]


def test_variants_that_an_agreement_ran_are_reported_too(toy: Project) -> None:
    toy.write(SUITE, "test_suite")
    toy.run(BACKENDS, "--graph-json=out/report.json", "-k", "agreement and 1")
    (test,) = checked(toy.path)["tests"]
    assert [one["outcome"] for one in test["variants"]] == ["passed", "passed"]


@pytest.mark.slow
def test_workers_change_nothing_but_times(toy: Project, report: dict[str, Any]) -> None:
    pytest.importorskip("xdist")
    toy.run(BACKENDS, "--graph-json=out/report.json", "-n2", apart=True)
    assert timeless(checked(toy.path)) == timeless(report)


@pytest.mark.slow
def test_a_worker_that_dies(toy: Project) -> None:
    pytest.importorskip("xdist")
    toy.write("""
        import os
        import pytest

        @pytest.fixture
        def dying():
            os._exit(1)

        def test_a(graphmode):
            graphmode.function(abs)(-1)
            if graphmode.mode == "graph":
                os._exit(1)

        def test_b(graph_ledger, dying): pass

        def test_c(graphmode, dying): pass

        def test_d(dying): pass
    """)
    toy.run("--graph-backends=numpy,toy", "--graph-dtypes=complex64", "--graph-json=out/report.json", "-n1", apart=True)
    report = checked(toy.path)
    found = {test["test"].partition("::")[2]: test["variants"] for test in report["tests"]}
    assert {name: [(one["shown"], one["outcome"]) for one in variants] for name, variants in found.items()} == {
        "test_a": [("numpy-eager-cpu-complex64", "passed"), ("toy-graph-cpu-complex64", "crashed")],
        "test_b": [("", "crashed")],
        "test_c": [("numpy-eager-cpu-complex64", "crashed"), ("toy-graph-cpu-complex64", "crashed")],
    }
    assert report["run"]["finished"] is True


@pytest.mark.parametrize("options", [(), pytest.param(("-n1",), marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", ["setup", "call"])
def test_an_interrupted_test_is_unfinished(toy: Project, options: tuple[str, ...], place: str) -> None:
    if options:
        pytest.importorskip("xdist")
    toy.write(f"""
        @pytest.fixture
        def interrupted():
            if {place == "setup"}:
                raise KeyboardInterrupt

        def test_a(graph_ledger, interrupted):
            raise KeyboardInterrupt
    """)
    toy.run("--graph-json=out/report.json", *options, apart=bool(options))
    report = checked(toy.path)
    (test,) = report["tests"]
    assert [(one["outcome"], one["text"]) for one in test["variants"]] == [("unfinished", None)]
    assert report["run"]["finished"] is False


def test_an_interrupted_run(toy: Project) -> None:
    toy.write("""
        def test_a(graphmode):
            graphmode.function(abs)(-1)
            if graphmode.mode == "graph":
                raise KeyboardInterrupt
    """)
    toy.run(BACKENDS, "--graph-json=out/report.json")
    report = checked(toy.path)
    assert report["run"]["finished"] is False
    assert [one["outcome"] for one in report["tests"][0]["variants"]] == ["passed", "unfinished"]


@pytest.mark.parametrize(
    ("options", "last", "finished", "exit_code"),
    [
        ((), "assert 0", True, 1),
        (("-x",), "assert 0", False, 1),
        (("--maxfail=2",), "pass", True, 1),
        ((), "pytest.exit('enough', returncode=0)", False, 0),
        pytest.param(("-n2",), "assert 0", True, 1, marks=pytest.mark.slow),
        pytest.param(("-n2", "-x"), "assert 0", False, 2, marks=pytest.mark.slow),  # to xdist it is an interruption
    ],
)
def test_a_run_that_stops_early_is_not_finished(
    toy: Project, options: tuple[str, ...], last: str, finished: bool, exit_code: int
) -> None:
    if "-n2" in options:
        pytest.importorskip("xdist")
    toy.write(f"""
        @pytest.mark.parametrize("number", range(20))
        def test_a(graph_ledger, number):
            if number == 1:
                assert 0
            if number == 2:
                {last}
    """)
    toy.run("--graph-json=out/report.json", *options, apart="-n2" in options)
    run = checked(toy.path)["run"]
    assert (run["finished"], run["exit"]) == (finished, exit_code)


@pytest.mark.parametrize("option", ["--collect-only", "--fixtures", "--fixtures-per-test"])
def test_where_no_test_runs_an_earlier_report_stays(toy: Project, option: str) -> None:
    toy.write("def test_a(graphmode): graphmode.function(abs)(-1)", "test_suite")
    toy.run(BACKENDS, "--graph-json=out/report.json", passed=2)
    before = checked(toy.path)
    result = toy.run(BACKENDS, "--graph-json=out/report.json", option)
    assert checked(toy.path) == before
    result.says("*no graph report written to *: no test ran*")


@pytest.mark.parametrize("option", ["graph-json", "graph-html"])
def test_a_file_that_can_not_be_written_is_found_at_once(toy: Project, option: str) -> None:
    if option == "graph-html":
        pytest.importorskip("jinja2")
    toy.write("def test_a(): assert 0", "test_suite")
    (toy.path / "taken").write_text("x", encoding="utf-8")
    toy.run(f"--{option}=taken/report").refuses(f"--{option}=taken/report: the file can't be written: *")
    toy.run(f"--{option}=.").refuses(f"--{option}=*: there is a folder of this name: name a file")


@pytest.mark.parametrize("option", ["graph-json", "graph-html"])
def test_what_a_link_leads_to_is_written(toy: Project, option: str) -> None:
    if option == "graph-html":
        pytest.importorskip("jinja2")
    toy.write("def test_a(graphmode): graphmode.function(abs)(-1)", "test_suite")
    link, file = toy.path / "link", toy.path / "there" / "report"
    link.symlink_to(Path("there") / "report")
    toy.run("--graph-backends=toy", f"--{option}=link", passed=1)
    assert link.is_symlink()
    assert file.stat().st_size > 1000
    (toy.path / "loop").symlink_to("loop")
    result = toy.run("--graph-backends=toy", f"--{option}=loop")
    result.refuses(f"*--{option}=loop: the file can't be written: *symbolic link*")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_is_no_file_is_left_alone(toy: Project) -> None:
    toy.write("def test_a(): assert 0", "test_suite")
    os.mkfifo(toy.path / "pipe")
    (toy.path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        toy.run(f"--graph-json={name}").refuses("*: it is a device, a pipe or the run's own output: name a file")
    assert (toy.path / "pipe").is_fifo()


@pytest.mark.parametrize("length", [250, 300])
def test_a_name_that_is_too_long(toy: Project, length: int) -> None:
    toy.run(f"--graph-json={'x' * length}").refuses("*--graph-json=*xxx: * name too long")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--graph-lock=a/lock", "--graph-json=a/../a/lock"), "--graph-lock=a/lock: --graph-json=a/../a/lock writes"),
        (("--graph-json=a/x", "--graph-html=link"), "--graph-html=link: --graph-json=a/x writes"),
        (("--graph-json=x", "--junitxml=x"), "--graph-json=x: --junitxml=x writes"),
        (("-ograph_json=x", "--graph-lock=x"), "--graph-lock=x: -o graph_json=x writes"),
    ],
)
def test_two_options_never_write_one_file(toy: Project, options: tuple[str, ...], said: str) -> None:
    (toy.path / "link").symlink_to(Path("a") / "x")
    toy.run(*options).refuses(f"*{said} this file too: give each a file of its own")


def test_a_report_that_is_only_read_may_be_one_that_a_run_writes(toy: Project) -> None:
    toy.write("def test_a(graphmode): graphmode.function(abs)(-1)", "test_suite")
    toy.run("--graph-backends=toy", "--graph-json=x")
    toy.makeini("[pytest]\ngraph_json=x")
    toy.run("--graph-lock=y", "--graph-lock-from=x").says("y written, 1 line:")


def test_junit_holds_none_of_it(toy: Project) -> None:
    toy.write(SUITE, "test_suite")
    toy.run(BACKENDS, "--graph-json=out/report.json", "--junitxml=junit.xml", "-k", "limit")
    entries = list(xml.etree.ElementTree.parse(toy.path / "junit.xml").iter("property"))
    assert entries
    assert max(len(str(entry.get("value"))) for entry in entries) < 400


def test_a_long_series_is_thinned() -> None:
    (series,) = series_data({"loss": [{"loss": float(step)} for step in range(2 * MOST_VALUES + 1)]})
    assert (series["steps"], series["every"], len(series["values"])) == (2001, 3, 667)
    assert series["values"][:3] == [0.0, 3.0, 6.0]
    (series,) = series_data({"loss": [{"loss": float("nan")}, {"loss": float("-inf")}]})
    assert series["values"] == ["nan", "-inf"]
    assert series_data({"name": [{"name": "text"}]}) == []
