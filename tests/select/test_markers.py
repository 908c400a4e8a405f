"""Marker arguments: what they mean, and how wrong ones fail collection."""

from typing import Any

import pytest

from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.checks.limits import Limit
from pytest_graphmode.select import markers
from pytest_graphmode.select.markers import AgreeRequest, GraphmodeRequest
from pytest_graphmode.select.settings import BackendChoice
from pytest_graphmode.select.variants import Variant, VariantPattern
from tests.project import Project

SPECS = {
    "tf": BackendSpec("tf", ("graph", "session"), "graph", "json", ("tf",), "module:Class"),
    "torch": BackendSpec("torch", ("eager", "compile"), "eager", "json", ("torch",), "module:Class"),
}
KEYS = "tf, tf_graph, tf_session, torch, torch_eager, torch_compile"


def mark(name: str, *args: Any, **kwargs: Any) -> pytest.Mark:
    return getattr(pytest.mark, name).with_args(*args, **kwargs).mark


# graphmode


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([], GraphmodeRequest()),
        ([mark("graphmode")], GraphmodeRequest()),
        ([mark("graphmode", "tf")], GraphmodeRequest((BackendChoice("tf"),))),
        ([mark("graphmode", ["tf:graph"])], GraphmodeRequest((BackendChoice("tf", ("graph",)),))),
        (
            [mark("graphmode", "torch:eager,torch:compile")],
            GraphmodeRequest((BackendChoice("torch", ("eager", "compile")),)),
        ),
        ([mark("graphmode", devices="cuda:0,cpu")], GraphmodeRequest(devices=("gpu:0", "cpu"))),
        ([mark("graphmode", devices="all")], GraphmodeRequest()),
        ([mark("graphmode", None, "cpu", ("float64",))], GraphmodeRequest(devices=("cpu",), dtypes=("float64",))),
        (
            [mark("graphmode", "tf"), mark("graphmode", "torch", dtypes="float64")],
            GraphmodeRequest((BackendChoice("tf"),), dtypes=("float64",)),
        ),
        ([mark("skip", reason="x"), mark("graphmode", "tf")], GraphmodeRequest((BackendChoice("tf"),))),
    ],
)
def test_graphmode_requests_take_each_field_from_the_closest_marker(
    marks: list[pytest.Mark], expected: GraphmodeRequest
) -> None:
    assert markers.graphmode_request(marks, SPECS) == expected


# graph_rebuilds and graph_budget


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([mark("graph_rebuilds", 0)], [Limit("rebuilds", {"": (0, 0)})]),
        ([mark("graph_rebuilds", count=3)], [Limit("rebuilds", {"": (3, 3)})]),
        ([mark("graph_rebuilds", at_most=2)], [Limit("rebuilds", {"": (0, 2)})]),
        (
            [mark("graph_rebuilds", tf=0, torch=499, torch_compile=0)],
            [Limit("rebuilds", {"tf": (0, 0), "torch": (499, 499), "torch_compile": (0, 0)})],
        ),
        ([mark("graph_rebuilds", 1, tf=0)], [Limit("rebuilds", {"": (1, 1), "tf": (0, 0)})]),
        (
            [mark("graph_rebuilds", at_most=1, tf=0)],
            [Limit("rebuilds", {"tf": (0, 0)}), Limit("rebuilds", {"": (0, 1)})],
        ),
        (
            [mark("graph_budget", builds=2, nodes={"tf": 100, "torch_compile": 50}, seconds=0.5)],
            [
                Limit("builds", {"": (0, 2)}),
                Limit("nodes", {"tf": (0, 100), "torch_compile": (0, 50)}),
                Limit("seconds", {"": (0, 0.5)}),
            ],
        ),
        ([mark("graph_rebuilds", 0), mark("graph_rebuilds", 9)], [Limit("rebuilds", {"": (0, 0)})]),
        (
            [mark("graph_rebuilds", 0), mark("graph_budget", breaks=0)],
            [Limit("rebuilds", {"": (0, 0)}), Limit("breaks", {"": (0, 0)})],
        ),
        ([mark("skip")], []),
    ],
)
def test_limits_of_the_closest_markers(marks: list[pytest.Mark], expected: list[Limit]) -> None:
    assert markers.limits(marks, SPECS) == expected


# graph_skip and graph_xfail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tf", VariantPattern("tf")),
        ("tf:session", VariantPattern("tf", "session")),
        ("torch@gpu", VariantPattern("torch", device="gpu")),
        ("torch@cuda", VariantPattern("torch", device="gpu")),
        ("torch:compile@cuda:1", VariantPattern("torch", "compile", "gpu:1")),
        (" torch : compile @ gpu ", VariantPattern("torch", "compile", "gpu")),
        ("torch[float64]", VariantPattern("torch", dtype="float64")),
        ("torch:compile@gpu[bfloat16]", VariantPattern("torch", "compile", "gpu", "bfloat16")),
        (" tf : graph [ float16 ] ", VariantPattern("tf", "graph", dtype="float16")),
    ],
)
def test_patterns(text: str, expected: VariantPattern) -> None:
    assert markers.parse_pattern(text, SPECS) == expected


