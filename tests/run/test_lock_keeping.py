"""The end of a run with a lock: what an update leaves alone, lines without a test, workers, other machines' reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_graphmode.report.lock import Counts
from pytest_graphmode.report.lock_file import parse, read, write

LOCK = "--graph-lock=graphs.lock"
UPDATE = "--graph-lock-update"
SUITE = """
import pytest, toylib

@pytest.mark.parametrize("size", [1, 2])
def test_net(graphmode, size):
    f = graphmode.function(abs)
    for _ in range(size):
        f(-1)

def test_plain(graph_ledger):
    toylib.jit(abs)(-1)
"""
NET_1, NET_2 = "test_a.py::test_net[1] toy:graph", "test_a.py::test_net[2] toy:graph"
PLAIN, GONE = "test_a.py::test_plain toy:graph", "test_a.py::test_gone toy:graph"
ONE = Counts(1, 0, 0, 0)
ALL = {NET_1: ONE, NET_2: ONE, PLAIN: ONE}
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `SUITE` with the backend toy and a lock."""
    monkeypatch.delenv("CI", raising=False)
    toy.makeini("[pytest]")
    toy.makepyfile(test_a=SUITE)

    def run(*arguments: str) -> pytest.RunResult:
        return toy.runpytest_inprocess("--graph-backends=toy", LOCK, *arguments)

    return run


@pytest.fixture
def lock(run: Run) -> Path:
    """The lock of `SUITE`, as an update writes it."""
    write(Path("graphs.lock"), ALL)
    return Path("graphs.lock")


def locked(file: str = "graphs.lock") -> dict[str, Counts]:
    return parse(read(Path(file), file), file)


def add(*lines: str) -> None:
    """Add lines to the lock, by hand."""
    write(Path("graphs.lock"), {**locked(), **dict.fromkeys(lines, ONE)})


def edit(before: str, after: str) -> None:
    text = Path("test_a.py").read_text(encoding="utf-8")
    assert before in text
    Path("test_a.py").write_text(text.replace(before, after), encoding="utf-8")


# Updates.


def test_an_update_tells_what_it_changed(run: Run) -> None:
    result = run(UPDATE)
    result.stdout.fnmatch_lines(
        ["*= graph lock =*", "graphs.lock written, 3 lines:", f"  {NET_1.replace('[', '[[]')}: new"]
    )
    assert locked() == ALL
    run(UPDATE).stdout.fnmatch_lines(["graphs.lock: nothing changed, 3 lines"])


@pytest.mark.parametrize("argument", ["test_a.py", "test_a.py::test_plain"])
def test_neither_form_takes_the_next_argument(run: Run, argument: str) -> None:
    for update in (UPDATE, f"{UPDATE}=operations"):
        result = run(update, argument)
        assert result.ret == 0
        count = 3 if argument == "test_a.py" else 1
        result.assert_outcomes(passed=count)
        assert len(locked()) == count
    assert all(counts.operations == 1 for counts in locked().values())


def test_another_form_is_refused(run: Run) -> None:
    result = run(f"{UPDATE}=seconds")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--graph-lock-update/--graph-lock-update=operations: *'seconds'"])


def test_operations_are_compared_where_they_are_locked(run: Run) -> None:
    run(f"{UPDATE}=operations")
    text = Path("graphs.lock").read_text(encoding="utf-8")
    Path("graphs.lock").write_text(text.replace('"operations": 1', '"operations": 4'), encoding="utf-8")
    result = run("-k", "plain")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["was 4 operations, now 1, because only abs was built (toy:graph, worse than in graph*"]
    )
    Path("graphs.lock").write_text(text.replace('"unknown"', '"2.21"'), encoding="utf-8")
    run("-k", "plain").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "change",
    ["pytest.skip('not today')", "pytest.xfail('known')", "assert False", "pytest.importorskip('no_such_module')"],
)
def test_a_test_that_does_not_pass_keeps_its_line(run: Run, change: str, lock: Path) -> None:
    edit("    toylib.jit(abs)(-1)", f"    toylib.jit(abs)(-1), toylib.jit(abs)(-1.0)\n    {change}")
    run(UPDATE)
    assert locked() == ALL
    assert "missing" not in run().stdout.str()


