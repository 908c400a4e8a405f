"""What reports show of builds: conditions in words, and a few drawings, those of first builds first."""

import pytest

from pytest_graphmode.backends.calls import converting
from pytest_graphmode.ledger import details, drawing
from pytest_graphmode.ledger.details import MOST_DRAWINGS
from pytest_graphmode.ledger.drawing import Draft, Drawing, GraphNode, TooLargeError, sizes
from pytest_graphmode.ledger.identity import Identity, of
from pytest_graphmode.ledger.ledger import BuildReport, Condition
from pytest_graphmode.ledger.recorder import Recorder


def drawn(name: str) -> Drawing:
    return Drawing((GraphNode(name),))


def build(recorder: Recorder, function: str, drawing: Drawing | None, **more: object) -> None:
    recorder.build(BuildReport("tf", "graph", Identity(function, "a.py", hash(function)), drawing=drawing, **more))


def test_equal_graphs_are_kept_once() -> None:
    recorder = Recorder(reported=True)
    for _ in range(3):
        build(recorder, "step", drawn("add"))
    kept = {id(event.drawing) for event in recorder.ledger.events}
    assert len(kept) == 1
    assert recorder.ledger.events[0].drawing == drawn("add")


def test_a_function_that_is_built_again_and_again_leaves_room_for_others() -> None:
    recorder = Recorder(reported=True)
    for number in range(20):
        build(recorder, "step", drawn(f"{number}"))
    build(recorder, "loss", drawn("mul"))
    *steps, loss = recorder.ledger.events
    assert [event.drawing is not None for event in steps] == [True] * 5 + [False] * 15
    assert loss.drawing == drawn("mul")
    assert recorder.drawing


def test_there_is_an_end_to_it() -> None:
    recorder = Recorder(reported=True)
    for number in range(MOST_DRAWINGS + 1):
        assert recorder.drawing is (number < MOST_DRAWINGS)
        build(recorder, f"f{number}", drawn(f"{number}"))
    assert [event.drawing is not None for event in recorder.ledger.events] == [True] * MOST_DRAWINGS + [False]
    recorder.restart()
    assert recorder.drawing


def test_no_more_are_looked_at_than_can_be_afforded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "_MOST_TRIES", 3)
    recorder = Recorder(reported=True)
    for _ in range(3):
        build(recorder, "step", drawn("add"))
    assert not recorder.drawing


def test_what_the_plugin_wraps_functions_in_is_no_condition() -> None:
    recorder = Recorder(reported=True)
    recorder.build(BuildReport("tf", "graph", of(converting(lambda x: x, lambda leaf: leaf))))
    assert not any("convert" in name for name in recorder.ledger.events[0].conditions)


def test_conditions_in_words() -> None:
    class Model:
        def __init__(self) -> None:
            self.rate = 0.5

        def step(self, x: float) -> float:
            return x * factor * self.rate

    factor = 2.0
    recorder = Recorder(reported=True)
    settings = (Condition("grad-mode", "", "no_grad"), Condition("global-state", "one of many", "1", shown=False))
    guards = {"n": "3"}
    recorder.build(BuildReport("tf", "graph", of(Model().step), conditions=settings, depends_on=lambda: guards))
    assert recorder.ledger.events[0].conditions == {
        "n": "3",
        "bound to Model": "<Model>",
        "Model.rate": "0.5",
        "closes over factor": "2.0",
        "grad-mode": "no_grad",
    }


def test_what_can_not_be_described_is_noted() -> None:
    def fails() -> dict[str, str]:
        raise KeyError("gone")

    recorder = Recorder(reported=True)
    recorder.build(BuildReport("tf", "graph", Identity("step", "a.py", 1), depends_on=fails))
    recorder.eager_call("torch", "eager", Identity("loss", "a.py", 2), 3, lambda: None, fails)  # type: ignore[arg-type]
    assert [event.conditions for event in recorder.ledger.events] == [{}, {}]
    assert recorder.ledger.notes == (
        "the conditions of a build could not be described: KeyError: 'gone'",
        "a graph could not be drawn: KeyError: 'gone'",
    )


def test_a_drawing_of_anybodys_is_looked_at() -> None:
    recorder = Recorder(reported=True)
    body = Drawing((GraphNode("add", inputs=(1,)), GraphNode("argument", kind="input")))
    build(recorder, "step", Drawing((GraphNode("while", bodies=(("body", body),)),)))
    assert recorder.ledger.events[0].drawing is None
    assert recorder.ledger.notes == (
        "the graph of step is not shown: node 0, add, comes before node 1, whose values it takes, in while",
    )


def test_a_draft_knows_where_values_come_from() -> None:
    draft = Draft()
    x = draft.add(GraphNode("argument", "x", "input"), "x")
    draft.add(GraphNode("add", inputs=draft.numbers(["x", "x", "from elsewhere"])), "sum", "carry")
    assert (x, draft.numbers(["carry", "x"])) == (0, (1, 0))
    assert draft.has("sum")
    assert not draft.has("difference")
    inner = draft.drawing()
    assert Drawing((GraphNode("while", bodies=(("body", inner), ("cond", inner))),)).size == 5
    assert sizes([2, None, "s0"]) == (2, None, None)
    assert sizes(None) is None


def test_a_draft_has_an_end_with_its_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_MOST_NODES", 2)
    draft = Draft()
    draft.add(GraphNode("a"))
    body = Draft(draft)
    body.add(GraphNode("b"))
    with pytest.raises(TooLargeError):
        draft.add(GraphNode("c"))
