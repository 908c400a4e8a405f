"""What an update of the lock writes and leaves alone, and what is refused."""

import os
from pathlib import Path

import pytest

from tests.project import Project
from tests.run.lock.suite import ALL, GONE, LOCK, NET_1, NET_2, ONE, UPDATE, Run, add, edit, locked


def test_an_update_tells_what_it_changed(run: Run) -> None:
    run(UPDATE).says("*= graph lock =*", "graphs.lock written, 3 lines:", f"  {NET_1.replace('[', '[[]')}: new")
    assert locked() == ALL
    run(UPDATE).says("graphs.lock: nothing changed, 3 lines")


@pytest.mark.parametrize("argument", ["test_a.py", "test_a.py::test_plain"])
def test_neither_form_takes_the_next_argument(run: Run, argument: str) -> None:
    count = 3 if argument == "test_a.py" else 1
    for update in (UPDATE, f"{UPDATE}=operations"):
        assert run(update, argument, passed=count).ret == 0
        assert len(locked()) == count
    assert all(counts.operations == 1 for counts in locked().values())


def test_another_form_is_refused(run: Run) -> None:
    result = run(f"{UPDATE}=seconds")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*--graph-lock-update/--graph-lock-update=operations: *'seconds'")


def test_operations_are_compared_where_they_are_locked(run: Run) -> None:
    run(f"{UPDATE}=operations")
    text = Path("graphs.lock").read_text(encoding="utf-8")
    Path("graphs.lock").write_text(text.replace('"operations": 1', '"operations": 4'), encoding="utf-8")
    result = run("-k", "plain", failed=1)
    result.says("was 4 operations, now 1, because only abs was built (toy:graph, worse than in graph*")
    Path("graphs.lock").write_text(text.replace('"unknown"', '"2.21"'), encoding="utf-8")
    run("-k", "plain", passed=1)


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
    run(UPDATE, passed=3, errors=1)
    assert locked() == ALL


def test_a_plain_test_that_builds_no_more_loses_its_line(run: Run, lock: Path) -> None:
    edit("    toylib.jit(abs)(-1)", "    abs(-1)")
    run(UPDATE)
    assert locked() == {NET_1: ONE, NET_2: ONE}


def test_lines_of_frameworks_that_are_not_installed_stay(run: Run, lock: Path) -> None:
    add(
        "test_a.py::test_plain absent:eager",
        "test_a.py::test_plain nobody:eager",
        "test_a.py::test_net[1] absent:eager",
    )
    run(passed=3)
    run(UPDATE)
    assert len(locked()) == 6


def test_an_update_puts_what_git_has_merged_into_order(run: Run, lock: Path) -> None:
    ordered = lock.read_text(encoding="utf-8")
    first, *lines, last = ordered.splitlines()
    lock.write_text("\n".join([first, *reversed(lines), last]), encoding="utf-8")
    run(UPDATE).says("graphs.lock written, 3 lines:")
    assert lock.read_text(encoding="utf-8") == ordered


def test_an_interrupted_run_writes_nothing(run: Run, toy: Project) -> None:
    edit("    toylib.jit(abs)(-1)", "    raise KeyboardInterrupt")
    result = toy.run("--graph-backends=toy", LOCK, UPDATE)
    result.says("graphs.lock is left as it was: the run did not come to its end")
    assert not Path("graphs.lock").exists()


def test_collecting_alone_writes_and_tells_nothing(run: Run) -> None:
    run(UPDATE, "--collect-only").omits("*graph lock*")
    assert not Path("graphs.lock").exists()


