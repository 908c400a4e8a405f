from dataclasses import replace

import pytest

from pytest_graphmode.checks import budget
from pytest_graphmode.checks.limits import Limit
from pytest_graphmode.ledger.arguments import tensor_argument
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import BuildReport, Fallback, GraphBreak
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.select.variants import Variant

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
    return Limit(name, {key.removeprefix("_"): (0, value) for key, value in values.items()})


def exactly(**values):
    return Limit("rebuilds", {key.removeprefix("_"): (value, value) for key, value in values.items()})


def verdict(ledger, limits, variant, **more):
    return budget.verdict(budget.Question(ledger, variant, **more), limits)


def first_line(text):
    return text.splitlines()[0]


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


# Variants: the most specific limit holds for all that the variant did.


def test_a_variant_is_held_to_the_limit_that_names_it():
    two = ledger(("tf", "graph", 2))
    assert verdict(two, [exactly(tf_graph=1, tf=9, _=9)], TF) is None
    assert verdict(two, [exactly(tf=1, _=9)], TF) is None
    assert verdict(two, [exactly(torch=9), at_most(_=1)], TF) is None
    assert first_line(verdict(two, [exactly(tf=0, torch=1)], TF)) == "1 rebuild, at most 0 allowed (tf)"


# Vacuous tests.


def test_a_test_in_which_no_graph_was_built_or_called_fails():
    failure = verdict(ledger(), [exactly(_=0)], None)
    assert "no graph was built and no existing graph was called" in failure
    assert "run_functions_eagerly" in failure
    assert verdict(ledger(), [exactly(_=0)], TF) == failure
    assert verdict(ledger(), [at_most("breaks", _=0)], None) == failure


def test_the_calls_must_be_of_what_the_limit_is_for():
    called = ledger(calls=[("tf", "graph")])
    assert verdict(called, [exactly(tf=0)], None) is None
    assert "no graph was built" in verdict(called, [exactly(torch=0)], None)
    assert verdict(called, [exactly(tf=0, torch=0)], None) is None


def recorded(times=2):
    eager = Recorder()
    for _ in range(times):
        eager.eager_call("torch", "eager", STEP, 3, lambda: None)
    return eager


@pytest.mark.parametrize("variant", [None, TF])
@pytest.mark.parametrize("limit", [exactly(_=0), exactly(torch=0), at_most("builds", _=1), at_most("nodes", _=1)])
def test_a_graph_that_autograd_records_is_none_that_a_plain_test_or_static_variant_is_about(limit, variant):
    if variant is None or "torch" not in limit.values:
        assert "no graph was built" in verdict(recorded().ledger, [limit], variant)
    both = recorded()
    both.build(BuildReport("torch", "compile", STEP))
    assert verdict(both.ledger, [limit], None) is None


def test_a_test_that_only_recorded_graphs_is_told_where_they_count():
    failure = verdict(recorded().ledger, [exactly(torch=0)], None)
    assert failure.endswith("counts only where its mode is named: torch_eager=...")
    assert "counts only where" not in verdict(ledger(), [exactly(torch=0)], None)


def test_a_missing_build_is_explained():
    wanted = Limit("builds", {"": (1, 1)})
    assert "eager modes record a graph only where a gradient is asked for" in verdict(ledger(), [wanted], None)
    called = verdict(ledger(calls=[("tf", "graph")]), [wanted], None)
    assert called.endswith("a graph that was built before was called instead: it is still there")
    other = verdict(ledger(("tf", "graph", 3)), [Limit("builds", {"torch": (1, 1)})], None)
    assert "eager modes" not in other
    assert "built before" not in other
    assert verdict(ledger(("tf", "graph", 1)), [wanted], None) is None


def test_recorded_graphs_count_where_their_mode_is_named():
    assert verdict(recorded().ledger, [exactly(torch_eager=1)], None) is None
    assert first_line(verdict(recorded().ledger, [exactly(torch_eager=0)], None)).startswith("1 rebuild, at most 0")
    assert verdict(recorded().ledger, [exactly(_=1)], TORCH, static=False) is None