def test_skip_and_xfail_become_pytests_own() -> None:
    skip, xfail = markers.variant_marks(
        [
            mark("graph_skip", "tf:session,torch@gpu", reason="not there"),
            mark("graph_xfail", ["torch"], reason="bug 1", raises=(ValueError, KeyError), strict=False),
        ],
        SPECS,
    )
    assert skip.mark == pytest.mark.skip(reason="not there")
    assert skip.applies(Variant("torch", "eager", "gpu:2"), SPECS)
    assert not skip.applies(Variant("tf", "graph"), SPECS)
    assert xfail.mark == pytest.mark.xfail(reason="bug 1", raises=(ValueError, KeyError), strict=False)


def test_xfail_is_strict_unless_told_otherwise() -> None:
    (xfail,) = markers.variant_marks([mark("graph_xfail", "tf", reason="bug")], SPECS)
    assert xfail.mark.kwargs == {"reason": "bug", "raises": None, "strict": True}


# graph_agree


def test_agree_requests() -> None:
    assert markers.agree_request(mark("graph_agree"), SPECS) == AgreeRequest()
    asked = mark("graph_agree", rtol=1e-3, atol=0, reference="tf:graph")
    assert markers.agree_request(asked, SPECS) == AgreeRequest(1e-3, 0, VariantPattern("tf", "graph"))


# Wrong arguments


WRONG = [
    (mark("graphmode", "jax"), "unknown backend 'jax': the backends are tf, torch"),
    (mark("graphmode", "tf:jit"), "unknown mode 'jit' of tf: its modes are graph, session"),
    (mark("graphmode", ""), "names no backend: the backends are tf, torch"),
    (mark("graphmode", 3), "backends must be a comma list or a list of strings, not 3"),
    (mark("graphmode", devices="gpux"), "'gpux' is not a device: write cpu, cpu:1, gpu:0"),
    (mark("graphmode", dtypes="int8"), "unknown dtype 'int8': the dtypes are float16, bfloat16, float32, float64"),
    (mark("graphmode", "tf", backends="tf"), "it got backends twice"),
    (mark("graphmode", backend="tf"), "it has no argument backend: it takes backends, devices, dtypes"),
    (mark("graphmode", 1, 2, 3, 4), "it takes 3 positional arguments"),
    (mark("graph_rebuilds"), f"it needs count, at_most or one of {KEYS}"),
    (mark("graph_rebuilds", 1, 2), "it takes 1 positional argument, and at_most, tf, tf_graph"),
    (mark("graph_rebuilds", 1, at_most=2), "it takes count or at_most, not both"),
    (mark("graph_rebuilds", -1), "count must be a whole number from 0, not -1"),
    (mark("graph_rebuilds", True), "count must be a whole number from 0, not True"),
    (mark("graph_rebuilds", tf=1.5), "tf must be a whole number from 0, not 1.5"),
    (mark("graph_rebuilds", keras=1), f"it has no argument keras: it takes count, at_most, {KEYS}"),
    (mark("graph_budget"), "it needs one of builds, rebuilds, breaks, fallbacks, nodes, seconds"),
    (
        mark("graph_budget", 1),
        "it takes no positional arguments, and builds, rebuilds, breaks, fallbacks, nodes, seconds, internal, wit",
    ),
    (
        mark("graph_budget", build=1),
        "it has no argument build: it takes builds, rebuilds, breaks, fallbacks, nodes, seconds",
    ),
    (mark("graph_budget", nodes={"keras": 1}), f"nodes has no key 'keras': the keys are {KEYS}"),
    (mark("graph_budget", builds=1, internal=1), "internal must be True, to count the framework's own machinery too"),
    (mark("graph_budget", nodes={"tf": -1}), "nodes must be a whole number from 0, not -1"),
    (mark("graph_budget", nodes={}), f"nodes is an empty dict: its keys may be {KEYS}"),
    (mark("graph_budget", seconds="1"), "seconds must be a number of seconds from 0, not '1'"),
    (mark("graph_budget", seconds=float("nan")), "seconds must be a number of seconds from 0, not nan"),
    (mark("graph_skip", "tf"), "it needs the variants it is for, and reason='why'"),
    (mark("graph_skip", reason="why"), "it needs the variants it is for, and reason='why'"),
    (mark("graph_skip", "", reason="why"), "it names no variants: write 'tf', 'tf:session', 'torch@gpu'"),
    (mark("graph_skip", "jax", reason="why"), "unknown backend 'jax': the backends are tf, torch"),
    (mark("graph_skip", "tf:a", reason="why"), "unknown mode 'a' of tf: its modes are graph, session"),
    (mark("graph_skip", "tf@", reason="why"), "'' is not a device"),
    (mark("graph_skip", "tf[int8]", reason="why"), "unknown dtype 'int8': the dtypes are float16, bfloat16, float32"),
    (mark("graph_skip", "tf[]", reason="why"), "unknown dtype '': the dtypes are float16, bfloat16, float32, float64"),
    (mark("graph_skip", "tf[float64", reason="why"), "'tf[float64' does not end with its dtype: write torch[float64]"),
    (mark("graph_skip", "tf[float64]@cpu", reason="why"), "'tf[float64]@cpu' does not end with its dtype"),
    (mark("graph_skip", "tf:graph+session", reason="why"), "'tf:graph+session' names several modes"),
    (mark("graph_skip", "tf", reason="why", strict=True), "it has no argument strict: it takes variants, reason"),
    (mark("graph_xfail", "tf", "why"), "it takes 1 positional argument, and reason, raises, strict, when by name"),
    (mark("graph_xfail", "tf", reason="why", raises="x"), "raises must be an exception class or a tuple of them"),
    (mark("graph_xfail", "tf", reason="why", strict="no"), "strict must be True or False, not 'no'"),
    (
        mark("graph_agree", 1e-3),
        "it takes no positional arguments, and rtol, atol, reference, dtypes, triage, when by name",
    ),
    (mark("graph_agree", rtol="x"), "rtol must be a number from 0, not 'x'"),
    (mark("graph_agree", atol=-1), "atol must be a number from 0, not -1"),
    (mark("graph_agree", dtypes="float32"), "dtypes must be True or False, not 'float32'"),
    (mark("graph_agree", reference=1), "reference must be a variant like 'torch', not 1"),
    (mark("graph_agree", reference="jax"), "unknown backend 'jax': the backends are tf, torch"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=lambda value: value if isinstance(value, str) else value.name)
def test_wrong_arguments_are_told_with_the_legal_ones(wrong: pytest.Mark, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        markers.check([wrong], SPECS)
    text = str(caught.value)
    assert text.startswith(f"@pytest.mark.{wrong.name}(")
    assert message in text


def test_a_wrong_marker_is_found_behind_one_that_overrides_it() -> None:
    with pytest.raises(ValueError, match="unknown backend 'jax'"):
        markers.check([mark("graphmode", "tf"), mark("graphmode", "jax")], SPECS)


@pytest.mark.parametrize("argument", ["", "graphmode"])
@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("graph_rebuilds(keras=0)", "it has no argument keras: it takes count, at_most, *"),
        ("graph_agree(reference='nothing')", "unknown backend 'nothing': the backends are *"),
    ],
)
def test_wrong_arguments_fail_collection_without_a_traceback(
    toy: Project, argument: str, marker: str, message: str
) -> None:
    toy.write(f"@pytest.mark.{marker}\ndef test_wrong({argument}): pass")
    toy.run("--graph-backends=numpy").fails_collection(f"*::test_wrong: @pytest.mark.{marker}: {message}")


