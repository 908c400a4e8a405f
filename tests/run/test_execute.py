"""How a test is bound to its variants: parameters, marks, seeds, isolation and vacuous use."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_graphmode import Variant
from pytest_graphmode.run.execute import base_id, seed_of

BOTH = "--graph-backends=toy,numpy"


def node(name: str, callspec: str | None, parent: str = "test_a.py::TestNet") -> SimpleNamespace:
    """What `base_id` reads of an item, in an xdist worker too, where `@group` is added to the node id."""
    found = SimpleNamespace(
        name=f"{name}[{callspec}]", originalname=name, parent=SimpleNamespace(nodeid=parent), nodeid="not to be used"
    )
    if callspec is not None:
        found.callspec = SimpleNamespace(id=callspec)
    return found


@pytest.mark.parametrize(
    ("callspec", "expected"),
    [
        ("tf-graph-cpu", "test_a.py::TestNet::test_net"),
        ("tf-graph-cpu-3", "test_a.py::TestNet::test_net[3]"),
        ("tf-graph-cpu-float64", "test_a.py::TestNet::test_net[float64]"),
        ("tf-graph-cpu-tf-graph-cpu", "test_a.py::TestNet::test_net[tf-graph-cpu]"),
        ("3-tf-graph-cpu-4", "test_a.py::TestNet::test_net[3-4]"),
        (None, "test_a.py::TestNet::test_net"),
    ],
)
def test_the_base_id_has_no_variant(callspec: str | None, expected: str) -> None:
    assert base_id(node("test_net", callspec), Variant("tf", "graph")) == expected  # type: ignore[arg-type]


def test_the_base_id_of_another_dtype() -> None:
    variant = Variant("tf", "graph", dtype="float64")
    found = base_id(node("test_net", "tf-graph-cpu-float64-float64"), variant)  # type: ignore[arg-type]
    assert found == "test_a.py::TestNet::test_net[float64]"


def test_seeds_differ_by_test_and_by_option() -> None:
    assert seed_of(0, "a") == seed_of(0, "a")
    assert len({seed_of(0, "a"), seed_of(1, "a"), seed_of(0, "b")}) == 3
    assert 0 <= seed_of(2**32 - 1, "a") < 2**31


# Parameters


def listed(result: pytest.RunResult) -> list[str]:
    return [
        line.partition("::")[2] for line in result.outlines if "::" in line and not line.startswith(("FAIL", "ERR"))
    ]


def test_ids_begin_with_the_variant(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        def pytest_generate_tests(metafunc):
            if "late" in metafunc.fixturenames:
                metafunc.parametrize("late", ["z"])

        @pytest.fixture(params=["p", "q"])
        def made(request):
            return request.param

        @pytest.mark.parametrize(("a", "b"), [(1, 2), (3, 4)])
        def test_parametrized(graphmode, a, b): pass

        def test_fixture(made, graphmode): pass

        def test_hook(late, graphmode): pass
        """
    )
    assert listed(toy.runpytest_inprocess(BOTH, "--collect-only", "-q")) == [
        "test_parametrized[toy-graph-cpu-1-2]",
        "test_parametrized[toy-graph-cpu-3-4]",
        "test_parametrized[numpy-eager-cpu-1-2]",
        "test_parametrized[numpy-eager-cpu-3-4]",
        "test_fixture[toy-graph-cpu-p]",
        "test_fixture[toy-graph-cpu-q]",
        "test_fixture[numpy-eager-cpu-p]",
        "test_fixture[numpy-eager-cpu-q]",
        "test_hook[toy-graph-cpu-z]",
        "test_hook[numpy-eager-cpu-z]",
    ]


