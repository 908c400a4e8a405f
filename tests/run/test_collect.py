"""How a test gets its variants when it is collected."""

import pytest

from tests.project import Project, Result

BOTH = "--graph-backends=toy,numpy"


# Parameters


def listed(result: Result) -> list[str]:
    return [
        line.partition("::")[2] for line in result.outlines if "::" in line and not line.startswith(("FAIL", "ERR"))
    ]


def test_ids_begin_with_the_variant(toy: Project) -> None:
    toy.write("""
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
    """)
    assert listed(toy.run(BOTH, "--collect-only", "-q")) == [
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


def test_a_test_may_name_its_variants_itself(toy: Project) -> None:
    toy.write("""
        from pytest_graphmode import Variant

        own = [Variant("numpy", "eager").param(), Variant("toy", "eager").param()]

        @pytest.mark.parametrize("graphmode", own, indirect=True)
        def test_own(graphmode): graphmode.variant

        @pytest.mark.parametrize("graphmode_like", [1])
        def test_like(graphmode, graphmode_like): graphmode.variant
    """)
    result = toy.run("--graph-backends=toy", "-v", passed=3)
    result.says("*test_own[[]numpy-eager-cpu]*", "*test_own[[]toy-eager-cpu]*", "*toy-graph-cpu-1]*")


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
def test_a_test_may_name_its_variants_by_strings(toy: Project, name: str, expected: str, form: str) -> None:
    toy.write(f"""
        p = pytest.param

        @pytest.mark.graph_agree
        @pytest.mark.parametrize("graphmode", {form.format(name)})
        def test_own(graphmode):
            assert str(graphmode.variant) == "{expected}"
            graphmode.agree(x=1)
    """)
    result = toy.run("--graph-backends=numpy", "-v", passed=1, skipped=1)
    result.says(f"*::test_own[[]{expected}] PASSED*", "*::test_own[[]agreement] SKIPPED*")


def test_a_variant_that_is_named_twice_has_no_two_agreement_items_of_one_name(toy: Project) -> None:
    toy.write("""
        @pytest.mark.graph_agree
        @pytest.mark.parametrize("graphmode", ["toy", "numpy", "toy-graph-cpu"], indirect=True)
        def test_own(graphmode): graphmode.agree(x=1)
    """)
    toy.run(errors=1).says("*('graphmode', ...) names toy-graph-cpu twice,* name each variant once")


@pytest.mark.parametrize(("rtol", "errors"), [(0.5, 1), (0.1, 0)])
def test_variants_that_are_compared_have_one_agreement_mark(toy: Project, rtol: float, errors: int) -> None:
    toy.write(f"""
        loose = pytest.param("numpy", marks=pytest.mark.graph_agree(rtol={rtol}))

        @pytest.mark.graph_agree(rtol=0.1)
        @pytest.mark.parametrize("graphmode", ["toy", loose], indirect=True)
        def test_own(graphmode): graphmode.agree(x=1)
    """)
    result = toy.run(errors=errors, passed=0 if errors else 3)
    if errors:
        result.says("*toy-graph-cpu and numpy-eager-cpu have graph_agree marks with different*")


def test_variants_named_beside_other_arguments_agree(toy: Project) -> None:
    toy.write("""
        @pytest.mark.graph_agree
        @pytest.mark.parametrize(
            argnames=("x", "graphmode"), argvalues=[(1, "toy"), (1, "numpy")], indirect=["graphmode"]
        )
        def test_own(graphmode, x): graphmode.agree(x=x)
    """)
    toy.run(passed=3)


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
def test_a_test_that_names_no_variant_is_not_collected(toy: Project, arguments: str, message: str) -> None:
    toy.write(f"""
        @pytest.mark.parametrize("graphmode", {arguments})
        def test_own(graphmode): pass
    """)
    toy.run("--graph-backends=numpy").fails_collection(f"*::test_own*: {message}")


def test_a_named_variant_that_is_not_installed_skips_with_the_hint(toy: Project) -> None:
    toy.write("""
        @pytest.mark.parametrize("graphmode", ["missing"], indirect=True)
        def test_own(graphmode): graphmode.variant
    """)
    toy.makeconftest("""
        from pytest_graphmode import BackendSpec

        def pytest_graphmode_backends():
            return [BackendSpec("missing", ("eager",), "eager", "no_such", ("no-such",), "no_such:Backend")]
    """)
    result = toy.run("--graph-backends=numpy", "-rs", skipped=1)
    result.says("SKIPPED*missing-eager-cpu was named by the test, *: pip install no-such")


def test_markers_narrow_functions_classes_and_modules(toy: Project) -> None:
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
    result = toy.run(BOTH, "--graph-dtypes=float32,float64", "--collect-only", "-q")
    assert listed(result) == [
        "test_module[toy-graph-cpu]",
        "test_module[toy-graph-cpu-float64]",
        "TestClass::test_class[numpy-eager-cpu]",
        "TestClass::test_class[numpy-eager-cpu-float64]",
        "TestClass::test_function[numpy-eager-cpu-float64]",
    ]


def test_all_runs_every_installed_backend_in_every_mode(toy: Project) -> None:
    toy.write("def test_all(graphmode): pass")
    found = listed(toy.run("--graph-backends=all", "--collect-only", "-q"))
    assert {"test_all[numpy-eager-cpu]", "test_all[toy-graph-cpu]", "test_all[toy-eager-cpu]"} <= set(found)
    assert not any("absent" in line for line in found)


def test_no_variant_left_is_one_skipped_item_that_says_so(toy: Project) -> None:
    toy.write("""
        @pytest.mark.graphmode("toy")
        def test_narrow(graphmode):
            raise AssertionError
    """)
    result = toy.run("--graph-backends=numpy", "-rs", "-v", skipped=1)
    result.says(
        "*::test_narrow[[]no-variant] SKIPPED*",
        "SKIPPED [[]1]*: no variant is left of the selected ones: its marker asks for backends toy, not numpy; *",
    )


def test_without_a_framework_tests_skip_with_the_hint(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for framework in ("tensorflow", "torch"):
        monkeypatch.setitem(__import__("sys").modules, framework, None)
    project.write("def test_any(graphmode): raise AssertionError")
    result = project.run("-rs", skipped=1)
    result.says(
        "SKIPPED [[]1]*: neither TensorFlow nor PyTorch is installed: pip install 'pytest-graphmode[[]tf]' or pip *"
    )


@pytest.mark.parametrize("fixture", ["request.getfixturevalue('graphmode')", "self"])
def test_variants_that_come_too_late_are_explained(toy: Project, fixture: str) -> None:
    if fixture == "self":
        toy.write("""
            import unittest

            @pytest.mark.usefixtures("graphmode")
            class TestCase(unittest.TestCase):
                def test_late(self): pass
        """)
    else:
        toy.write(f"def test_late(request):\n    {fixture}\n")
    result = toy.run(BOTH)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.says("*graphmode must be an argument of the test, or of a fixture that is: *")