def test_a_test_that_fails_when_it_is_torn_down_keeps_its_line(run: Run, lock: Path) -> None:
    edit(
        "def test_plain(graph_ledger)",
        "@pytest.fixture\ndef broken():\n    yield\n    assert 0\n\ndef test_plain(graph_ledger, broken)",
    )
    edit("toylib.jit(abs)(-1)", "toylib.jit(abs)(-1), toylib.jit(abs)(-1)")
    run(UPDATE).assert_outcomes(passed=3, errors=1)
    assert locked() == ALL


def test_a_plain_test_that_builds_no_more_loses_its_line(run: Run, lock: Path) -> None:
    edit("    toylib.jit(abs)(-1)", "    abs(-1)")
    result = run()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["was 1 build, now 0, because nothing was built (toy:graph, worse than in graphs.lock)"]
    )
    run(UPDATE)
    assert locked() == {NET_1: ONE, NET_2: ONE}


def test_lines_of_frameworks_that_are_not_installed_stay(run: Run, lock: Path) -> None:
    add(
        "test_a.py::test_plain absent:eager",
        "test_a.py::test_plain nobody:eager",
        "test_a.py::test_net[1] absent:eager",
    )
    run().assert_outcomes(passed=3)
    run(UPDATE)
    assert len(locked()) == 6


def test_an_update_puts_what_git_has_merged_into_order(run: Run, lock: Path) -> None:
    ordered = lock.read_text(encoding="utf-8")
    first, *lines, last = ordered.splitlines()
    lock.write_text("\n".join([first, *reversed(lines), last]), encoding="utf-8")
    run(UPDATE).stdout.fnmatch_lines(["graphs.lock written, 3 lines:"])
    assert lock.read_text(encoding="utf-8") == ordered


def test_an_interrupted_run_writes_nothing(run: Run, toy: pytest.Pytester) -> None:
    edit("    toylib.jit(abs)(-1)", "    raise KeyboardInterrupt")
    result = toy.runpytest_inprocess("--graph-backends=toy", LOCK, UPDATE, no_reraise_ctrlc=True)
    result.stdout.fnmatch_lines(["graphs.lock is left as it was: the run did not come to its end"])
    assert not Path("graphs.lock").exists()


def test_collecting_alone_writes_and_tells_nothing(run: Run) -> None:
    result = run(UPDATE, "--collect-only")
    result.stdout.no_fnmatch_line("*graph lock*")
    assert not Path("graphs.lock").exists()


def test_a_lock_that_can_not_be_written_any_more_is_told(run: Run) -> None:
    edit("    toylib.jit(abs)(-1)", "    import pathlib; pathlib.Path('graphs.lock').mkdir()")
    result = run(UPDATE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR: graphs.lock: it can't be read: Is a directory"])


def test_what_another_run_wrote_meanwhile_stays(run: Run, lock: Path) -> None:
    before = Path("graphs.lock").read_text(encoding="utf-8")
    add("test_b.py::test_b toy:graph")
    Path("graphs.lock").rename("other.lock")
    Path("graphs.lock").write_text(before, encoding="utf-8")
    edit("    toylib.jit(abs)(-1)", "    import os; os.replace('other.lock', 'graphs.lock')")
    run(UPDATE)
    assert locked() == {NET_1: ONE, NET_2: ONE, "test_b.py::test_b toy:graph": ONE}


# Lines without a test.


def test_a_line_without_a_test_is_named_by_a_whole_run_and_removed_by_its_update(run: Run, lock: Path) -> None:
    add(GONE, "test_removed.py::test_x toy:graph")
    result = run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "2 lines in graphs.lock without a test:",
            f"  {GONE}",
            "  test_removed.py::test_x toy:graph",
            f"to remove them: pytest --graph-backends=toy {LOCK} {UPDATE}",
        ]
    )
    run(UPDATE).stdout.fnmatch_lines([f"  {GONE}: removed"])
    assert locked() == ALL


