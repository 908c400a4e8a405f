"""Updates from the JSON report of another machine."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_graphmode.report.lock import COUNTED, Counts
from tests.run.lock.suite import ALL, NET_1, NET_2, ONE, PLAIN, UPDATE, Run, edit, locked


def test_an_update_from_a_report(run: Run) -> None:
    run("-k", "plain", UPDATE)
    edit("        f(-1)", "        f(-1), f(-2.0)")
    run("--graph-json=report.json", "-k", "net")
    result = run("--graph-lock-from=report.json")
    assert result.ret == 0
    assert result.outlines == ["graphs.lock written, 3 lines:", *(f"  {line}: new" for line in (NET_1, NET_2))]
    assert locked() == {NET_1: Counts(2, 1, 0, 0), NET_2: Counts(2, 1, 0, 0), PLAIN: ONE}
    assert run("--graph-lock-from=report.json").outlines == ["graphs.lock: nothing changed, 3 lines"]
    workers = ["-n2"] if find_spec("xdist") else []
    run("--graph-lock-from=report.json", f"{UPDATE}=operations", *workers)
    assert locked()[NET_1] == Counts(2, 1, 0, 0, 1, "unknown")


def test_operations_from_a_report_have_the_versions_of_its_machine(run: Run) -> None:
    run("--graph-json=report.json")
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    report["environment"]["frameworks"]["toy"]["version"] = "3.14.159+gpu"
    Path("report.json").write_text(json.dumps(report), encoding="utf-8")
    run("--graph-lock-from=report.json", f"{UPDATE}=operations")
    assert locked() == dict.fromkeys(ALL, Counts(1, 0, 0, 0, 1, "3.14"))


def test_what_failed_by_the_lock_alone_is_taken_and_all_else_is_named(
    run: Run, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("        f(-1)", "        f(-1), f(-2.0)")
    edit("    toylib.jit(abs)(-1)", "    toylib.jit(abs)(-1), toylib.jit(abs)(-1.0)\n    assert not 'broken'")
    Path("test_new.py").write_text(
        "import pytest\n\ndef test_new(graphmode):\n    graphmode.function(abs)(-1)\n\n"
        "def test_skipped(graphmode):\n    pytest.skip('not today')\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("CI", "true")
    run("--graph-json=report.json", failed=4, skipped=1)
    monkeypatch.delenv("CI")
    result = run("--graph-lock-from=report.json")
    assert result.outlines == [
        "graphs.lock written, 4 lines:",
        f"  {NET_1}: was 0 rebuilds, now 1",
        f"  {NET_2}: was 0 rebuilds, now 1",
        "  test_new.py::test_new toy:graph: new",
        "2 tests of the report left as they were:",
        "  test_a.py::test_plain: failed, AssertionError: assert not 'broken'",
        "  test_new.py::test_skipped[toy-graph-cpu]: skipped, not today",
    ]
    assert locked()[NET_1] == Counts(2, 1, 0, 0)
    assert locked()[PLAIN] == ONE


def test_what_failed_by_the_lock_and_when_it_was_torn_down_is_not_taken(run: Run, lock: Path) -> None:
    edit("import toylib", "import toylib\n\n@pytest.fixture\ndef broken():\n    yield\n    assert 0\n")
    edit("(graph_ledger)", "(graph_ledger, broken)")
    edit("    toylib.jit(abs)(-1)", "    toylib.jit(abs)(-1), toylib.jit(abs)(-1.0)")
    run("--graph-json=report.json", passed=2, failed=1, errors=1)
    assert run("--graph-lock-from=report.json").outlines[:2] == [
        "graphs.lock: nothing changed, 3 lines",
        "1 test of the report left as it was:",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "report.json: the report can't be read: No such file or directory"),
        ("{", "report.json: the report is damaged"),
        ("{}", "it is no report of --graph-json"),
        ('{"schema": 1, "tests": [3], "environment": {}}', "it is no report of --graph-json, or damaged"),
        ('{"schema": 1, "tests": [], "environment": {}}', "it is no report of --graph-json, or damaged"),
        (
            '{"schema": 1, "environment": {}, "tests": [{"test": "worker gw0: a", "variants": []}]}',
            "it is of a run with --dist=each",
        ),
        ('{"schema": 9, "tests": []}', "its schema version is 9"),
        ('{"schema": true, "tests": []}', "its schema version is True"),
    ],
)
def test_what_is_no_report_is_refused(run: Run, text: str | None, said: str) -> None:
    if text is not None:
        Path("report.json").write_text(text, encoding="utf-8")
    run("--graph-lock-from=report.json").refuses(f"--graph-lock-from=report.json: *{said}*")
    assert not Path("graphs.lock").exists()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("modes", "toy:graph", "builds"), -1, "builds of 'test_a.py::test_plain toy:graph' is -1, no count"),
        (("modes", "toy:graph", "builds"), 1.5, "is 1.5, no count"),
        (("modes", "toy:graph", "operations"), -3, "operations of 'test_a.py::test_plain toy:graph' is -3"),
        (("modes",), {"toy": {"recorded": False, **dict.fromkeys([*COUNTED, "operations"], 1)}}, "no test and backend"),
        (("variant",), {"backend": "toy", "mode": "", "device": "cpu", "dtype": "float32"}, "no test and backend:mode"),
    ],
)
def test_no_lock_is_written_that_the_next_run_would_refuse(
    run: Run, lock: Path, path: tuple[str, ...], value: object, said: str
) -> None:
    before = lock.read_bytes()
    run("--graph-json=report.json")
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    at = report["tests"][-1]["variants"][0]
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    Path("report.json").write_text(json.dumps(report), encoding="utf-8")
    run("--graph-lock-from=report.json").refuses(f"--graph-lock-from=report.json: the report is damaged: *{said}*")
    assert lock.read_bytes() == before


@pytest.mark.parametrize(
    "argument", ["-k=net", "-mslow", "test_a.py", "no_such_file.py", "--co", "--graph-json=other.json", "--lf"]
)
def test_what_is_of_a_run_is_refused_and_what_the_ini_file_has_is_not(run: Run, lock: Path, argument: str) -> None:
    run("--graph-json=report.json")
    result = run("--graph-lock-from=report.json", argument)
    result.refuses(f"*-from=report.json: it runs no test and writes no report: leave out {argument}")
    Path("tox.ini").write_text(f"[pytest]\naddopts = {argument}\n", encoding="utf-8")
    assert run("--graph-lock-from=report.json").ret == 0