def test_a_lock_that_can_not_be_written_any_more_is_told(run: Run) -> None:
    edit("    toylib.jit(abs)(-1)", "    import pathlib; pathlib.Path('graphs.lock').mkdir()")
    result = run(UPDATE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.says("ERROR: graphs.lock: it can't be read: Is a directory")


def test_what_another_run_wrote_meanwhile_stays(run: Run, lock: Path) -> None:
    before = Path("graphs.lock").read_text(encoding="utf-8")
    add("test_b.py::test_b toy:graph")
    Path("graphs.lock").rename("other.lock")
    Path("graphs.lock").write_text(before, encoding="utf-8")
    edit("    toylib.jit(abs)(-1)", "    import os; os.replace('other.lock', 'graphs.lock')")
    run(UPDATE)
    assert locked() == {NET_1: ONE, NET_2: ONE, "test_b.py::test_b toy:graph": ONE}


def test_tests_in_a_folder_whose_name_pytest_takes_for_parameters(run: Run, lock: Path) -> None:
    folder = Path("some/od[d]")
    folder.mkdir(parents=True)
    (folder / "test_b.py").write_text("def test_b(graphmode):\n    graphmode.function(abs)(-1)\n", encoding="utf-8")
    run().says(f"to write it: pytest --graph-backends=toy {LOCK} {UPDATE} some")
    run(UPDATE, "some", passed=1)
    assert len(locked()) == 4


# What is refused.


def test_ci_never_writes(run: Run, monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    before = Path("graphs.lock").read_bytes()
    edit("        f(-1)", "        f(-1), f(-2.0)")
    monkeypatch.setenv("CI", "true")
    for update in (UPDATE, f"{UPDATE}=operations", "--graph-lock-from=report.json"):
        run(update).refuses(f"{update.partition('=')[0]}: CI is set, *read only*")
    run(passed=1, failed=2)
    assert Path("graphs.lock").read_bytes() == before


@pytest.mark.parametrize("update", [UPDATE, f"{UPDATE}=operations", "--graph-lock-from=report.json"])
def test_without_a_lock_there_is_nothing_to_update(run: Run, toy: Project, update: str) -> None:
    toy.run(update).refuses("--graph-lock-*: there is no lock to update: name its file, --graph-lock=FILE")


def test_an_update_of_several_environments_at_once_is_refused(run: Run, toy: Project) -> None:
    pytest.importorskip("xdist")
    toy.run(LOCK, UPDATE, "--dist=each", "--tx=2*popen").refuses("--graph-lock-update: --dist=each *")


@pytest.mark.parametrize("update", [(), (UPDATE,), ("--graph-lock-from=report.json",)])
def test_a_damaged_lock_is_named_with_its_line_and_never_overwritten(run: Run, update: tuple[str, ...]) -> None:
    run(UPDATE, "--graph-json=report.json")
    damaged = Path("graphs.lock").read_text(encoding="utf-8").replace('"builds": 1', "<<<<<<< HEAD", 1)
    Path("graphs.lock").write_text(damaged, encoding="utf-8")
    run(*update).refuses("--graph-lock: graphs.lock:2: it is damaged (*): restore it (git checkout *")
    assert Path("graphs.lock").read_text(encoding="utf-8") == damaged


def test_a_folder_is_no_lock(run: Run) -> None:
    Path("graphs.lock").mkdir()
    run(UPDATE).refuses("--graph-lock=*graphs.lock: there is a folder of this name: name a file")


def test_a_lock_of_the_ini_file(run: Run, toy: Project) -> None:
    Path("tox.ini").write_text("[pytest]\ngraph_lock = locks/graphs.lock\ngraph_backends = toy\n", encoding="utf-8")
    toy.run(UPDATE, passed=3)
    assert locked("locks/graphs.lock") == ALL
    edit("        f(-1)", "        f(-1), f(-2.0)")
    result = toy.run(passed=1, failed=2)
    result.says("*where that is meant: pytest --graph-lock-update 'test_a.py::test_net*")
    Path("locks/graphs.lock").write_text("{", encoding="utf-8")
    result = toy.run()
    result.refuses("graph_lock (in *tox.ini): locks/graphs.lock:1: it is damaged *")


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
def test_a_lock_keeps_its_mode(run: Run, lock: Path) -> None:
    lock.chmod(0o640)
    add(GONE)
    run(UPDATE)
    assert locked() == ALL
    assert lock.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("update", [UPDATE, "--graph-lock-from=report.json"])
def test_a_lock_that_may_not_be_written_is_a_usage_error(
    run: Run, lock: Path, monkeypatch: pytest.MonkeyPatch, update: str
) -> None:
    edit("        f(-1)", "        f(-1), f(-2.0)")
    run("--graph-json=report.json")
    before, may = lock.read_bytes(), os.access
    # As for others than root, who may write all.
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and Path(path).name != lock.name)
    run(update).refuses("--graph-lock*: *can't be written: Permission denied")
    assert lock.read_bytes() == before