@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "test_net"),
        ("-k", "test"),
        ("-m", "not slow"),
        ("test_a.py",),
        (".",),
        ("--deselect=test_a.py::test_plain",),
        ("--ignore=test_other.py",),
        ("--lf",),
        ("-p", "sharding"),
    ],
)
def test_a_part_of_a_run_leaves_other_lines_alone(
    run: Run, toy: pytest.Pytester, arguments: tuple[str, ...], lock: Path
) -> None:
    toy.syspathinsert()
    Path("sharding.py").write_text("def pytest_collection_modifyitems(items): items[:] = items[:2]\n", encoding="utf-8")
    add(GONE)
    assert run(UPDATE, *arguments).ret == 0
    assert locked() == {**ALL, GONE: ONE}


def test_a_part_of_a_run_tells_of_no_line_without_a_test(run: Run, lock: Path) -> None:
    add(GONE)
    result = run("-k", "test_plain")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*graph lock*")


def test_from_another_folder_a_run_is_none_of_all_tests(run: Run, monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    add(GONE)
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    run("--graph-lock=../graphs.lock").stdout.no_fnmatch_line("*without a test*")


def test_a_module_that_is_not_collected_keeps_its_lines(run: Run, lock: Path) -> None:
    add("test_b.py::test_b toy:graph", "test_c.py::test_c toy:graph")
    Path("test_b.py").write_text("import pytest; pytest.skip(allow_module_level=True)", encoding="utf-8")
    Path("test_c.py").write_text("", encoding="utf-8")
    conftest = Path("conftest.py")
    conftest.write_text(conftest.read_text(encoding="utf-8") + '\ncollect_ignore = ["test_c.py"]\n', encoding="utf-8")
    assert "without a test" not in run().stdout.str()
    Path("test_b.py").write_text("1 / 0", encoding="utf-8")
    assert "without a test" not in run("--continue-on-collection-errors").stdout.str()
    Path("test_b.py").write_text("", encoding="utf-8")
    result = run()
    result.stdout.fnmatch_lines(["1 line in graphs.lock without a test:", "  test_b.py::test_b toy:graph"])


def test_a_lock_of_another_folder_loses_no_line(run: Run, lock: Path) -> None:
    Path("test_a.py").rename("test_b.py")
    assert "without a test" not in run().stdout.str()
    run(UPDATE)
    assert "without a test" in run().stdout.str()  # now that some of its lines are of these tests


# Workers.


@pytest.mark.slow
def test_workers(run: Run, toy: pytest.Pytester, lock: Path) -> None:
    pytest.importorskip("xdist")
    add(GONE)
    edit("        f(-1)", "        f(-1), f(-2.0)")
    edit(
        "def test_plain",
        "@pytest.mark.graph_agree\ndef test_two(graphmode):\n"
        "    graphmode.agree(x=graphmode.function(abs)(-1))\n\ndef test_plain",
    )

    def spread(*arguments: str) -> pytest.RunResult:
        return toy.runpytest_subprocess("--graph-backends=toy,numpy", LOCK, "-n2", *arguments)

    result = spread()
    result.assert_outcomes(passed=6, failed=2)
    result.stdout.fnmatch_lines(
        ["*was 0 rebuilds, now 1, because *", "1 line missing in graphs.lock:", "1 line in graphs.lock without a test:"]
    )
    spread(UPDATE).assert_outcomes(passed=8)
    several, two = locked(), Counts(2, 1, 0, 0)
    assert several == {NET_1: two, NET_2: two, PLAIN: ONE, "test_a.py::test_two toy:graph": ONE}
    run("--graph-backends=toy,numpy").assert_outcomes(passed=8)


@pytest.mark.slow
def test_a_test_that_a_worker_crashed_in_keeps_its_line(run: Run, toy: pytest.Pytester, lock: Path) -> None:
    pytest.importorskip("xdist")
    edit("    toylib.jit(abs)(-1)", "    import os; os._exit(1)")
    edit("        f(-1)", "        f(-1), f(-2.0)")
    toy.runpytest_subprocess("--graph-backends=toy", LOCK, "-n1", UPDATE)
    assert locked() == {NET_1: Counts(2, 1, 0, 0), NET_2: Counts(2, 1, 0, 0), PLAIN: ONE}


# What is refused.


def test_ci_never_writes(run: Run, monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    before = Path("graphs.lock").read_bytes()
    edit("        f(-1)", "        f(-1), f(-2.0)")
    monkeypatch.setenv("CI", "true")
    for update in (UPDATE, f"{UPDATE}=operations", "--graph-lock-from=report.json"):
        result = run(update)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {update.partition('=')[0]}: CI is set, *read only*"])
    run().assert_outcomes(passed=1, failed=2)
    assert Path("graphs.lock").read_bytes() == before


@pytest.mark.parametrize("update", [UPDATE, f"{UPDATE}=operations", "--graph-lock-from=report.json"])
def test_without_a_lock_there_is_nothing_to_update(run: Run, toy: pytest.Pytester, update: str) -> None:
    result = toy.runpytest_inprocess(update)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --graph-lock-*: there is no lock to update: name its file, --graph-lock=FILE"])


def test_an_update_of_several_environments_at_once_is_refused(run: Run, toy: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = toy.runpytest_inprocess(LOCK, UPDATE, "--dist=each", "--tx=2*popen")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --graph-lock-update: --dist=each *"])


@pytest.mark.parametrize("update", [(), (UPDATE,), ("--graph-lock-from=report.json",)])
def test_a_damaged_lock_is_named_with_its_line_and_never_overwritten(run: Run, update: tuple[str, ...]) -> None:
    run(UPDATE, "--graph-json=report.json")
    damaged = Path("graphs.lock").read_text(encoding="utf-8").replace('"builds": 1', "<<<<<<< HEAD", 1)
    Path("graphs.lock").write_text(damaged, encoding="utf-8")
    result = run(*update)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --graph-lock: graphs.lock:2: it is damaged (*): restore it (git checkout *"])
    assert Path("graphs.lock").read_text(encoding="utf-8") == damaged


def test_a_folder_is_no_lock(run: Run) -> None:
    Path("graphs.lock").mkdir()
    result = run(UPDATE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --graph-lock=*graphs.lock: there is a folder of this name: name a file"])


def test_a_lock_of_the_ini_file(run: Run, toy: pytest.Pytester) -> None:
    Path("tox.ini").write_text("[pytest]\ngraph_lock = locks/graphs.lock\ngraph_backends = toy\n", encoding="utf-8")
    toy.runpytest_inprocess(UPDATE).assert_outcomes(passed=3)
    assert locked("locks/graphs.lock") == ALL
    edit("        f(-1)", "        f(-1), f(-2.0)")
    result = toy.runpytest_inprocess()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*where that is meant: pytest --graph-lock-update 'test_a.py::test_net*"])
    Path("locks/graphs.lock").write_text("{", encoding="utf-8")
    result = toy.runpytest_inprocess()
    result.stderr.fnmatch_lines(["ERROR: graph_lock (in *tox.ini): locks/graphs.lock:1: it is damaged *"])


# Reports of other machines.


def test_an_update_from_a_report(run: Run) -> None:
    run("-k", "plain", UPDATE)
    edit("        f(-1)", "        f(-1), f(-2.0)")
    run("--graph-json=report.json", "-k", "net")
    result = run("--graph-lock-from=report.json")
    assert result.ret == 0
    assert result.outlines == [
        "graphs.lock written, 3 lines:",
        *(f"  {line}: new" for line in (NET_1, NET_2)),
    ]
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
    ],
)
def test_what_is_no_report_is_refused(run: Run, text: str | None, said: str) -> None:
    if text is not None:
        Path("report.json").write_text(text, encoding="utf-8")
    result = run("--graph-lock-from=report.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --graph-lock-from=report.json: *{said}*"])
    assert not Path("graphs.lock").exists()
