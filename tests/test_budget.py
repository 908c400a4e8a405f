import pytest

from pytest_graphmode.arguments import tensor_argument
from pytest_graphmode.budget import verdict
from pytest_graphmode.identity import Identity
from pytest_graphmode.ledger import BuildReport, Fallback, GraphBreak
from pytest_graphmode.markers import Limit
from pytest_graphmode.recorder import Recorder
from pytest_graphmode.variant import Variant

STEP = Identity("step", "/home/me/model.py", 42, owner=1)
TF = Variant("tf", "graph", "cpu", "float32")
TORCH = Variant("torch", "eager", "cpu", "float32")


def ledger(*builds, calls=(), breaks=(), fallbacks=()):
    """A ledger of builds given as (backend, mode, number of builds)."""
    recorder = Recorder()
    for backend, mode, count in builds:
        for size in range(count):
            arguments = (tensor_argument("x", "float32", (size,)),)
            recorder.build(BuildReport(backend, mode, STEP, arguments=arguments, nodes=10, seconds=0.25))
    for backend, mode in calls:
        recorder.call(backend, mode)
    for backend, where in breaks:
        recorder.graph_break(GraphBreak(backend, "compile", "step", where, "call of print"))
    for backend in fallbacks:
        recorder.fallback(Fallback(backend, "compile", "step", "model.py:42", "recompile limit of 8 reached"))
    return recorder.ledger


def at_most(name="rebuilds", **values):
    return Limit(name, {key.removeprefix("_"): value for key, value in values.items()})


def exactly(**values):
    return Limit("rebuilds", {key.removeprefix("_"): value for key, value in values.items()}, exact=True)


def first_line(text):
    return text.splitlines()[0]


def test_a_test_without_limits_passes():
    assert verdict(ledger(("tf", "graph", 5)), [], None) is None


def test_limits_that_are_kept_pass():
    kept = [at_most(_=2), at_most("builds", _=3), at_most("nodes", _=30), at_most("seconds", _=0.75)]
    assert verdict(ledger(("tf", "graph", 3)), kept, None) is None


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (at_most(_=1), "2 rebuilds, at most 1 allowed"),
        (exactly(_=0), "2 rebuilds, at most 0 allowed"),
        (exactly(_=1), "2 rebuilds, exactly 1 expected"),
        (exactly(_=4), "2 rebuilds, exactly 4 expected: fewer than expected, write graph_rebuilds(2), or at_most=4"),
        (at_most("builds", _=2), "3 builds, at most 2 allowed"),
        (at_most("nodes", _=29), "30 nodes, at most 29 allowed"),
        (at_most("seconds", _=0.5), "0.75 s spent building, at most 0.5 allowed"),
        (at_most("breaks", _=0), "1 break, at most 0 allowed"),
    ],
)
def test_a_broken_limit_says_what_was_and_what_is_allowed_and_explains(limit, text):
    broken = ledger(("tf", "graph", 3), breaks=[("torch", "model.py:7")])
    assert first_line(verdict(broken, [limit], None)) == text
    assert verdict(broken, [limit], None).splitlines()[1:] == broken.explain().splitlines()


def test_the_text_of_a_failure_is_that_of_the_ledger():
    broken = ledger(("tf", "graph", 2))
    assert verdict(broken, [exactly(_=0)], None) == f"1 rebuild, at most 0 allowed\n{broken.explain()}"


def test_all_broken_limits_are_told_above_one_explanation():
    broken = ledger(("tf", "graph", 3))
    text = verdict(broken, [at_most(_=1), at_most("builds", _=1)], None)
    assert text == f"2 rebuilds, at most 1 allowed\n3 builds, at most 1 allowed\n{broken.explain()}"


# Keys: in a plain test each limit holds for what no more specific key names.

MIXED = [("tf", "graph", 2), ("tf", "xla", 3), ("torch", "compile", 4)]


@pytest.mark.parametrize(
    "limits",
    [
        [exactly(tf_graph=1, tf_xla=2, torch=3)],
        [exactly(tf=3, torch_compile=3)],
        [exactly(tf=1, tf_xla=2), at_most(_=3)],
        [exactly(tf=3), at_most(_=3)],
        [exactly(_=6)],
        [exactly(tf_graph=1, _=5)],
    ],
)
def test_the_most_specific_limit_wins(limits):
    assert verdict(ledger(*MIXED), limits, None) is None


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ([exactly(tf_graph=0, tf=2, torch=3)], "1 rebuild, at most 0 allowed (tf_graph)"),
        ([exactly(tf_graph=1, tf=1, torch=3)], "2 rebuilds, exactly 1 expected (tf)"),
        ([exactly(tf=3), at_most(_=2)], "3 rebuilds, at most 2 allowed"),
        ([at_most("builds", torch=3)], "4 builds, at most 3 allowed (torch)"),
    ],
)
def test_a_limit_of_a_part_is_broken_by_that_part_and_explains_that_part(limits, text):
    broken = ledger(*MIXED)
    failure = verdict(broken, limits, None)
    assert first_line(failure) == text
    assert "built 4 times" in failure if "torch" in text or "2 allowed" in text else "built 4 times" not in failure


