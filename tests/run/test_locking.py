"""The lock in a run: what is worse fails with its cause, what is better too, and in CI what has no line."""

from pathlib import Path

import pytest

from pytest_graphmode.report.lock import Counts
from pytest_graphmode.report.lock_file import write
from tests.project import Project, Result
from tests.run.lock.suite import LOCK, UPDATE, Run, edit

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


@pytest.fixture
def run(toy: Project, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the tests of `toy` with a lock that was written for them as they are now."""
    monkeypatch.delenv("CI", raising=False)
    toy.makeini("[pytest]")
    toy.write(SUITE, "test_a")

    def run(*arguments: str, **outcomes: int) -> Result:
        return toy.run("--graph-backends=toy,numpy", LOCK, *arguments, **outcomes)

    write(toy.path / "graphs.lock", {f"test_a.py::test_{name} toy:graph": Counts(1) for name in ("net", "plain")})
    return run


def lines() -> dict[str, str]:
    """The lines of the lock, by what they are of."""
    rows = Path("graphs.lock").read_text(encoding="utf-8").splitlines()[1:-1]
    return dict(row.removesuffix(",").split(": ", 1) for row in rows)


def test_a_run_that_builds_the_same_passes(run: Run) -> None:
    before = Path("graphs.lock").read_bytes()
    run(passed=4).omits("*graph lock*")
    assert Path("graphs.lock").read_bytes() == before


def test_more_rebuilds_fail_with_the_locked_number_and_the_cause(run: Run) -> None:
    edit("    f(-1)", "    f(-1), f(-1.0), f(-1j)")
    result = run("-rf", "--junitxml=junit.xml", passed=3, failed=1)
    result.says(
        "was 0 rebuilds, now 2, because value * changed 'int' -> 'float' (toy:graph, worse than in graphs.lock)",
        "  abs * built 3 times in 0.75 s",
        f"  where that is meant: pytest --graph-backends=toy:graph {LOCK} {UPDATE} 'test_a.py::test_net*'",
        "FAILED test_a.py::test_net[[]toy-graph-cpu[]] - was 0 rebuilds, now 2, *",
    )
    assert 'value="was 0 rebuilds, now 2, because value' in Path("junit.xml").read_text(encoding="utf-8")
    run(UPDATE, "test_a.py", passed=4)
    run(passed=4)


def test_code_that_is_in_no_graph_any_more_is_worse(run: Run) -> None:
    edit("f = graphmode.function(abs)", "graphmode.mode; f = abs")
    edit("toylib.jit(abs)(-1)", "abs(-1)")
    result = run(passed=2, failed=2)
    result.says(*["was 1 build, now 0, because nothing was built (toy:graph, worse than in graphs.lock)"] * 2)


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
    run(passed=2, failed=2).says(said, said)
    run(UPDATE)
    run(passed=4)
    edit(event, "pass", "toybackend.py")
    run().says("was 1 * now 0 (toy:graph, better than in graphs.lock)")


def test_better_fails_too_until_it_is_locked(run: Run) -> None:
    edit('"rebuilds": 0', '"rebuilds": 1', "graphs.lock")
    edit('"builds": 1', '"builds": 2', "graphs.lock")
    result = run(passed=2, failed=2)
    result.says(
        "was 1 rebuild, now 0 (toy:graph, better than in graphs.lock)",
        "  so that it stays so: pytest * --graph-lock-update 'test_a.py::test_net[[]toy-graph-cpu[]]'",
    )
    run(UPDATE)
    run(passed=4)


def test_seconds_are_never_locked(run: Run) -> None:
    edit("seconds=0.25", "seconds=25.00", "toybackend.py")
    run(passed=4)


def test_a_test_without_a_line_is_named_with_the_command_that_writes_it(run: Run) -> None:
    edit("test_net", "test_new")
    result = run()
    assert result.ret == 0
    result.says(
        "1 line missing in graphs.lock:",
        "  test_a.py::test_new toy:graph",
        f"to write it: pytest --graph-backends=toy,numpy {LOCK} {UPDATE} test_a.py::test_new",
    )
    run(UPDATE, "test_a.py::test_new", passed=2)
    assert [*lines()] == [f'"test_a.py::test_{name} toy:graph"' for name in ("net", "new", "plain")]
    assert "missing" not in run().stdout.str()


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_it_fails_where_ci_is_set(run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    run(passed=4)
    Path("graphs.lock").unlink()
    result = run(passed=2, failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.says("graphs.lock has no line of this test for toy:graph: *", "*2 lines missing in graphs.lock:")


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_ci_that_is_set_to_false_is_not_set(run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    Path("graphs.lock").unlink()
    assert run().ret == 0
    run(UPDATE, passed=4)


def test_earlier_tests_change_no_count(run: Run, toy: Project) -> None:
    toy.makepyfile(
        test_a="""
        import toylib
        shared = toylib.jit(abs)

        def test_a(graph_ledger):
            shared(-1)

        def test_b(graph_ledger):
            shared(-1)
        """
    )
    run(UPDATE, passed=2)
    assert len(lines()) == 4  # those of no test in here: nothing tells that it is the same folder
    run("-k", "test_b", passed=1)


def test_a_watched_run_locks_every_test(run: Run) -> None:
    result = run("--graph-watch", passed=4)
    result.says("1 line missing in graphs.lock:", "*to write it: pytest * --graph-watch *::test_other")
    run("--graph-watch", UPDATE)
    assert [*lines()][1] == '"test_a.py::test_other toy:graph"'
    edit("toylib.jit(abs)(-1)", "abs(-1)")
    assert run("--graph-watch").parseoutcomes() == {"passed": 2, "failed": 2}


def test_what_a_limit_finds_comes_first(run: Run) -> None:
    edit("def test_net", "@pytest.mark.graph_rebuilds(0)\ndef test_net")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    result = run()
    result.says("1 rebuild, at most 0 allowed")
    result.omits("*worse than*")


def test_a_framework_whose_graphs_are_not_counted_is_not_compared(run: Run) -> None:
    edit(
        "        return detach", "        sink.not_counted('toy', 'it changed')\n        return detach", "toybackend.py"
    )
    for arguments in ((), (UPDATE,)):
        before = lines()
        result = run(*arguments, passed=2, failed=2)
        result.says("the graphs of toy are not counted, so they can't be held against the lock: it ch*")
        assert lines() == before


def test_an_agreement_item_runs_what_it_lacks_against_the_lock(run: Run) -> None:
    edit("def test_net", "@pytest.mark.graph_agree\ndef test_net")
    edit("    f(-1)", "    graphmode.agree(value=f(-1)), f(-1.0)")
    run("-k", "agreement", failed=1).says("*was 0 rebuilds, now 1, because*")
    run(UPDATE, "-k", "agreement", passed=1)
    assert '"rebuilds": 1' in lines()['"test_a.py::test_net toy:graph"']
    run(passed=5)


def test_runs_of_triage_are_not_counted(run: Run) -> None:
    edit("def test_net", "@pytest.mark.graph_agree\ndef test_net")
    edit("    f(-1)", "    graphmode.agree(value=f(-1) + (graphmode.mode == 'graph'))")
    result = run(passed=4, failed=1)
    result.says("*Triage:*")
    result.omits("*than in graphs.lock*")
    before = lines()
    run(UPDATE)
    assert lines() == before


def test_other_dtypes_have_lines_where_they_differ(run: Run) -> None:
    dtypes = "--graph-dtypes=float32,float64"
    run(dtypes, passed=6)
    edit("    f(-1)", "    f(-1), f(-1.0 if graphmode.dtype == 'float64' else 1)")
    result = run(dtypes, passed=5, failed=1)
    result.says(f"*--graph-dtypes=float64 * {UPDATE} 'test_a.py::test_net[[]toy-graph-cpu-float64[]]'")
    run(UPDATE, dtypes)
    assert '"rebuilds": 1' in lines()['"test_a.py::test_net toy:graph[float64]"']
    assert '"rebuilds": 0' in lines()['"test_a.py::test_net toy:graph"']
    run(dtypes, passed=6)


# Tests that are expected to fail.


@pytest.mark.parametrize(
    "mark",
    ["xfail(reason='known')", "xfail('True', reason='known')", "graph_xfail('toy', reason='known', strict=False)"],
)
def test_a_test_that_is_expected_to_fail_is_not_locked(run: Run, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    edit("def test_net(graphmode)", f"@pytest.mark.{mark}\ndef test_net(graphmode)")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    before = lines()
    for arguments in ((), (UPDATE,)):
        run(*arguments, "-k", "toy or plain", passed=1, xpassed=1)
        assert lines() == before
    Path("graphs.lock").unlink()
    monkeypatch.setenv("CI", "true")
    run("-k", "toy", xpassed=1).omits("*missing in graphs.lock*")


@pytest.mark.parametrize("mark", ["xfail(False, reason='never')", "graph_xfail('numpy', reason='only there')"])
def test_a_mark_that_does_not_hold_changes_nothing(run: Run, mark: str) -> None:
    edit("def test_net(graphmode)", f"@pytest.mark.{mark}\ndef test_net(graphmode)")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    run("-k", "toy", failed=1)


def test_a_run_without_expected_failures_holds_all_tests(run: Run) -> None:
    edit("def test_net(graphmode)", "@pytest.mark.xfail\ndef test_net(graphmode)")
    edit("    f(-1)", "    f(-1), f(-1.0)")
    run("-k", "toy", "--runxfail", failed=1)