def test_a_test_may_name_its_variants_itself(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest
        from pytest_graphmode import Variant

        own = [Variant("numpy", "eager").param(), Variant("toy", "eager").param()]

        @pytest.mark.parametrize("graphmode", own, indirect=True)
        def test_own(graphmode): graphmode.variant

        @pytest.mark.parametrize("graphmode_like", [1])
        def test_like(graphmode, graphmode_like): graphmode.variant
        """
    )
    result = toy.runpytest_inprocess("--graph-backends=toy", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_own[[]numpy-eager-cpu]*", "*test_own[[]toy-eager-cpu]*", "*toy-graph-cpu-1]*"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("toy", "toy-graph-cpu"),
        ("toy:eager", "toy-eager-cpu"),
        ("toy-eager-cpu", "toy-eager-cpu"),
        ("toy@gpu[float64]", "toy-graph-gpu:0-float64"),
        ("toy-graph-gpu:0-float64", "toy-graph-gpu:0-float64"),
    ],
)
@pytest.mark.parametrize("form", ["['{}'], indirect=True", "[p('{}')], indirect=['graphmode']"])
def test_a_test_may_name_its_variants_by_strings(toy: pytest.Pytester, name: str, expected: str, form: str) -> None:
    toy.makepyfile(
        f"""
        import pytest

        p = pytest.param

        @pytest.mark.graph_agree
        @pytest.mark.parametrize("graphmode", {form.format(name)})
        def test_own(graphmode):
            assert str(graphmode.variant) == "{expected}"
            graphmode.agree(x=1)
        """
    )
    result = toy.runpytest_inprocess("--graph-backends=numpy", "-v")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines([f"*::test_own[[]{expected}] PASSED*", "*::test_own[[]agreement] SKIPPED*"])


def test_a_variant_that_is_named_twice_has_no_two_agreement_items_of_one_name(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.graph_agree
        @pytest.mark.parametrize("graphmode", ["toy", "numpy", "toy-graph-cpu"], indirect=True)
        def test_own(graphmode): graphmode.agree(x=1)
        """
    )
    result = toy.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*('graphmode', ...) names toy-graph-cpu twice,* name each variant once"])


@pytest.mark.parametrize(("rtol", "errors"), [(0.5, 1), (0.1, 0)])
def test_variants_that_are_compared_have_one_agreement_mark(toy: pytest.Pytester, rtol: float, errors: int) -> None:
    toy.makepyfile(
        f"""
        import pytest

        loose = pytest.param("numpy", marks=pytest.mark.graph_agree(rtol={rtol}))

        @pytest.mark.graph_agree(rtol=0.1)
        @pytest.mark.parametrize("graphmode", ["toy", loose], indirect=True)
        def test_own(graphmode): graphmode.agree(x=1)
        """
    )
    result = toy.runpytest_inprocess()
    result.assert_outcomes(errors=errors, passed=0 if errors else 3)
    if errors:
        result.stdout.fnmatch_lines(["*toy-graph-cpu and numpy-eager-cpu have graph_agree marks with different*"])