def test_backends_with_underscores_have_keys_too():
    underscored = ledger(("my_backend", "fast", 3), ("my", "backend_fast", 1))
    assert verdict(underscored, [exactly(my_backend=2)], None) is None
    assert first_line(verdict(underscored, [exactly(my_backend=1)], None)).endswith("(my_backend)")


def test_two_markers_limits_on_one_count_both_hold():
    both = [at_most(_=5), at_most(_=1)]
    assert first_line(verdict(ledger(("tf", "graph", 3)), both, None)) == "2 rebuilds, at most 1 allowed"
    assert first_line(verdict(ledger(("tf", "graph", 3)), both, TF)) == "2 rebuilds, at most 1 allowed"


# Variants: the most specific limit holds for all that the variant did.


def test_a_variant_is_held_to_the_limit_that_names_it():
    two = ledger(("tf", "graph", 2))
    assert verdict(two, [exactly(tf_graph=1, tf=9, _=9)], TF) is None
    assert verdict(two, [exactly(tf=1, _=9)], TF) is None
    assert verdict(two, [exactly(torch=9), at_most(_=1)], TF) is None
    assert first_line(verdict(two, [exactly(tf=0, torch=1)], TF)) == "1 rebuild, at most 0 allowed (tf)"


def test_a_limit_of_another_backend_leaves_a_variant_alone():
    assert verdict(ledger(), [exactly(torch=0)], TF) is None


# Vacuous tests.


def test_a_test_in_which_no_graph_was_built_or_called_fails():
    failure = verdict(ledger(), [exactly(_=0)], None)
    assert "no graph was built and no existing graph was called" in failure
    assert "run_functions_eagerly" in failure
    assert verdict(ledger(), [exactly(_=0)], TF) == failure
    assert verdict(ledger(), [at_most("breaks", _=0)], None) == failure


def test_a_call_of_an_existing_graph_is_no_vacuous_pass():
    assert verdict(ledger(calls=[("tf", "graph")]), [exactly(_=0)], None) is None


def test_the_calls_must_be_of_what_the_limit_is_for():
    called = ledger(calls=[("tf", "graph")])
    assert verdict(called, [exactly(tf=0)], None) is None
    assert "no graph was built" in verdict(called, [exactly(torch=0)], None)
    assert verdict(called, [exactly(tf=0, torch=0)], None) is None


def test_calls_of_eager_code_are_no_calls_of_a_graph():
    eager = Recorder()
    eager.eager_call("torch", "eager", STEP, 0, lambda: None)
    assert "no graph was built" in verdict(eager.ledger, [exactly(_=0)], None)


def test_a_graph_that_autograd_records_serves_a_plain_test_and_no_static_variant():
    eager = Recorder()
    eager.eager_call("torch", "eager", STEP, 3, lambda: None)
    assert verdict(eager.ledger, [exactly(_=0)], None) is None
    assert "no graph was built" in verdict(eager.ledger, [exactly(_=0)], TF)


def test_in_a_mode_without_static_graphs_nothing_need_be_built():
    assert verdict(ledger(), [exactly(_=0)], TORCH, static=False) is None


def test_that_no_graph_is_built_can_be_asserted():
    assert verdict(ledger(), [at_most("builds", _=0)], None) is None


# The framework's own machinery.


def test_plumbing_is_held_against_a_budget_only_where_that_is_asked():
    recorder = Recorder()
    for internal in (False, True, True):
        identity = Identity("machinery" if internal else "step", "dataset.py" if internal else "model.py", 3)
        recorder.build(BuildReport("tf", "graph", identity, internal=internal))
    assert verdict(recorder.ledger, [at_most("builds", _=1)], None) is None
    failure = verdict(recorder.ledger, [Limit("builds", {"": 1}, internal=True)], None)
    assert first_line(failure) == "3 builds, at most 1 allowed"
    assert "machinery (dataset.py:3) built 2 times" in failure
    assert verdict(recorder.ledger, [Limit("builds", {"": 3}, internal=True)], None) is None


# Fallbacks.


def test_a_fallback_fails_any_assertion_of_rebuilds():
    fallen = ledger(("torch", "compile", 3), fallbacks=["torch"])
    failure = verdict(fallen, [at_most(_=10)], None)
    assert first_line(failure).startswith("rebuilds can't be asserted: a function fell back to eager execution")
    assert "step (model.py:42) fell back to eager execution: recompile limit of 8 reached" in failure
    assert verdict(fallen, [at_most(_=10)], Variant("torch", "compile", "cpu", "float32")) == failure


def test_a_fallback_leaves_other_limits_and_other_parts_alone():
    fallen = ledger(("tf", "graph", 2), ("torch", "compile", 3), fallbacks=["torch"])
    assert verdict(fallen, [at_most("builds", _=5)], None) is None
    assert verdict(fallen, [exactly(tf=1)], None) is None


def test_a_broken_limit_tells_of_the_fallback_too():
    fallen = ledger(("torch", "compile", 3), fallbacks=["torch"])
    failure = verdict(fallen, [exactly(_=0)], None)
    assert first_line(failure) == "2 rebuilds, at most 0 allowed"
    assert "fell back to eager execution" in failure
