"""The HTML report as a file: made from the JSON alone, whole or not at all, and nothing in it is markup of a test."""

import base64
import gzip
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_graphmode.__main__ import main
from pytest_graphmode.report import html, overview
from tests.project import Project
from tests.report import many

pytest.importorskip("jinja2")
SUITE = """
    @pytest.mark.graph_agree
    def test_net(graphmode):
        f = graphmode.function(lambda x: x)
        f(1), f(2.0)
        for step in range(3):
            graphmode.agree(loss=1.0 / (step + 1))

    @pytest.mark.graph_rebuilds(0)
    def test_limit(graphmode):
        f = graphmode.function(abs)
        f(-1), f(-2.0)
"""
BACKENDS = "--graph-backends=numpy,toy"
EVIL = "</script><img src=x onerror=alert(1)>"


def chunk(page: str, name: str) -> Any:
    match = re.search(rf'<script type="text/plain" id="{name}">([A-Za-z0-9+/=]+)</script>', page)
    assert match is not None
    return json.loads(gzip.decompress(base64.b64decode(match[1])))


def written(folder: Path, report: dict[str, Any]) -> str:
    (folder / "r.json").write_text(json.dumps(report), encoding="utf-8")
    assert main(["report", str(folder / "r.json")]) == 0
    return (folder / "r.html").read_text(encoding="utf-8")


def test_a_run_writes_the_page_that_the_command_makes_of_its_json(toy: Project) -> None:
    toy.write(SUITE, "test_suite")
    toy.run(BACKENDS, "--graph-json=out/r.json", "--graph-html=out/r.html").says("*graph report written to*r.html*")
    assert sorted(path.name for path in (toy.path / "out").iterdir()) == ["r.html", "r.json"]
    page = (toy.path / "out" / "r.html").read_text(encoding="utf-8")
    assert main(["report", "out/r.json", "-o", "made/later.html"]) == 0
    assert (toy.path / "made" / "later.html").read_text(encoding="utf-8") == page
    assert "1 rebuild, at most 0 allowed" in page
    report = json.loads((toy.path / "out" / "r.json").read_text(encoding="utf-8"))
    assert chunk(page, "test-1")["agreement"] == report["tests"][1]["agreement"]


def test_the_page_alone_has_the_same_facts(toy: Project) -> None:
    toy.write(SUITE, "test_suite")
    toy.run(BACKENDS, "--graph-html=r.html")
    page = (toy.path / "r.html").read_text(encoding="utf-8")
    test = chunk(page, "test-1")
    assert [len(variant["events"]) for variant in test["variants"]] == [0, 2]
    drawn = [event["graph"] for event in test["variants"][1]["events"]]
    assert None not in drawn
    assert [chunk(page, f"graph-{index}")["nodes"][1]["operation"] for index in drawn] == ["<lambda>", "<lambda>"]
    assert test["variants"][1]["series"][0]["values"] == [1.0, 0.5, 0.3333333]


@pytest.mark.slow
def test_under_workers(toy: Project) -> None:
    pytest.importorskip("xdist")
    toy.write(SUITE, "test_suite")
    toy.run(BACKENDS, "--graph-html=r.html", "-n1", apart=True)
    assert [path.name for path in toy.path.glob("*.html")] == ["r.html"]
    assert len(chunk((toy.path / "r.html").read_text(encoding="utf-8"), "test-1")["variants"]) == 2


def test_the_made_up_reports_of_these_tests_are_valid() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(html.__file__).parent / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(many.report())


def test_no_text_of_a_test_is_markup(tmp_path: Path) -> None:
    page = written(tmp_path, many.report(name=EVIL, text=EVIL))
    assert "<img" not in page
    assert page.count("<script>") == 1
    assert "&lt;/script&gt;&lt;img src=x" in page
    assert chunk(page, "test-0")["agreement"]["text"] == EVIL


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = written(tmp_path, many.report())
    assert re.search(
        r"content=\"default-src 'none'; script-src 'sha256-[^']+' 'unsafe-eval'; style-src 'unsafe-inline'\"", page
    )
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    for licensed in ("Copyright (c) 2022 Leon Sorokin", "Copyright (c) 2012-2014 Chris Pettitt"):
        assert licensed in page


def test_names_that_no_encoding_has(tmp_path: Path) -> None:
    page = written(tmp_path, many.report(name="test_\udc80"))
    assert "test_\\udc80" in page


def test_many_long_series_are_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_MOST_NUMBERS", 8000)
    page = written(tmp_path, many.report(tests=2, steps=1000))
    (series,) = chunk(page, "test-0")["variants"][0]["series"]
    assert (series["steps"], series["every"], len(series["values"])) == (1000, 2, 500)