def test_a_graph_that_a_check_built_is_a_graph():
    checked = Recorder()
    assert "no graph was built" in verdict(checked.ledger, [exactly(_=0)], None)
    checked.hidden()
    assert verdict(checked.ledger, [exactly(_=0)], None) is None


def test_only_a_mark_of_the_tests_own_can_be_vacuous():
    inherited = replace(exactly(_=0), own=False)
    assert verdict(ledger(), [inherited], None) is None
    assert "no graph was built" in verdict(ledger(), [inherited, at_most("builds", _=1)], None)
    assert verdict(ledger(("tf", "graph", 2)), [inherited], None) is not None


# Pairs, packages, functions, objects.


def two_functions():
    recorder = Recorder()
    for file, name, count in (("/home/me/app/layers/conv.py", "Conv.call", 3), ("/lib/other/model.py", "step", 2)):
        for size in range(count):
            identity = Identity(name, file, 7)
            recorder.build(BuildReport("tf", "graph", identity, (tensor_argument("x", "float32", (size,)),)))
    recorder.graph_break(GraphBreak("torch", "compile", "f", "conv.py:3", "print", file="/home/me/app/layers/conv.py"))
    recorder.graph_break(GraphBreak("torch", "compile", "g", "model.py:4", "print", file="/lib/other/model.py"))
    return recorder.ledger


@pytest.mark.parametrize(
    ("scope", "count"),
    [
        ({"within": "app"}, 2),
        ({"within": "app.layers"}, 2),
        ({"within": "app.layers.conv"}, 2),
        ({"within": "other"}, 1),
        ({"function": "step"}, 1),
        ({"function": "Conv.call"}, 2),
        ({"function": "call"}, 2),
        ({}, 3),
    ],
)
def test_a_limit_may_look_at_one_package_or_function(scope, count):
    assert verdict(two_functions(), [Limit("rebuilds", {"": (count, count)}, **scope)], None) is None
    failure = verdict(two_functions(), [Limit("rebuilds", {"": (0, count - 1)}, **scope)], None)
    assert f"at most {count - 1} allowed" in first_line(failure)


@pytest.mark.parametrize("scope", [{"function": "stpe"}, {"within": "appp"}])
def test_a_function_or_package_that_built_nothing_is_named(scope):
    failure = verdict(two_functions(), [Limit("rebuilds", {"": (0, 0)}, **scope)], None)
    assert "which built no graph; what built some: Conv.call (/home/me/app/layers/conv.py:7), step" in failure
    assert next(iter(scope.values())) in failure


def called(ledger, *calls):
    for function in calls:
        ledger.add_call(("tf", "graph", function))
    return ledger


def test_a_function_that_nobody_knows_is_named_also_where_others_were_called_often():
    limit = [Limit("builds", {"": (0, 5)}, function="stpe")]
    failure = verdict(called(two_functions(), *["step", "call"] * 5), limit, None)
    assert "function 'stpe', which built no graph; what built some: Conv.call" in failure
    assert verdict(called(two_functions(), *["outer"] * 6), limit, None) is None  # its graph may hold the function
    assert verdict(called(two_functions(), *[""] * 6), limit, None) is None
    kept = [Limit("builds", {"": (0, 5)}, function="stpe", fresh=False)]
    assert verdict(called(two_functions(), *["step"] * 6), kept, None) is None


def test_a_function_that_no_eager_variant_called_is_named():
    eager = Variant("torch", "eager", "cpu", "float32")
    recorder = Recorder()
    recorder.counter(Identity("step", "model.py", 4), "torch", "eager").tally[0] += 1
    limit = [Limit("builds", {"": (0, 1)}, function="nosuch")]
    failure = verdict(recorder.ledger, limit, eager, static=False)
    assert "function 'nosuch', which was not run; what was: step (model.py:4)" in failure
    assert verdict(ledger(), limit, eager, static=False).endswith("which was not run; what was: nothing")
    assert verdict(recorder.ledger, [Limit("builds", {"": (0, 1)}, function="step")], eager, static=False) is None
    of_class = [Limit("builds", {"": (0, 1)}, function="nosuch", own=False)]
    assert verdict(recorder.ledger, of_class, eager, static=False) is None


