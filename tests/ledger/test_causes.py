import dataclasses
from functools import partial

import pytest

from pytest_graphmode.ledger import causes, identity
from pytest_graphmode.ledger.arguments import tensor_argument, value_argument
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import CAUSE_KINDS, BuildReport, Cause, Condition

STEP = Identity("step", "/home/me/model.py", 42, owner=1)


def report(*arguments, **more):
    return BuildReport("tf", "graph", **{"identity": STEP, **more}, arguments=arguments)


def tensor(name="x", shape=(3,), dtype="float32", **more):
    return tensor_argument(name, dtype, shape, **more)


def found(*reports):
    """The causes of the last report, after the others."""
    history = causes.History()
    for earlier in reports[:-1]:
        history.add(earlier)
    return history.causes(reports[-1])


def only(*reports):
    (cause,) = found(*reports)
    return cause


def test_a_first_build_has_no_cause():
    assert found(report(tensor())) == ()


@pytest.mark.parametrize(
    ("before", "after", "kind", "text"),
    [
        (tensor(shape=(32, 3)), tensor(shape=(7, 3)), "shape", "x changed shape [32, 3] -> [7, 3]"),
        (tensor(shape=(None, 3)), tensor(shape=(4, 3)), "shape", "x changed shape [None, 3] -> [4, 3]"),
        (tensor(shape=(3,)), tensor(shape=()), "rank", "x changed rank [3] -> []"),
        (tensor(shape=None), tensor(shape=(3,)), "rank", "x changed rank [?] -> [3]"),
        (tensor(), tensor(dtype="int32"), "dtype", "x changed dtype float32 -> int32"),
        (tensor(device="cpu"), tensor(device="gpu:0"), "device", "x changed device cpu -> gpu:0"),
        (tensor(layout="(3, 1)"), tensor(layout="(1, 3)"), "layout", "x changed layout (3, 1) -> (1, 3)"),
        (tensor(requires_grad=False), tensor(requires_grad=True), "grad-mode", "x.requires_grad changed False -> True"),
        (
            tensor(),
            tensor(type_name="Variable", text="Variable float32[3]"),
            "structure",
            "x changed structure float32[3] -> Variable float32[3]",
        ),
        (
            value_argument("training", True),
            value_argument("training", False),
            "python-value",
            "training is a Python bool that changed True -> False",
        ),
        (value_argument("n", 1), value_argument("n", 1.0), "python-value", "n is a Python float that changed 1 -> 1.0"),
        (
            value_argument("rate", 0.5),
            tensor("rate", ()),
            "structure",
            "rate changed structure Python float 0.5 -> float32[]",
        ),
    ],
)
def test_the_change_of_an_argument_is_named(before, after, kind, text):
    cause = only(report(before), report(after))
    assert (cause.kind, str(cause)) == (kind, text)
    assert cause.argument in (before.name, f"{before.name}.requires_grad")
    assert f"{cause.before} -> {cause.after}" in text
    assert cause.kind in CAUSE_KINDS


def test_all_changed_arguments_are_named_in_the_order_of_the_later_build():
    first = report(tensor("x", (3,)), value_argument("n", 1), tensor("y", (2,)))
    second = report(tensor("y", (2, 2), "int32"), tensor("x", (4,)), value_argument("n", 2))
    assert [(cause.kind, cause.argument) for cause in found(first, second)] == [
        ("dtype", "y"),
        ("rank", "y"),
        ("shape", "x"),
        ("python-value", "n"),
    ]


def test_another_structure_names_what_came_and_went():
    first = report(tensor("batch['x']"), tensor("batch['y']"))
    second = report(tensor("batch['x']"), value_argument("batch['n']", 3))
    assert str(only(first, second)) == "batch changed structure batch['y']: float32[3] -> batch['n']: 3"


def test_an_argument_that_is_gone_is_named():
    cause = only(report(tensor("x"), tensor("y")), report(tensor("x")))
    assert str(cause) == "y was given before, and is not any more"
    cause = only(report(tensor("xs[0]"), tensor("xs[1]")), report(tensor("xs[0]")))
    assert str(cause) == "xs has an element less: xs[1]"