def test_variants_named_beside_other_arguments_agree(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.graph_agree
        @pytest.mark.parametrize(
            argnames=("x", "graphmode"), argvalues=[(1, "toy"), (1, "numpy")], indirect=["graphmode"]
        )
        def test_own(graphmode, x): graphmode.agree(x=x)
        """
    )
    toy.runpytest_inprocess().assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("['toyy'], indirect=True", "graphmode can't be 'toyy', which names no variant: unknown backend 'toyy': *toy*"),
        ("['toy:slow'], indirect=True", "*unknown mode 'slow' of toy: *graph*write 'tf', 'torch:compile', *"),
        ("['toy-graph-disk'], indirect=True", "*'toy-graph-disk'*"),
        ("[3], indirect=True", "graphmode can't be 3: name a variant, 'tf', *"),
        ("['toy']", "parametrize('graphmode', ...) would hand the test these values*: add indirect=True*"),
    ],
)
def test_a_test_that_names_no_variant_is_not_collected(toy: pytest.Pytester, arguments: str, message: str) -> None:
    toy.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("graphmode", {arguments})
        def test_own(graphmode): pass
        """
    )
    result = toy.runpytest_inprocess("--graph-backends=numpy")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*::test_own*: {message}"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_named_variant_that_is_not_installed_skips_with_the_hint(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("graphmode", ["missing"], indirect=True)
        def test_own(graphmode): graphmode.variant
        """
    )
    toy.makeconftest(
        """
        from pytest_graphmode import BackendSpec

        def pytest_graphmode_backends():
            return [BackendSpec("missing", ("eager",), "eager", "no_such", ("no-such",), "no_such:Backend")]
        """
    )
    result = toy.runpytest_inprocess("--graph-backends=numpy", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*missing-eager-cpu was named by the test, *: pip install no-such"])


def test_markers_narrow_functions_classes_and_modules(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        test_module="""
        import pytest

        pytestmark = pytest.mark.graphmode("toy")

        def test_module(graphmode): pass

        @pytest.mark.graphmode("numpy")
        class TestClass:
            def test_class(self, graphmode): pass

            @pytest.mark.graphmode(dtypes="float64")
            def test_function(self, graphmode): pass
        """
    )
    result = toy.runpytest_inprocess(BOTH, "--graph-dtypes=float32,float64", "--collect-only", "-q")
    assert listed(result) == [
        "test_module[toy-graph-cpu]",
        "test_module[toy-graph-cpu-float64]",
        "TestClass::test_class[numpy-eager-cpu]",
        "TestClass::test_class[numpy-eager-cpu-float64]",
        "TestClass::test_function[numpy-eager-cpu-float64]",
    ]


def test_a_marker_asks_for_modes_that_the_run_leaves_open(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.graphmode("toy:eager+graph")
        def test_modes(graphmode): pass
        """
    )
    assert listed(toy.runpytest_inprocess("--graph-backends=toy", "--collect-only", "-q")) == [
        "test_modes[toy-eager-cpu]",
        "test_modes[toy-graph-cpu]",
    ]
    assert listed(toy.runpytest_inprocess("--graph-backends=toy:graph", "--collect-only", "-q")) == [
        "test_modes[toy-graph-cpu]"
    ]


def test_all_runs_every_installed_backend_in_every_mode(toy: pytest.Pytester) -> None:
    toy.makepyfile("def test_all(graphmode): pass")
    found = listed(toy.runpytest_inprocess("--graph-backends=all", "--collect-only", "-q"))
    assert {"test_all[numpy-eager-cpu]", "test_all[toy-graph-cpu]", "test_all[toy-eager-cpu]"} <= set(found)
    assert not any("absent" in line for line in found)


def test_no_variant_left_is_one_skipped_item_that_says_so(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.graphmode("toy")
        def test_narrow(graphmode):
            raise AssertionError
        """
    )
    result = toy.runpytest_inprocess("--graph-backends=numpy", "-rs", "-v")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*::test_narrow[[]no-variant] SKIPPED*",
            "SKIPPED [[]1]*: no variant is left of the selected ones: its marker asks for backends toy, not numpy; *",
        ]
    )


def test_without_a_framework_tests_skip_with_the_hint(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for framework in ("tensorflow", "torch"):
        monkeypatch.setitem(__import__("sys").modules, framework, None)
    pytester.makepyfile("def test_any(graphmode): raise AssertionError")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED [[]1]*: neither TensorFlow nor PyTorch is installed: pip install pytest-graphmode[[]tf] or pip *"]
    )


@pytest.mark.parametrize("fixture", ["request.getfixturevalue('graphmode')", "self"])
def test_variants_that_come_too_late_are_explained(toy: pytest.Pytester, fixture: str) -> None:
    if fixture == "self":
        toy.makepyfile(
            """
            import unittest, pytest

            @pytest.mark.usefixtures("graphmode")
            class TestCase(unittest.TestCase):
                def test_late(self): pass
            """
        )
    else:
        toy.makepyfile(f"def test_late(request):\n    {fixture}\n")
    result = toy.runpytest_inprocess(BOTH)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*graphmode must be an argument of the test, or of a fixture that is: *"])


# Marks on variants


def test_skip_and_xfail_by_variant(toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_graphmode.select.registry.accelerator_present", lambda: True)
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.graph_skip("toy@gpu", reason="no gpu here")
        @pytest.mark.graph_xfail("numpy", reason="bug 7", raises=ZeroDivisionError)
        def test_net(graphmode):
            if graphmode.backend == "numpy":
                1 / 0
        """
    )
    result = toy.runpytest_inprocess(BOTH, "-rxs", "-v")
    result.assert_outcomes(passed=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "*::test_net[[]toy-graph-cpu] PASSED*",
            "*::test_net[[]toy-graph-gpu:0] SKIPPED*",
            "*::test_net[[]numpy-eager-cpu] XFAIL*",
            "XFAIL *::test_net[[]numpy-eager-cpu] - bug 7",
            "SKIPPED *: no gpu here",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "body", "outcome"),
    [
        ("raises=KeyError", "1 / 0", "failed"),
        ("raises=(KeyError, ZeroDivisionError)", "1 / 0", "xfailed"),
        ("strict=True", "pass", "failed"),
        ("strict=False", "pass", "xpassed"),
        ("reason='again'", "1 / 0", None),
    ],
)
def test_xfail_raises_and_strict(toy: pytest.Pytester, arguments: str, body: str, outcome: str | None) -> None:
    reason = "" if outcome is None else "reason='why', "
    toy.makepyfile(
        f"""
        import pytest

        @pytest.mark.graph_xfail("numpy", {reason}{arguments})
        class TestClass:
            def test_net(self, graphmode):
                graphmode.variant
                {body}
        """
    )
    toy.runpytest_inprocess("--graph-backends=numpy").assert_outcomes(**{outcome or "xfailed": 1})


