from pytest_graphmode.ledger.arguments import tensor_argument, value_argument
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import BuildReport, Fallback, GraphBreak, GraphLedger
from pytest_graphmode.ledger.recorder import Recorder

STEP = Identity("train_step", "model.py", 42, owner=1)
HINTS = {
    "shape": "tf.function(reduce_retracing=True) or an input_signature with None",
    "python-value": "pass a tensor, or accept one build per value",
}


def built(shape, training, nodes, line, seconds=0.1, identity=STEP, **more):
    return BuildReport(
        "tf",
        "graph",
        identity,
        arguments=(tensor_argument("x", "float32", shape), value_argument("training", training)),
        nodes=nodes,
        seconds=seconds,
        call_site=f"test_model.py:{line}",
        hints=HINTS,
        **more,
    )


def recorded(*reports):
    recorder = Recorder()
    for report in reports:
        recorder.build(report)
    return recorder.ledger


def test_the_text_lines_up_builds_with_causes_and_hint():
    ledger = recorded(
        built((32, 3), True, 41, 17), built((32, 3), False, 39, 18), built((7, 3), False, 39, 21, seconds=0.11)
    )
    assert ledger.explain().splitlines() == [
        "  train_step (model.py:42) built 3 times in 0.31 s",
        "    1  x: float32[32, 3], training: True            41 nodes   called from test_model.py:17",
        "    2  x: float32[32, 3], training: False           39 nodes   called from test_model.py:18",
        "       training is a Python bool that changed True -> False: pass a tensor, or accept one build per value",
        "    3  x: float32[7, 3],  training: False           39 nodes   called from test_model.py:21",
        "       x changed shape [32, 3] -> [7, 3]: tf.function(reduce_retracing=True) or an input_signature with None",
    ]


def test_an_empty_ledger_says_so():
    assert GraphLedger().explain() == "  nothing was built"


def test_builds_of_several_functions_stand_together():
    other = Identity("loss", "model.py", 50, owner=2)
    ledger = recorded(built((1,), True, 1, 1), built((1,), True, 2, 2, identity=other), built((2,), True, 3, 3))
    heads = [line for line in ledger.explain().splitlines() if "built" in line]
    assert heads == ["  train_step (model.py:42) built 2 times in 0.20 s", "  loss (model.py:50) built once in 0.10 s"]


def test_a_build_without_arguments_nodes_or_call_site_has_no_stray_spaces():
    ledger = recorded(BuildReport("tf", "graph", STEP))
    assert ledger.explain().splitlines()[1] == "    1              0 nodes"


def test_a_failed_build_is_marked():
    ledger = recorded(built((3,), True, 0, 17, failed=True), built((3,), True, 4, 18))
    lines = ledger.explain().splitlines()
    assert lines[1] == "    1  x: float32[3], training: True             failed   called from test_model.py:17"
    assert lines[2] == "    2  x: float32[3], training: True            4 nodes   called from test_model.py:18"


def test_of_very_many_builds_the_first_and_last_are_shown():
    ledger = recorded(*(built((size,), True, 4, 17) for size in range(1, 101)))
    text = ledger.explain()
    assert "built 100 times" in text
    assert "    ... 80 more builds" in text
    assert [int(line.split()[0]) for line in text.splitlines() if " nodes" in line] == [*range(1, 11), *range(91, 101)]


def test_of_very_many_arguments_the_first_are_shown():
    arguments = tuple(tensor_argument(f"w{index}", "float32", ()) for index in range(30))
    text = recorded(BuildReport("tf", "graph", STEP, arguments=arguments)).explain()
    assert "w6: float32[], and 23 more" in text
    assert "w7" not in text


def test_breaks_and_fallbacks_are_told():
    ledger = GraphLedger()
    ledger.add_break(GraphBreak("torch", "compile", "step", "model.py:7", "call of print"))
    ledger.add_fallback(Fallback("torch", "compile", "step", "model.py:3", "recompile limit of 8 reached"))
    assert ledger.explain().splitlines() == [
        "  graph break at model.py:7: call of print",
        "  step (model.py:3) fell back to eager execution: recompile limit of 8 reached",
    ]


def test_the_frameworks_own_builds_are_told_apart():
    ledger = recorded(
        built((3,), True, 4, 17),
        BuildReport("tf", "graph", Identity("initialize_variables", "core.py", 9), internal=True),
        BuildReport("tf", "graph", Identity("parse", "data.py", 3), internal=True),
    )
    assert ledger.builds == 1
    assert ledger.explain().splitlines()[-1] == (
        "  not counted: 2 builds of the framework's own machinery, initialize_variables (core.py:9), parse (data.py:3)"
    )


def test_eagerly_recorded_graphs_have_an_event_a_structure_and_a_word_on_the_rest():
    recorder = Recorder(structures=True)
    for nodes in (3, 3, 5, 3):
        recorder.eager_call("torch", "eager", STEP, nodes, lambda: None)
    ledger = recorder.ledger
    lines = ledger.explain().splitlines()
    assert lines[0] == "  train_step (model.py:42) recorded a graph 4 times"
    assert [line.split("   called")[0] for line in lines[1:3]] == [
        "    1              3 nodes",
        "    3              5 nodes",
    ]
    assert lines[3:] == [
        f"       {ledger.events[1].cause}",
        "       an eager framework records a graph on every call: allow for it, or run the function in a static mode",
    ]


def test_the_rest_of_a_function_after_a_break_stands_behind_it():
    rest = Identity("train_step after its graph break", "model.py", 45, role="resumed")
    other = Identity("other", "model.py", 60)
    ledger = recorded(
        built((1,), True, 1, 1),
        built((1,), True, 1, 2, identity=other),
        built((1,), True, 1, 1, identity=rest, resumed=True),
    )
    heads = [line.split(" built")[0].strip() for line in ledger.explain().splitlines() if " built " in line]
    assert heads == [
        "train_step (model.py:42)",
        "train_step after its graph break (model.py:45)",
        "other (model.py:60)",
    ]


def test_what_went_wrong_beside_the_code_is_noted():
    def hook(build):
        raise ValueError("no disk")

    recorder = Recorder(on_build=hook)
    for shape in ((1,), (2,)):
        recorder.build(built(shape, True, 1, 1))
    assert recorder.ledger.builds == 2
    lines = recorder.ledger.explain().splitlines()
    assert lines[-1] == "  note: the hook pytest_graphmode_build raised ValueError: no disk"
    assert recorder.ledger.notes == ("the hook pytest_graphmode_build raised ValueError: no disk",)
