"""After how many calls a static graph has paid for its build: the reckoning, the timing of calls, and the reports."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pytest_graphmode.backends import calls
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.builds import BuildReport
from pytest_graphmode.ledger.durations import CallTimes
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.report import Row
from pytest_graphmode.report.payback import Pace, paybacks
from pytest_graphmode.report.terminal import PAID, table
from tests.project import Project, Result

GRAPH = Pace("tf-graph-cpu", True, 0.3, 1e-3, 0.1, 60, 5e-3)
EAGER = Pace("tf-eager-cpu", False, 0.0, 3e-3, 0.5, 60, 10e-3)


def calls_of(*paces: Pace) -> list[Any]:
    return [found.calls for found in paybacks(paces)]


def test_build_and_warm_up_by_the_gain_of_a_call() -> None:
    (found,) = paybacks([EAGER, GRAPH])
    assert (found.variant, found.against, found.measured) == ("tf-graph-cpu", "tf-eager-cpu", True)
    assert found.calls == 200  # (0.3 + 0.1) / (3e-3 - 1e-3)


@pytest.mark.parametrize("seconds", [3e-3, 4e-3])
def test_a_graph_that_is_not_faster_never_pays(seconds: float) -> None:
    assert calls_of(EAGER, GRAPH._replace(steady=seconds)) == ["never"]


def test_without_measured_calls_the_tests_time_is_shared_out() -> None:
    (found,) = paybacks([EAGER, GRAPH._replace(steady=None, warm_up=None)])
    assert (found.measured, found.warm_up, found.calls) == (False, 0.0, 60)  # 0.3 / (10e-3 - 5e-3)


@pytest.mark.parametrize("unknown", [{"calls": None}, {"calls": 9}, {"average": None}, {"average": 0.0}])
def test_what_is_not_known_is_not_made_up(unknown: dict[str, Any]) -> None:
    assert calls_of(EAGER, GRAPH._replace(steady=None, **unknown)) == [None]
    assert calls_of(EAGER._replace(steady=None, **unknown), GRAPH) == [None]


def test_the_eager_mode_of_the_same_backend_on_the_same_device_in_the_same_dtype_is_first() -> None:
    torch, numpy = EAGER._replace(variant="torch-eager-cpu"), EAGER._replace(variant="numpy-eager-cpu")
    found = {one.variant: one.against for one in paybacks([numpy, torch, EAGER, GRAPH])}
    assert found == {"tf-graph-cpu": "tf-eager-cpu"}
    assert [one.against for one in paybacks([numpy, torch, GRAPH])] == ["torch-eager-cpu"]
    assert [one.against for one in paybacks([numpy, GRAPH])] == ["numpy-eager-cpu"]
    assert calls_of(EAGER._replace(variant="tf-eager-gpu:0"), GRAPH) == []
    assert calls_of(EAGER._replace(variant="tf-eager-cpu-float64"), GRAPH) == []


def test_what_was_not_built_has_nothing_to_pay_for() -> None:
    assert calls_of(EAGER, GRAPH._replace(build=0.0)) == []
    assert calls_of(GRAPH) == []


# The timing of calls.


def test_what_first_calls_take_beyond_the_others_is_warm_up() -> None:
    times = CallTimes()
    times.add(5.0, first=True)
    assert (times.steady, times.warm_up) == (None, None)
    times.add(1.0, first=False)
    times.add(2.0, first=False)
    assert (times.steady, times.warm_up) == (1.5, 3.5)
    times.add(1.0, first=True)  # quicker than the others
    assert times.warm_up == 3.0


class Clock:
    """Stands still but for what is added to it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(calls, "perf_counter", made)
    return made


def test_calls_that_build_are_first_ones_and_builds_are_left_out(clock: Clock) -> None:
    recorder, inside = Recorder(), [False]
    recorder.times = CallTimes()

    def step(seconds: float, build: float) -> None:
        if build:
            recorder.build(BuildReport("tf", "graph", identity.of(step), seconds=build))
        clock.passes(seconds)

    timed = calls.timed(step, lambda: inside[0], recorder, lambda result: clock.passes(0.25))
    timed(5.0, 4.0)  # 1 beyond the build, and a quarter of waiting
    timed(1.0, 0.0)
    timed(7.0, 5.0)
    assert recorder.times.steady == 1.25
    assert recorder.times.warm_up == 1.25 + 2.25 - 2 * 1.25
    inside[0] = True
    timed(100.0, 0.0)
    assert recorder.times.steady == 1.25
    recorder.restart()
    assert recorder.times.steady is None