def test_one_variants_mark_leaves_the_others_alone(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        @pytest.mark.graph_xfail("toy:eager", reason="other mode")
        def test_net(graphmode):
            graphmode.variant
        """
    )
    toy.runpytest_inprocess("--graph-backends=toy").assert_outcomes(passed=1)


def test_marks_of_a_single_parameter(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import pytest

        skipped = pytest.param(2, marks=pytest.mark.graph_skip("toy", reason="not two"))
        failing = pytest.param(3, marks=pytest.mark.graph_xfail("numpy", reason="three", raises=ZeroDivisionError))

        @pytest.mark.parametrize("number", [1, skipped, failing])
        def test_net(graphmode, number):
            if graphmode.backend == "numpy" and number == 3:
                1 / 0
        """
    )
    result = toy.runpytest_inprocess(BOTH, "-v")
    result.assert_outcomes(passed=4, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["*[[]toy-graph-cpu-2] SKIPPED*", "*[[]numpy-eager-cpu-3] XFAIL*"])


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("graph_skip('jax:nil', reason='x')", "graph_skip(*): unknown mode 'nil' of jax: *"),
        ("graph_rebuilds(-1)", "graph_rebuilds(-1): count must be a whole number from 0, not -1"),
        ("graphmode('toy')", "graphmode can't narrow one parameter: use graph_skip(variants, reason=...)"),
    ],
)
def test_wrong_marks_of_a_single_parameter(toy: pytest.Pytester, mark: str, message: str) -> None:
    toy.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.{mark})])
        def test_net(graphmode, number): pass
        """
    )
    result = toy.runpytest_inprocess(BOTH)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*::test_net[[]toy-graph-cpu-2]: @pytest.mark.{message}"])
    result.stdout.no_fnmatch_line("*plugin.py*")


# Vacuous use

VACUOUS = "*the test asked for graphmode and never used it*use the handle in the body, or drop the argument*"


@pytest.mark.parametrize(
    "source",
    [
        "def test_net(graphmode): pass",
        "def test_net(graphmode): assert graphmode, repr(graphmode)",
        "import pytest\n@pytest.mark.usefixtures('graphmode')\nclass TestNet:\n    def test_net(self): pass",
    ],
)
def test_vacuous_use_fails(toy: pytest.Pytester, source: str) -> None:
    toy.makepyfile(source)
    result = toy.runpytest_inprocess("--graph-backends=numpy", "-s")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([VACUOUS])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    "source",
    [
        "def test_net(graphmode): graphmode.variant",
        "def test_net(graphmode): graphmode.tensor([1.0])",
        "def test_net(graphmode): graphmode.pick(tf=1)",
        """
        import pytest

        @pytest.fixture
        def model(graphmode): return graphmode.variable([1.0])

        def test_net(model): assert model == 1
        """,
    ],
)
def test_use_of_any_attribute_is_enough(toy: pytest.Pytester, source: str) -> None:
    toy.makepyfile(source)
    result = toy.runpytest_inprocess("--graph-backends=numpy")
    assert result.ret == pytest.ExitCode.OK


def test_a_failing_test_fails_for_its_own_reason(toy: pytest.Pytester) -> None:
    toy.makepyfile("def test_net(graphmode): assert 1 == 2")
    result = toy.runpytest_inprocess("--graph-backends=numpy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*"])
    result.stdout.no_fnmatch_line("*never used it*")
    result.stdout.no_fnmatch_line("*item.py*")


# Randomness


def test_variants_of_one_test_share_their_random_numbers(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import random
        import numpy as np
        import pytest

        def draw(graphmode):
            return graphmode.rng.random(), random.random(), np.random.random()

        @pytest.mark.parametrize("number", [1, 2])
        def test_first(graphmode, number):
            print("DREW", number, *draw(graphmode))

        def test_second(graphmode):
            print("DREW", 3, *draw(graphmode))
        """
    )
    result = toy.runpytest_inprocess(BOTH, "-s")
    drawn = [line.partition("DREW ")[2] for line in result.outlines if "DREW" in line]
    assert len(drawn) == 6
    assert len(set(drawn)) == 3
    assert len({number for line in drawn for number in line.split()[1:]}) == 9
    again = toy.runpytest_inprocess("--graph-backends=numpy", "-s", "-k", "second")
    assert any(drawn[-1] in line for line in again.outlines)


