"""The Markdown summary of a job of GitHub Actions: what it says, what it escapes, how it is bounded and appended."""

from pathlib import Path
from typing import Any

import pytest

from pytest_graphmode.report.job_summary import summary
from tests.project import Project

COUNTS = {"builds": 2, "rebuilds": 1, "breaks": 0, "fallbacks": 0, "calls": 2, "nodes": 9, "calls_known": True}
ENVIRONMENT = {"frameworks": {"tf": {"package": "tf", "version": "2.21.0"}}, "python": "3.11.7", "platform": "linux"}


def variant(**more: Any) -> dict[str, Any]:
    return {"shown": "tf-graph-cpu", "outcome": "passed", "text": None, "counts": COUNTS, **more}


def report(*variants: dict[str, Any], test: str = "test_a.py::test_a", agreement: Any = None) -> dict[str, Any]:
    tests = [{"test": test, "variants": list(variants), "agreement": agreement}]
    return {"tests": tests if variants else [], "environment": ENVIRONMENT}


def test_a_table_and_the_failures_with_their_causes() -> None:
    failure = variant(shown="tf-eager-cpu", outcome="failed", text="1 rebuild\n  x changed")
    agreement = {"outcome": "passed", "verdict": "agree", "text": None}
    told = report(variant(), failure, variant(counts=None, outcome="skipped", text="no"), agreement=agreement)
    assert summary(told, 0) == (
        "## Graphs of 1 test: 1 failure\n\n"
        "tf 2.21.0, Python 3.11.7, linux\n\n"
        "**test\\_a.py::test\\_a**, tf-eager-cpu\n\n<pre>\n1 rebuild\n  x changed\n</pre>\n\n"
        "| test | variant | outcome | builds | rebuilds | breaks | fallbacks | calls | nodes |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|\n"
        "| test\\_a.py::test\\_a | tf-graph-cpu | passed | 2 | 1 | 0 | 0 | 2 | 9 |\n"
        "| test\\_a.py::test\\_a | tf-eager-cpu | failed | 2 | 1 | 0 | 0 | 2 | 9 |\n"
        "| test\\_a.py::test\\_a | tf-graph-cpu | skipped |  |  |  |  |  |  |\n"
        "| test\\_a.py::test\\_a | agreement | agree |  |  |  |  |  |  |\n"
        "\n"
    )


def test_what_markdown_and_html_would_read_is_escaped() -> None:
    text = summary(report(variant(outcome="failed", text="</pre><img src=x>|`"), test="t[a|b`c<i>_d_*e*\nf]"), 0)
    assert "| t\\[a\\|b\\`c&lt;i&gt;\\_d\\_\\*e\\* f\\] |" in text
    assert "<pre>\n&lt;/pre&gt;&lt;img src=x&gt;|`\n</pre>" in text


def test_a_test_that_passed_unexpectedly_is_no_failure() -> None:
    text = summary(report(variant(outcome="xpassed", text="expected to fail: slow")), 0)
    assert text.startswith("## Graphs of 1 test: 0 failures\n")
    assert "| xpassed | 2 |" in text
    assert "expected to fail" not in text


def test_calls_that_are_not_all_told_are_marked() -> None:
    assert "| 2? |" in summary(report(variant(counts={**COUNTS, "calls_known": False})), 0)


def test_it_fits_into_what_room_there_is() -> None:
    many = [variant(shown=f"v{number}", outcome="failed", text="é" * 9000) for number in range(300)]
    whole = summary(report(*many), 0)
    assert 900_000 < len(whole.encode()) < 1024 * 1024
    assert " failures more left out, for want of room\n" in whole
    small = summary(report(*many), 0, room=5000)
    assert 0 < len(small.encode()) <= 5000
    assert "300 failures more left out" in small
    assert " rows more left out, for want of room" in small
    assert summary(report(*many), 0, room=300) == ""
    assert summary(report(), 0) == ""


@pytest.mark.parametrize("text", ["e" * 9000, "é" * 9000, "<" * 9000])
def test_failures_leave_the_table_its_place(text: str) -> None:
    whole = summary(report(*[variant(shown=f"v{number}", outcome="failed", text=text) for number in range(1500)]), 0)
    assert len(whole.encode()) < 1024 * 1024
    assert whole.count("| failed |") == 1500
    shown = whole.count("<pre>")
    assert f"\n{1500 - shown} failures more left out, for want of room\n" in whole
    assert shown > 50
    assert "row" not in whole


def test_a_long_table_leaves_failures_half_of_the_room() -> None:
    told = [variant(shown=f"v{number}", outcome="failed", text="x" * 500) for number in range(20000)]
    whole = summary(report(*told), 0)
    failures, rows = whole.count("<pre>"), whole.count("| failed |")
    assert failures > 500
    assert rows > 5000
    assert f"{20000 - failures} failures more left out" in whole
    assert f"{20000 - rows} rows more left out" in whole


# Through pytest.


@pytest.fixture
def job(toy: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = toy.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    toy.write("def test_a(graphmode):\n    graphmode.function(abs)(-1)", "test_suite")
    return file


def test_it_is_appended_to_what_others_wrote(toy: Project, job: Path) -> None:
    job.write_text("# of another step\n", encoding="utf-8")
    for _ in range(2):
        toy.run("--graph-backends=toy", passed=1)
    text = job.read_text(encoding="utf-8")
    assert text.startswith("# of another step\n## Graphs of 1 test: 0 failures\n")
    assert text.count("| test\\_suite.py::test\\_a | toy-graph-cpu | passed | 1 | 0 | 0 | 0 | 1 | 1 |\n") == 2
    job.write_bytes(b"x" * 1024 * 1024)
    toy.run("--graph-backends=toy").says(f"no summary of graphs: {job} is full, as GitHub shows a mebibyte of a step")
    assert job.stat().st_size == 1024 * 1024


def test_a_summary_that_can_not_be_written_is_said_and_fails_nothing(toy: Project, job: Path) -> None:
    job.mkdir()
    result = toy.run("--graph-backends=toy")
    assert result.ret == pytest.ExitCode.OK
    result.says(f"the summary of graphs can't be written to {job}: *")


def test_a_job_without_a_summary_file(toy: Project, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    toy.run("--graph-backends=toy", passed=1)
    assert not job.exists()