def test_timed_functions_share_code_as_what_is_timed_does() -> None:
    """Frameworks keep graphs by code, and torch gives up on code with too many."""
    recorder = Recorder()
    recorder.times = CallTimes()

    def timed(function: Any) -> Any:
        return calls.timed(function, lambda: False, recorder, lambda result: None).__code__

    twins = [lambda x, k=k: x * k for k in range(2)]
    assert timed(twins[0]) is timed(twins[1])
    assert timed(twins[0]) is not timed(lambda x: x)


def test_nothing_is_around_a_call_that_nobody_times() -> None:
    assert calls.timed(abs, lambda: False, Recorder(), lambda result: None) is abs


# Through pytest.

SUITE = """
    from pytest_graphmode.backends import calls

    def test_net(graphmode):
        def step(x):
            calls.perf_counter.passes(0.003 if graphmode.mode == SLOW else 0.001)
            return x

        step = graphmode.function(step)
        for _ in range(4):
            step(1)
"""


def paid(toy: Project, slow: str) -> tuple[Result, Any]:
    toy.write(SUITE.replace("SLOW", repr(slow)), "test_suite")
    result = toy.run("--graph-backends=toy:eager+graph", "--graph-report", "--graph-json=r.json", passed=2)
    (test,) = json.loads((toy.path / "r.json").read_text(encoding="utf-8"))["tests"]
    eager, graph = test["variants"]
    assert (eager["static"], eager["payback_seconds"], graph["static"]) == (False, None, True)
    assert eager["warm_up_seconds"] is not None
    return result, graph["payback_seconds"]


@pytest.mark.usefixtures("clock")
def test_a_graph_that_is_faster(toy: Project) -> None:
    result, found = paid(toy, "eager")
    assert (found["against"], found["measured"], found["build"]) == ("toy-eager-cpu", True, 0.25)
    assert (found["eager_call"], found["graph_call"]) == (pytest.approx(0.003), pytest.approx(0.001))
    assert found["calls"] == 125
    result.says(
        "test, variant * build*call pays",
        f"  toy-graph-cpu * 250 ms*1 ms*{found['calls']}",
        f"  toy-graph-cpu in test_suite.py::test_net pays after {found['calls']} calls",
        "    build 250 ms; 1 ms a call against 3 ms of toy-eager-cpu",
    )


@pytest.mark.usefixtures("clock")
def test_a_graph_that_is_slower(toy: Project) -> None:
    result, found = paid(toy, "graph")
    assert found["calls"] == "never"
    result.says("  toy-graph-cpu * never", "  toy-graph-cpu in test_suite.py::test_net never pays")


@pytest.mark.parametrize(
    ("mode", "generating", "said"), [("compile", False, 1), ("compile", True, 0), ("graph", False, 0)]
)
def test_torchs_backend_that_generates_no_code_is_named(mode: str, generating: bool, said: int) -> None:
    backend = "torch" if mode == "compile" else "tf"
    graph = Row("t", f"{backend}-{mode}-cpu", 1, 0, 0, 0, 9, 1, 0.3, 0.0, static=True, steady_seconds=2e-3)
    eager = Row("t", f"{backend}-eager-cpu", 0, 0, 0, 0, 9, 0, 0.0, 0.0, steady_seconds=1e-3)
    lines = table([graph, eager], generating=generating)
    assert sum("--graph-compiler=inductor" in line for line in lines) == said


def test_what_is_no_number_of_the_table_is_named() -> None:
    graph = Row("t", "tf-graph-cpu", 1, 0, 0, 0, 100, 1, 0.3, 1e-3, static=True)
    eager = Row("t", "tf-eager-cpu", 0, 0, 0, 0, 100, 0, 0.0, 1.84e-3, steady_seconds=846e-6)
    lines = table([graph, eager])
    assert lines[2].endswith(" 846 us")
    assert lines[-1] == (
        "    build 300 ms; about 1 ms a call against 1.84 ms of tf-eager-cpu, both as shares of the test's time"
    )
    measured = table([replace(graph, steady_seconds=0.5e-3), eager])
    assert measured[-1] == "    build 300 ms; 500 us a call against 846 us of tf-eager-cpu"


def test_where_no_payback_is_known_the_reason_stands_below_what_pays_means() -> None:
    few = Row("t", "tf-graph-cpu", 1, 0, 0, 0, 1, 1, 0.3, 1e-3, static=True)
    lines = table([few, Row("t", "tf-eager-cpu", 0, 0, 0, 0, 1, 0, 0.0, 1e-3)])
    assert lines[-2] == PAID
    assert lines[-1].startswith("  ? where no function was called again")


def test_a_function_that_is_called_once_is_not_known_to_pay(toy: Project) -> None:
    toy.write("def test_net(graphmode): graphmode.function(abs)(-1)")
    result = toy.run("--graph-backends=toy:eager+graph", "--graph-report")
    result.says(" *toy-graph-cpu * ?", "  ? where no function was called again,*")
    result.omits("static graphs against eager")