RESEEDING = """
import random
import numpy as np

def pytest_runtest_call(item):
    random.seed(len(item.nodeid))
    np.random.seed(len(item.nodeid))
"""


def test_plugins_that_seed_every_call_change_nothing(toy: pytest.Pytester) -> None:
    toy.makepyfile(
        """
        import random
        import numpy as np
        import pytest
        import toybackend

        @pytest.fixture
        def before(graphmode):
            return random.random(), np.random.random()

        def test_draw(graphmode, before):
            now = random.random(), np.random.random()
            print("DREW", *before, *now)
            assert not set(before) & set(now)
        """
    )
    with (toy.path / "conftest.py").open("a") as conftest:
        conftest.write("\n\ndef seed(self, seed): print('SEEDED', seed)\n\ntoybackend.Toy.seed = seed\n")
    alone = toy.runpytest_inprocess(BOTH, "-s").outlines
    with (toy.path / "conftest.py").open("a") as conftest:
        conftest.write(RESEEDING)
    beside = toy.runpytest_inprocess(BOTH, "-s").outlines
    drawn = [line.partition("DREW ")[2] for line in (*alone, *beside) if "DREW" in line]
    assert len(drawn) == 4
    assert len(set(drawn)) == 1
    seeds = [line.partition("SEEDED ")[2] for line in beside if "SEEDED" in line]
    assert len(seeds) == len(set(seeds)) == 2  # the framework too: for the fixtures, and for the call


def test_random_states_outlive_the_test_unchanged(toy: pytest.Pytester) -> None:
    with (toy.path / "conftest.py").open("a") as conftest:
        conftest.write(
            """

import random
import numpy as np
import pytest

def states():
    return random.getstate(), np.random.get_state()[1].tolist()

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before = states()
    ran = yield
    print("RESTORED", states() == before)
    return ran
"""
        )
    toy.makepyfile("import random\ndef test_draw(graphmode): random.seed(graphmode.rng.random())")
    result = toy.runpytest_inprocess("--graph-backends=numpy", "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*RESTORED True*"])


def test_a_dtype_that_a_backend_lacks_skips_with_its_reason(toy: pytest.Pytester) -> None:
    toy.makeconftest(
        """
        import toybackend
        from contextlib import contextmanager
        from pytest_graphmode import UnsupportedError

        def precision(self, dtype):
            raise UnsupportedError(f"toy has no {dtype}")

        toybackend.Toy.precision = precision

        def pytest_graphmode_backends():
            return [toybackend.SPEC]
        """
    )
    toy.makepyfile("def test_net(graphmode): graphmode.variant")
    result = toy.runpytest_inprocess("--graph-backends=toy", "--graph-dtypes=bfloat16", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*toy has no bfloat16"])