def test_all_markers_are_registered(toy: Project) -> None:
    toy.write("""
        pytestmark = pytest.mark.graphmode("numpy")

        @pytest.mark.graph_skip("toy", reason="why")
        @pytest.mark.graph_xfail("toy", reason="why")
        @pytest.mark.graph_rebuilds(0)
        @pytest.mark.graph_budget(nodes=100)
        def test_marked(graphmode):
            graphmode.function(lambda x: x)(1.0)
    """)
    toy.run("--strict-markers", "--graph-backends=numpy", passed=1)
    listed = toy.run("--markers").stdout.str()
    for name in ("graphmode", "graph_rebuilds", "graph_budget", "graph_agree", "graph_skip", "graph_xfail"):
        assert f"@pytest.mark.{name}(" in listed


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.graph_rebuild(0)\ndef test_net(): pass",
        "@pytest.mark.graph_rebuild(0)\ndef test_net(graphmode): pass",
        "pytestmark = pytest.mark.graph_rebuild(0)\ndef test_net(): pass",
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.graph_rebuild(0))])\ndef test_net(x): pass",
        "class TestNet(unittest.TestCase):\n    @pytest.mark.graph_rebuild(0)\n    def test_net(self): pass",
        "@pytest.mark.graph_rebuild(0)\nclass TestNet(unittest.TestCase):\n    def test_net(self): pass",
    ],
)
@pytest.mark.filterwarnings("ignore:Unknown pytest.mark.graph_rebuild")
def test_a_typo_in_a_markers_name_fails_collection(toy: Project, source: str) -> None:
    toy.write(f"import unittest\n{source}")
    toy.run("--graph-backends=numpy").fails_collection(
        "*: @pytest.mark.graph_rebuild is no marker: did you mean graph_rebuilds? There are graphmode, graph_rebuilds, "
        "*graph_xfail, and those that the ini file registers under markers"
    )


def test_a_marker_of_the_projects_own_may_begin_with_graph(toy: Project) -> None:
    toy.makeini("[pytest]\nmarkers =\n    graph_neural(depth): ours\n    graph_slow: ours\n")
    toy.write("""
        @pytest.mark.graph_slow
        @pytest.mark.graph_neural(3)
        def test_net():
            pass
    """)
    toy.run("--strict-markers", passed=1)