def changed(name: str, value: Any) -> str:
    report = many.report()
    report["tests"][0]["variants"][0][name] = value
    return json.dumps(report)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "r.json: the report is damaged, or is none of this plugin's"),
        ("[]", "r.json: it is no report of --graph-json"),
        ('{"schema": 99, "tests": []}', "its schema version is 99"),
        ('{"schema": 1, "tests": [{}]}', "r.json: the report is damaged: the report has no 'run': make it again, with"),
        (json.dumps(many.report() | {"graphs": 3}), "the report is damaged: graphs is int, not array"),
        (changed("outcome", "lost"), "tests[0].variants[0].outcome is 'lost', not one of passed, failed"),
        (changed("seconds", True), "tests[0].variants[0].seconds is bool, not number"),
        (changed("series", [{}]), "tests[0].variants[0].series[0] has no 'name'"),
        (changed("variant", 3), "tests[0].variants[0].variant is int, not object"),
        (changed("modes", {"tf:graph": 1}), "tests[0].variants[0].modes.tf:graph is int, not object"),
    ],
)
def test_what_is_no_report_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "r.json")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("out", "said"),
    [("taken/r.html", "the page can't be written"), (".", "it is a folder"), ("r.json", "would replace the report")],
)
def test_a_page_that_can_not_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, out: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.json").write_text(json.dumps(many.report()), encoding="utf-8")
    Path("taken").touch()
    with pytest.raises(SystemExit):
        main(["report", "r.json", "-o", out])
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "taken"]


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report", "nothing.json"])
    assert "nothing.json: the report can't be read: No such file" in capsys.readouterr().err


def test_without_jinja(toy: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("pytest_graphmode.report.html.find_spec", lambda name: None if name == "jinja2" else find(name))
    result = toy.run("--graph-html=r.html")
    result.refuses("*--graph-html=r.html: *needs Jinja2: pip install 'pytest-graphmode[[]html]'")
    with pytest.raises(SystemExit):
        main(["report", "r.json"])
    assert "pip install 'pytest-graphmode[html]'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_without_the_option_imports_none_of_it(toy: Project) -> None:
    toy.makepyfile(
        test_suite="""
        import sys

        def test_a(graphmode):
            graphmode.function(abs)(-1)
            assert not {"jinja2", "pytest_graphmode.report.html", "pytest_graphmode.report.overview"} & set(sys.modules)
        """
    )
    assert toy.run(BACKENDS, "--graph-json=r.json", apart=True).ret == 0
    assert toy.run(BACKENDS, "--graph-html=r.html", apart=True).ret == 1


def test_how_a_variant_got_on() -> None:
    test = many.report()["tests"][0]
    found = [overview.agreement_of(test["agreement"], variant["shown"]) for variant in test["variants"]]
    assert found == ["reference", "agrees", "differs", "agrees"]
    assert overview.agreement_of(None, "tf-graph-cpu") == overview.NONE
    for verdict, word in (("not compared", "not compared"), ("failed", "failed")):
        assert overview.agreement_of(test["agreement"] | {"verdict": verdict, "pairs": []}, "x") == word


def test_what_to_know_of_a_variant_first() -> None:
    test = many.report()["tests"][0]
    rebuilt, failed = test["variants"][1:3]
    assert overview.why(test, rebuilt) == "x changed shape [32, 3] -> [7, 3]: an input_signature with None"
    assert overview.why(test, failed).startswith("it failed. loss: torch-compile-cpu 0.68")
    passed = failed | {"outcome": "passed", "text": None}
    assert overview.why(test, passed).startswith("loss: torch-compile-cpu 0.68")
    plain = rebuilt | {"events": [], "breaks": [{"function": "f", "where": "a.py:3", "reason": "item()"}]}
    assert overview.why(test, plain) == "a.py:3: item()"
    assert overview.why(test, failed | {"text": "word " * 200}).endswith("...")


def test_an_agreement_item_that_failed_for_another_reason() -> None:
    report = many.report(text="nothing was recorded\nmore")
    agreement = report["tests"][0]["agreement"]
    agreement.update(verdict="failed", pairs=[])
    shown = overview.of(report)
    assert shown["summary"][-1] == ("agreement item failed", 1, "agreement", "failed")
    assert shown["rows"][0]["why"] == "nothing was recorded"
    assert shown["rows"][0]["agreement"] == "failed"


@pytest.mark.parametrize(("recorded", "bad"), [(False, (1, 2, 3)), (True, (2, 3))])
def test_rebuilds_of_a_plain_test_are_marked_as_those_of_variants(recorded: bool, bad: tuple[int, ...]) -> None:
    test = many.report()["tests"][0]
    variant = test["variants"][0] | {"variant": None, "static": False}
    modes = {"torch:eager": {"rebuilds": 3, "recorded": True}, "torch:compile": {"rebuilds": 1, "recorded": recorded}}
    assert overview.row(0, test, variant | {"modes": modes})["bad"] == bad
    assert overview.row(0, test, test["variants"][1])["bad"] == (2, 3)


def test_calls_that_nobody_counted_are_no_number() -> None:
    test = many.report()["tests"][0]
    variant = test["variants"][0]
    unknown = variant | {"counts": variant["counts"] | {"calls_known": False}}
    assert overview.row(0, test, unknown)["counts"][4] is None
    assert overview.row(0, test, variant | {"counts": None})["counts"] == [None] * 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, overview.NONE), (0, "0 s"), (3e-8, "30 ns"), (2.5e-5, "25 \u00b5s"), (0.3, "300 ms"), (1234.4, "1234 s")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert overview.duration(seconds) == text