def test_breaks_count_in_the_packages_that_the_project_names():
    limit = [at_most("breaks", _=1)]
    assert first_line(verdict(two_functions(), limit, None)) == "2 breaks, at most 1 allowed"
    assert verdict(two_functions(), limit, None, within=("app",)) is None
    assert verdict(two_functions(), [at_most("breaks", _=0)], None, within=("nobody",)) is None
    assert verdict(two_functions(), [at_most("breaks", _=0)], None, within=("app", "nobody")) is not None


def agents(count=3):
    recorder = Recorder()
    for bound in range(count):
        identity = Identity("Agent.act", "/home/me/agent.py", 7, bound=bound + 1, owner=bound + 1)
        recorder.build(BuildReport("tf", "graph", identity))
    return recorder


def test_functions_are_told_apart_by_object_where_that_is_asked():
    limit = exactly(_=0)
    failure = verdict(agents().ledger, [limit], None)
    assert first_line(failure) == "2 rebuilds, at most 0 allowed"
    assert "each of these objects was built once" in failure
    assert "per_object=True tells them apart" in failure
    assert verdict(agents().ledger, [replace(limit, per_object=True)], None) is None
    assert verdict(agents().ledger, [limit], None, per_object=True) is None
    assert verdict(agents().ledger, [replace(limit, per_object=False)], None, per_object=True) is not None


def test_told_apart_by_object_what_one_object_builds_again_is_a_rebuild():
    again = agents()
    again.build(BuildReport("tf", "graph", Identity("Agent.act", "/home/me/agent.py", 7, bound=1, owner=1)))
    failure = verdict(again.ledger, [replace(exactly(_=0), per_object=True)], None)
    assert first_line(failure) == "1 rebuild, at most 0 allowed"
    assert "per_object" not in verdict(again.ledger, [exactly(_=0)], None)


# Counts that can't be trusted.

GONE = {"torch": "torch 9.9: this version has no convert_frame._compile"}


@pytest.mark.parametrize(
    ("limit", "variant"),
    [
        (exactly(torch=0), None),
        (exactly(torch_compile=0), None),
        (exactly(_=0), None),
        (exactly(_=0), Variant("torch", "compile", "cpu", "float32")),
        (at_most("builds", _=0), None),
    ],
)
def test_a_limit_about_a_backend_that_is_not_counted_fails_with_the_reason(limit, variant):
    failure = verdict(ledger(), [limit], variant, untrusted=GONE)
    assert failure.startswith("the graphs of torch are not counted, so nothing can be asserted about them: torch 9.9")
    assert "README names as tested" in failure


@pytest.mark.parametrize(("limit", "variant"), [(exactly(tf=1), None), (exactly(_=1), None), (exactly(_=1), TF)])
def test_limits_about_other_backends_stand(limit, variant):
    assert verdict(ledger(("tf", "graph", 2)), [limit], variant, untrusted=GONE) is None


# The framework's own machinery.


def test_plumbing_is_held_against_a_budget_only_where_that_is_asked():
    recorder = Recorder()
    for internal in (False, True, True):
        identity = Identity("machinery" if internal else "step", "dataset.py" if internal else "model.py", 3)
        recorder.build(BuildReport("tf", "graph", identity, internal=internal))
    assert verdict(recorder.ledger, [at_most("builds", _=1)], None) is None
    failure = verdict(recorder.ledger, [Limit("builds", {"": (0, 1)}, internal=True)], None)
    assert first_line(failure) == "3 builds, at most 1 allowed"
    assert "machinery (dataset.py:3) built 2 times" in failure
    assert verdict(recorder.ledger, [Limit("builds", {"": (0, 3)}, internal=True)], None) is None


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
