"""The lock in a run: what is worse fails with its cause, what is better too, and in CI what has no line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_graphmode.report.lock import Counts
from pytest_graphmode.report.lock_file import write

LOCK = "--graph-lock=graphs.lock"
UPDATE = "--graph-lock-update"
SUITE = """
    import toylib

    def test_net(graphmode):
        f = graphmode.function(abs)
        f(-1)

    def test_plain(graph_ledger):
        toylib.jit(abs)(-1)

    def test_other():
        toylib.jit(abs)(-1)
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the tests of `toy` with a lock that was written for them as they are now."""
    monkeypatch.delenv("CI", raising=False)
    toy.makeini("[pytest]")
    toy.makepyfile(test_suite=SUITE)

    def run(*arguments: str) -> pytest.RunResult:
        return toy.runpytest_inprocess("--graph-backends=toy,numpy", LOCK, *arguments)

    write(toy.path / "graphs.lock", {f"test_suite.py::test_{name} toy:graph": Counts(1) for name in ("net", "plain")})
    return run


def lines() -> dict[str, str]:
    """The lines of the lock, by what they are of."""
    rows = Path("graphs.lock").read_text(encoding="utf-8").splitlines()[1:-1]
    return dict(row.removesuffix(",").split(": ", 1) for row in rows)


def edit(before: str, after: str, file: str = "test_suite.py") -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert before in text
    Path(file).write_text(text.replace(before, after), encoding="utf-8")


def test_an_update_writes_a_line_a_test_and_mode(run: Run) -> None:
    Path("graphs.lock").unlink()
    run(UPDATE).assert_outcomes(passed=4)
    assert lines() == {
        '"test_suite.py::test_net toy:graph"': '{"builds": 1, "rebuilds": 0, "breaks": 0, "fallbacks": 0}',
        '"test_suite.py::test_plain toy:graph"': '{"builds": 1, "rebuilds": 0, "breaks": 0, "fallbacks": 0}',
    }


def test_a_run_that_builds_the_same_passes(run: Run) -> None:
    before = Path("graphs.lock").read_bytes()
    result = run()
    result.assert_outcomes(passed=4)
    result.stdout.no_fnmatch_line("*graph lock*")
    assert Path("graphs.lock").read_bytes() == before


def test_more_rebuilds_fail_with_the_locked_number_and_the_cause(run: Run) -> None:
    edit("    f(-1)", "    f(-1), f(-1.0), f(-1j)")
    result = run("-rf", "--junitxml=junit.xml")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "was 0 rebuilds, now 2, because value * changed 'int' -> 'float' (toy:graph, worse than in graphs.lock)",
            "  abs * built 3 times in 0.75 s",
            f"  where that is meant: pytest --graph-backends=toy:graph {LOCK} {UPDATE} 'test_suite.py::test_net*'",
            "FAILED test_suite.py::test_net[[]toy-graph-cpu[]] - was 0 rebuilds, now 2, *",
        ]
    )
    assert 'value="was 0 rebuilds, now 2, because value' in Path("junit.xml").read_text(encoding="utf-8")
    run(UPDATE, "test_suite.py").assert_outcomes(passed=4)
    run().assert_outcomes(passed=4)


def test_code_that_is_in_no_graph_any_more_is_worse(run: Run) -> None:
    edit("f = graphmode.function(abs)", "graphmode.mode; f = abs")
    edit("toylib.jit(abs)(-1)", "abs(-1)")
    result = run()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["was 1 build, now 0, because nothing was built (toy:graph, worse than in graphs.lock)"] * 2
    )


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            "sink.graph_break(GraphBreak('toy', 'graph', 'f', 'net.py:3', 'print'))",
            "was 0 breaks, now 1, because the graph breaks at net.py:3: print (toy:graph, *",
        ),
        (
            "sink.fallback(Fallback('toy', 'graph', 'f', 'net.py:3', 'no source'))",
            "was 0 fallbacks, now 1, because f fell back to eager execution: no source (toy:graph, *",
        ),
    ],
)
def test_breaks_and_fallbacks_fail_with_their_reasons(run: Run, event: str, said: str) -> None:
    edit("BuildReport, value", "BuildReport, Fallback, GraphBreak, value", "toybackend.py")
    edit("            hints = ", f"            {event}\n            hints = ", "toybackend.py")
    result = run()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines([said, said])
    run(UPDATE)
    run().assert_outcomes(passed=4)
    edit(event, "pass", "toybackend.py")
    run().stdout.fnmatch_lines(["was 1 * now 0 (toy:graph, better than in graphs.lock)"])


def test_better_fails_too_until_it_is_locked(run: Run) -> None:
    edit('"rebuilds": 0', '"rebuilds": 1', "graphs.lock")
    edit('"builds": 1', '"builds": 2', "graphs.lock")
    result = run()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "was 1 rebuild, now 0 (toy:graph, better than in graphs.lock)",
            "  so that it stays so: pytest * --graph-lock-update 'test_suite.py::test_net[[]toy-graph-cpu[]]'",
        ]
    )
    run(UPDATE)
    run().assert_outcomes(passed=4)


def test_seconds_are_never_locked(run: Run) -> None:
    edit("seconds=0.25", "seconds=25.00", "toybackend.py")
    run().assert_outcomes(passed=4)


def test_a_test_without_a_line_is_named_with_the_command_that_writes_it(run: Run) -> None:
    edit("test_net", "test_new")
    result = run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "1 line missing in graphs.lock:",
            "  test_suite.py::test_new toy:graph",
            f"to write it: pytest --graph-backends=toy,numpy {LOCK} {UPDATE} test_suite.py::test_new",
        ]
    )
    run(UPDATE, "test_suite.py::test_new").assert_outcomes(passed=2)
    assert [*lines()] == [f'"test_suite.py::test_{name} toy:graph"' for name in ("net", "new", "plain")]
    assert "missing" not in run().stdout.str()


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_it_fails_where_ci_is_set(run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    run().assert_outcomes(passed=4)
    Path("graphs.lock").unlink()
    result = run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["graphs.lock has no line of this test for toy:graph: *", "*2 lines missing in graphs.lock:"]
    )


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_ci_that_is_set_to_false_is_not_set(run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    Path("graphs.lock").unlink()
    assert run().ret == 0
    run(UPDATE).assert_outcomes(passed=4)


def test_earlier_tests_change_no_count(run: Run, toy: pytest.Pytester) -> None:
    toy.makepyfile(
        test_suite="""
        import toylib
        shared = toylib.jit(abs)

        def test_a(graph_ledger):
            shared(-1)

        def test_b(graph_ledger):
            shared(-1)
        """
    )
    run(UPDATE).assert_outcomes(passed=2)
    assert len(lines()) == 4  # those of no test in here: nothing tells that it is the same folder
    run("-k", "test_b").assert_outcomes(passed=1)


def test_a_watched_run_locks_every_test(run: Run) -> None:
    result = run("--graph-watch")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["1 line missing in graphs.lock:", "*to write it: pytest * --graph-watch *::test_other"]
    )
    run("--graph-watch", UPDATE)
    assert [*lines()][1] == '"test_suite.py::test_other toy:graph"'
    edit("toylib.jit(abs)(-1)", "abs(-1)")
    assert run("--graph-watch").parseoutcomes() == {"passed": 2, "failed": 2}


def test_what_a_limit_finds_comes_first(run: Run) -> None:
    edit("def test_net", "import pytest\n@pytest.mark.graph_rebuilds(0)\ndef test_net")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    result = run()
    result.stdout.fnmatch_lines(["1 rebuild, at most 0 allowed"])
    result.stdout.no_fnmatch_line("*worse than*")


def test_a_framework_whose_graphs_are_not_counted_is_not_compared(run: Run) -> None:
    edit(
        "        return detach", "        sink.not_counted('toy', 'it changed')\n        return detach", "toybackend.py"
    )
    for arguments in ((), (UPDATE,)):
        before = lines()
        result = run(*arguments)
        result.assert_outcomes(passed=2, failed=2)
        result.stdout.fnmatch_lines(
            ["the graphs of toy are not counted, so they can't be held against the lock: it ch*"]
        )
        assert lines() == before


def test_an_agreement_item_runs_what_it_lacks_against_the_lock(run: Run) -> None:
    edit("def test_net", "import pytest\n@pytest.mark.graph_agree\ndef test_net")
    edit("    f(-1)", "    graphmode.agree(value=f(-1)), f(-1.0)")
    result = run("-k", "agreement")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*was 0 rebuilds, now 1, because*"])
    run(UPDATE, "-k", "agreement").assert_outcomes(passed=1)
    assert '"rebuilds": 1' in lines()['"test_suite.py::test_net toy:graph"']
    run().assert_outcomes(passed=5)


def test_runs_of_triage_are_not_counted(run: Run) -> None:
    edit("def test_net", "import pytest\n@pytest.mark.graph_agree\ndef test_net")
    edit("    f(-1)", "    graphmode.agree(value=f(-1) + (graphmode.mode == 'graph'))")
    result = run()
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*Triage:*"])
    result.stdout.no_fnmatch_line("*than in graphs.lock*")
    before = lines()
    run(UPDATE)
    assert lines() == before


def test_other_dtypes_have_lines_where_they_differ(run: Run) -> None:
    dtypes = "--graph-dtypes=float32,float64"
    run(dtypes).assert_outcomes(passed=6)
    edit("    f(-1)", "    f(-1), f(-1.0 if graphmode.dtype == 'float64' else 1)")
    result = run(dtypes)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [f"*--graph-dtypes=float64 * {UPDATE} 'test_suite.py::test_net[[]toy-graph-cpu-float64[]]'"]
    )
    run(UPDATE, dtypes)
    assert '"rebuilds": 1' in lines()['"test_suite.py::test_net toy:graph[float64]"']
    assert '"rebuilds": 0' in lines()['"test_suite.py::test_net toy:graph"']
    run(dtypes).assert_outcomes(passed=6)


# Tests that are expected to fail.


@pytest.mark.parametrize(
    "mark",
    ["xfail(reason='known')", "xfail('True', reason='known')", "graph_xfail('toy', reason='known', strict=False)"],
)
def test_a_test_that_is_expected_to_fail_is_not_locked(run: Run, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    edit("def test_net(graphmode)", f"import pytest\n\n@pytest.mark.{mark}\ndef test_net(graphmode)")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    before = lines()
    for arguments in ((), (UPDATE,)):
        result = run(*arguments, "-k", "toy or plain")
        result.assert_outcomes(passed=1, xpassed=1)
        assert lines() == before
    Path("graphs.lock").unlink()
    monkeypatch.setenv("CI", "true")
    result = run("-k", "toy")
    result.assert_outcomes(xpassed=1)
    result.stdout.no_fnmatch_line("*missing in graphs.lock*")


@pytest.mark.parametrize("mark", ["xfail(False, reason='never')", "graph_xfail('numpy', reason='only there')"])
def test_a_mark_that_does_not_hold_changes_nothing(run: Run, mark: str) -> None:
    edit("def test_net(graphmode)", f"import pytest\n\n@pytest.mark.{mark}\ndef test_net(graphmode)")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    run("-k", "toy").assert_outcomes(failed=1)


def test_a_run_without_expected_failures_holds_all_tests(run: Run) -> None:
    edit("def test_net(graphmode)", "import pytest\n\n@pytest.mark.xfail\ndef test_net(graphmode)")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    run("-k", "toy", "--runxfail").assert_outcomes(failed=1)