def test_a_structure_of_many_leaves_is_cut():
    many = [tensor(f"w[{index}]") for index in range(10)]
    cause = only(report(tensor("w")), report(*many))
    assert cause.after == "w[0]: float32[3], w[1]: float32[3], w[2]: float32[3] and 7 more"


def test_a_build_is_compared_with_the_latest_that_it_could_have_reused():
    first = report(tensor("x", (3,)), value_argument("n", 1))
    second = report(tensor("x", (4,)), value_argument("n", 2))
    third = report(tensor("x", (3,)), value_argument("n", 7))
    assert [str(cause) for cause in found(first, second, third)] == [
        "x changed shape [4] -> [3]",
        "n is a Python int that changed 2 -> 7",
    ]


def test_another_owner_is_a_new_function_object():
    other = dataclasses.replace(STEP, owner=2)
    cause = only(report(tensor()), report(tensor(), identity=other))
    assert cause.kind == "new-function-object"
    assert cause.what == "the same code was wrapped again, in a new function object without the graphs of the last"
    assert cause.hint == "wrap the function once, outside the loop, and call that"
    kinds = [cause.kind for cause in found(report(tensor()), report(tensor(shape=(4,)), identity=other))]
    assert kinds == ["new-function-object", "shape"]


def identity_of(function, owner):
    return dataclasses.replace(identity.of(function), owner=owner)


def scaled(factor):
    return lambda x: x * factor


class Agent:
    def __init__(self, units, name="a"):
        self.units = units
        self.name = name

    def act(self, x):
        return x * self.units


class Rule:
    def __init__(self, rate):
        self.rate = rate


ANEW = ", which the function closes over,"


@pytest.mark.parametrize(
    ("before", "after", "kind", "argument", "what"),
    [
        (scaled(0.1), scaled(0.2), "closure", "factor", f"factor{ANEW} changed 0.1 -> 0.2"),
        (scaled(Rule(0.1)), scaled(Rule(0.2)), "closure", "factor.rate", f"factor.rate{ANEW} changed 0.1 -> 0.2"),
        (scaled(Rule(0.1)), scaled(Rule(0.1)), "closure", "factor", f"factor{ANEW} is another Rule object, made anew"),
        (
            Agent(1).act,
            Agent(2).act,
            "another-object",
            "Agent.units",
            "the function belongs to another Agent object, whose units changed 1 -> 2",
        ),
        (Agent(1).act, Agent(1).act, "another-object", "Agent", "the function belongs to another Agent object"),
        (partial(pow, exp=2), partial(pow, exp=3), "closure", "exp", f"exp{ANEW} changed 2 -> 3"),
    ],
)
def test_what_was_made_anew_is_named_with_what_differs(before, after, kind, argument, what):
    first, second = identity_of(before, 1), identity_of(after, 2)
    assert first.same(second)
    cause = only(report(identity=first), report(identity=second))
    assert (cause.kind, cause.argument, cause.what) == (kind, argument, what)
    assert cause.hint


def test_where_the_graphs_still_serve_what_is_closed_over_is_not_blamed():
    function = scaled([1])
    first = identity_of(function, 1)
    function.__closure__[0].cell_contents = [2]
    assert [
        cause.kind for cause in found(report(identity=first), report(tensor(), identity=identity_of(function, 1)))
    ] == ["structure"]


def test_a_function_that_had_graphs_before_is_built_again():
    assert [cause.kind for cause in found(report(tensor(), existing=True))] == ["guard"]
    earlier = [report(tensor(shape=(1,))), report(tensor(shape=(2,)))]
    cause = only(report(tensor(shape=(3,)), existing=True, earlier=lambda: earlier))
    assert (cause.kind, cause.before, cause.after) == ("shape", "[2]", "[3]")


def test_a_source_that_says_it_has_said_all_is_believed():
    told = (Cause("guard", "L['x'] is 3"),)
    assert found(report(tensor()), report(tensor(shape=(4,)), causes=told, complete=True)) == told


def test_builds_are_compared_with_those_of_their_own_owner():
    other = dataclasses.replace(STEP, owner=2)
    cause = only(report(tensor(shape=(1,))), report(tensor(shape=(2,)), identity=other), report(tensor(shape=(3,))))
    assert (cause.kind, cause.before) == ("shape", "[1]")


