"""When functions were called between builds, by what a recorder was told: no call is lost or counted twice."""

import time
from typing import Any

import pytest

from pytest_graphmode.ledger.durations import CallTimes
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import BuildReport
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.report import stretches
from pytest_graphmode.report.stretches import MOST_STRETCHES, stretches_data

STEP, LOSS = (Identity(name, f"{name}.py", 1) for name in ("Model.step", "loss"))


class Clock:
    """The time, which tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "perf_counter", made)
    return made


def told(recorder: Recorder, clock: Clock, identity: Identity, began: float, ended: float, **more: Any) -> None:
    clock.now = ended
    recorder.build(BuildReport("tf", "graph", identity, seconds=ended - began, **more))


def shown(recorder: Recorder, seconds: float) -> list[tuple[float, float, dict[str, int]]]:
    found = stretches_data(recorder.ledger, seconds, known=True)
    return [(one["begun_seconds"], one["ended_seconds"], one["calls"]) for one in found]


def test_calls_stand_between_builds(clock: Clock) -> None:
    recorder = Recorder(reported=True)
    told(recorder, clock, STEP, 1.0, 2.0)
    recorder.call("tf", "graph", "step")
    recorder.call("tf", "graph", "step")
    told(recorder, clock, STEP, 4.0, 5.0)
    recorder.call("tf", "graph", "step")
    recorder.call("tf", "graph")
    assert shown(recorder, 7.0) == [(2.0, 4.0, {"step": 2}), (5.0, 7.0, {"step": 1, "tf:graph": 1})]
    first, last = stretches_data(recorder.ledger, 7.0, known=True)
    assert (first["call_seconds"], last["call_seconds"]) == (1.0, 1.0)
    assert stretches_data(recorder.ledger, 7.0, known=False)[0]["call_seconds"] is None


def test_what_calls_took_by_measure(clock: Clock) -> None:
    recorder = Recorder(reported=True)
    recorder.times = CallTimes()
    for ended, took in ((2.0, (1.0, 0.25, 0.75)), (6.0, (0.5,))):
        told(recorder, clock, STEP, ended - 1.0, ended)
        for number, seconds in enumerate(took):
            recorder.call("tf", "graph", "step")
            recorder.times.add(seconds, first=number == 0)
    found = stretches_data(recorder.ledger, 7.0, recorder.times.totals, known=True)
    assert [(one["first_call_seconds"], one["steady_call_seconds"]) for one in found] == [(1.0, 0.5), (0.5, None)]


def test_a_call_told_of_before_its_build_stands_after_it(clock: Clock) -> None:
    recorder = Recorder(reported=True)
    recorder.call("torch", "compile", "step")
    told(recorder, clock, STEP, 1.0, 2.0, called=True)
    told(recorder, clock, LOSS, 2.5, 3.0, called=True)
    assert shown(recorder, 4.0) == [(3.0, 4.0, {"step": 1})]


def test_nested_builds_are_one(clock: Clock) -> None:
    recorder = Recorder(reported=True)
    recorder.call("tf", "graph", "before")
    told(recorder, clock, LOSS, 2.0, 3.0)
    clock.now = 4.0
    recorder.build(BuildReport("tf", "graph", STEP, seconds=2.0, began=1.0))
    recorder.call("tf", "graph", "step")
    assert shown(recorder, 5.0) == [(0.0, 1.0, {"before": 1}), (4.0, 5.0, {"step": 1})]


def test_what_came_before_the_test_is_forgotten(clock: Clock) -> None:
    recorder = Recorder(reported=True)
    recorder.call("tf", "graph", "fixture")
    clock.now = 10.0
    recorder.restart()
    told(recorder, clock, STEP, 11.0, 12.0)
    recorder.call("tf", "graph", "fixture")
    assert shown(recorder, 3.0) == [(2.0, 3.0, {"fixture": 1})]


def test_many_stretches_are_joined_in_their_middle(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "MOST_STRETCHES", 3)
    recorder = Recorder(reported=True)
    for number in range(5):
        recorder.call("tf", "graph", "step")
        told(recorder, clock, STEP, number + 0.5, number + 1.0)
    first, middle, last = stretches_data(recorder.ledger, 5.0, known=True)
    assert (middle["begun_seconds"], middle["ended_seconds"], middle["calls"]) == (1.0, 3.5, {"step": 3})
    assert (first["call_seconds"], middle["call_seconds"], last["call_seconds"]) == (0.5, 0.5, 0.5)
    assert MOST_STRETCHES == 401


def test_nothing_is_kept_for_reports_where_there_is_none(clock: Clock) -> None:
    recorder = Recorder()
    recorder.call("tf", "graph", "step")
    told(recorder, clock, STEP, 1.0, 2.0)
    (event,) = recorder.ledger.events
    assert (event.calls, event.conditions, event.drawing, recorder.drawing) == ({}, {}, None, False)


def test_eager_calls(clock: Clock) -> None:
    recorder = Recorder(reported=True)
    for moment, nodes in ((1.0, 3), (2.0, 3), (3.0, 4)):
        clock.now = moment
        recorder.eager_call("torch", "eager", STEP, nodes, lambda: None)
    assert shown(recorder, 3.0) == [(0.0, 1.0, {"Model.step": 1}), (1.0, 3.0, {"Model.step": 2})]