def test_what_the_framework_knows_comes_first_and_is_not_said_twice():
    told = (Cause("guard", "", hint="look"), Cause("shape", "x", "3", "4", "mark it"))
    second = report(tensor(shape=(4,)), value_argument("n", 2), causes=told)
    causes = found(report(tensor(shape=(3,)), value_argument("n", 1)), second)
    assert causes[:2] == told
    assert [cause.argument for cause in causes[2:]] == ["n"]


def test_arguments_that_nothing_looks_at_are_not_blamed():
    first = report(tensor("x", (3,)), value_argument("unused", 1))
    second = report(tensor("x", (4,)), value_argument("unused", 2), considered=frozenset({"x"}))
    assert only(first, second).argument == "x"


def test_conditions_are_compared_like_arguments():
    first = report(tensor(), conditions=(Condition("device", "the call", "/CPU:0"), Condition("global-state", "a", "")))
    second = report(
        tensor(), conditions=(Condition("device", "the call", "/CPU:1"), Condition("global-state", "a", "b"))
    )
    assert [str(cause) for cause in found(first, second)] == [
        "the call changed device /CPU:0 -> /CPU:1",
        "a changed  -> b",
    ]


def test_where_nothing_changed_the_graph_was_gone():
    cause = only(report(tensor()), report(tensor()))
    assert cause.kind == "cache-reset"
    assert str(cause) == "nothing it depends on changed, but the graph built before was not there"


def test_where_nothing_changed_since_a_failed_build_that_is_said():
    cause = only(report(tensor(), failed=True), report(tensor()))
    assert str(cause).endswith("was not there (the earlier one raised)")


def test_hint_are_those_of_the_event_source_with_the_arguments_name():
    hints = {"shape": "mark {argument}", "python-value": "pass a tensor", "python-object": "pass an equal one"}
    first = report(tensor(), value_argument("n", 1), value_argument("mode", "a"), hints=hints)
    second = report(tensor(shape=(4,)), value_argument("n", 2), value_argument("mode", "b"), hints=hints)
    assert [str(cause) for cause in found(first, second)] == [
        "x changed shape [3] -> [4]: mark x",
        "n is a Python int that changed 1 -> 2: pass a tensor",
        "mode is a Python str that changed 'a' -> 'b': pass an equal one",
    ]


class Config:
    def __init__(self, hashed):
        self._hashed = hashed

    def __repr__(self):
        return "Config()"

    def __hash__(self):
        return self._hashed


def test_values_that_read_the_same_are_told_apart():
    cause = only(report(value_argument("config", Config(1))), report(value_argument("config", Config(2))))
    assert str(cause) == "config is another Config object, made anew (Config())"
    long = "a" * 80
    assert only(report(value_argument("s", long + "b")), report(value_argument("s", long + "c"))).kind == "python-value"


def test_values_that_are_equal_are_taken_for_one_and_objects_without_an_equality_are_not():
    @dataclasses.dataclass(frozen=True)
    class Equal:
        n: int

    assert only(report(value_argument("config", Equal(1))), report(value_argument("config", Equal(1)))).kind == (
        "cache-reset"
    )
    assert only(report(value_argument("config", Config(1))), report(value_argument("config", Config(1)))).kind == (
        "python-value"
    )


class Rude:
    def __repr__(self):
        raise RuntimeError("not now")

    __hash__ = None


def test_a_value_that_can_be_neither_shown_nor_hashed_is_described():
    assert value_argument("x", Rude()).text == "<Rude>"


def test_long_and_many_lined_values_are_cut_to_one_line():
    argument = value_argument("x", [[0] * 100])
    assert len(argument.text) == 60
    assert argument.text.endswith("...")

    class Poem:
        def __repr__(self):
            return "a\n   b"

    assert value_argument("x", Poem()).text == "a b"


def test_a_long_history_is_compared_with_its_latest_part():
    history = causes.History()
    for size in range(1000):
        history.add(report(tensor(shape=(size,))))
    assert history.count == 1000
    assert len(history._builds) <= 2 * causes.RECENT
    (cause,) = history.causes(report(tensor(shape=(5000,))))
    assert cause.before == "[999]"
