"""Tests that never heard of the handle: graph_ledger, the markers, --graph-watch, and watch() in a script.

With `toylib`, a framework in miniature; what the real ones do is tested beside their backends.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project, Result

# One build for each type of argument: twice() is built once, thrice() three times.
LIBRARY = """
    import toylib

    double = toylib.jit(lambda value: value * 2)

    def once():
        assert [double(number) for number in (1, 2, 3)] == [2, 4, 6]

    def thrice():
        double(1), double(1.5), double("x")
"""


@pytest.fixture
def project(toy: Project) -> Project:
    """A project whose tests have imported `library`."""
    toy.makepyfile(library=LIBRARY)
    return Project(toy.pytester, head="import library, pytest")


def failed(result: Result, *lines: str) -> None:
    result.assert_outcomes(failed=1)
    result.says(*list(lines))
    result.omits("*item.py*", "*budget.py*")


# graph_ledger


def test_the_ledger_leaves_out_what_fixtures_and_other_tests_built(project: Project) -> None:
    project.write("""
        @pytest.fixture
        def warm(graph_ledger):
            library.once()
            assert graph_ledger.builds == 1

        def test_first(graph_ledger, warm):
            assert graph_ledger.builds == graph_ledger.calls == 0
            library.once()
            assert (graph_ledger.builds, graph_ledger.rebuilds, graph_ledger.calls) == (1, 0, 3)

        def test_second(graph_ledger):
            library.thrice()
            assert (graph_ledger.builds, graph_ledger.rebuilds, graph_ledger.calls) == (3, 2, 3)
    """)
    project.run(passed=2)


def test_the_ledger_of_a_variant_is_its_handles(project: Project) -> None:
    project.write("""
        def test_both(graph_ledger, graphmode):
            library.thrice()
            assert graph_ledger is graphmode.ledger
            assert graph_ledger.builds == 3
    """)
    project.run("--graph-backends=toy", passed=1)


def test_asking_for_the_ledger_is_no_use_of_the_handle(project: Project) -> None:
    project.write("def test_both(graph_ledger, graphmode): assert graph_ledger.builds == 0")
    result = project.run("--graph-backends=toy")
    failed(result, "*the test asked for graphmode and never used it*")


# Markers


@pytest.mark.parametrize(
    ("marker", "call", "message"),
    [
        ("graph_rebuilds(0)", "once", None),
        ("graph_rebuilds(0)", "thrice", "2 rebuilds, at most 0 allowed"),
        ("graph_rebuilds(3)", "thrice", "2 rebuilds, exactly 3 expected"),
        ("graph_rebuilds(at_most=1)", "thrice", "2 rebuilds, at most 1 allowed"),
        ("graph_rebuilds(toy_graph=0)", "thrice", "2 rebuilds, at most 0 allowed (toy_graph)"),
        ("graph_budget(builds=3)", "thrice", None),
        ("graph_budget(builds=2)", "thrice", "3 builds, at most 2 allowed"),
        ("graph_budget(nodes={'toy': 2})", "thrice", "3 nodes, at most 2 allowed (toy)"),
        ("graph_budget(seconds=0.5)", "thrice", "0.75 s spent building, at most 0.5 allowed"),
    ],
)
def test_a_marker_on_a_plain_test(project: Project, marker: str, call: str, message: str | None) -> None:
    project.write(f"@pytest.mark.{marker}\ndef test_marked(): library.{call}()\n")
    result = project.run()
    if message is None:
        result.assert_outcomes(passed=1)
    else:
        failed(result, f"*{message}*", "*<lambda> (library.py:*) built 3 times *")


def test_a_marker_on_a_module_a_class_and_a_unittest_case(project: Project) -> None:
    project.write("""
        import unittest

        pytestmark = pytest.mark.graph_rebuilds(0)

        def test_module(): library.thrice()

        @pytest.mark.graph_rebuilds(2)
        class TestClass:
            def test_class(self): library.thrice()

        class TestCase(unittest.TestCase):
            @pytest.mark.graph_rebuilds(1)
            def test_case(self): library.thrice()
    """)
    result = project.run("-v", passed=1, failed=2)
    result.says("*::test_module FAILED*", "*::test_class PASSED*", "*::test_case FAILED*")
    result.says("2 rebuilds, at most 0 allowed", "2 rebuilds, exactly 1 expected")


def test_a_wrong_marker_on_a_unittest_case(project: Project) -> None:
    project.write("""
        import unittest

        class TestCase(unittest.TestCase):
            @pytest.mark.graph_rebuilds(keras=0)
            def test_marked(self): pass
    """)
    failed(project.run(), "@pytest.mark.graph_rebuilds(keras=0): it has no argument keras: *")


@pytest.mark.parametrize("marker", ["graph_rebuilds(0)", "graph_budget(builds=9)"])
def test_an_assertion_about_nothing_fails(project: Project, marker: str) -> None:
    project.write(f"@pytest.mark.{marker}\ndef test_marked(): pass\n")
    failed(project.run(), "*no graph was built and no existing graph was called*")


@pytest.mark.parametrize("marker", ["graph_rebuilds(0)", "graph_budget(builds=9)"])
@pytest.mark.parametrize("argument", ["self", "self, graphmode"])
def test_a_mark_on_a_class_says_nothing_of_its_tests_without_graphs(
    project: Project, marker: str, argument: str
) -> None:
    project.write(f"""
        pytestmark = pytest.mark.graph_budget(rebuilds=9)

        def test_of_the_module(): pass

        @pytest.mark.{marker}
        class TestClass:
            def test_plain({argument}): {argument.rpartition(" ")[2]}.variant if {argument.count(",")} else None
            def test_once(self): library.once()

            @pytest.mark.graph_rebuilds(0)
            def test_own({argument}): {argument.rpartition(" ")[2]}.variant if {argument.count(",")} else None

            @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.graph_rebuilds(0)), 2])
            def test_of_a_parameter(self, x): pass
    """)
    result = project.run("-v", "--graph-backends=toy", passed=4, failed=2)
    result.says("*::test_own* FAILED*", "*::test_of_a_parameter[[]1] FAILED*")


UNWILLING = """
    import toybackend

    def attach(self, sink):
        raise RuntimeError("no way in")

    toybackend.ToySource.attach = attach

    def pytest_graphmode_backends():
        return [toybackend.SPEC]
"""


def test_a_source_that_fails_to_attach_never_replaces_a_failure_of_the_tests_own(project: Project) -> None:
    project.makeconftest(UNWILLING)
    project.makepyfile("""
        import pytest
        @pytest.mark.graph_rebuilds(0)
        def test_own():
            import library
            library.once()
            assert 1 == 2

        def test_ledger(graph_ledger):
            import library

        def test_variant(graphmode):
            assert graphmode.numpy(graphmode.tensor(1.0)) == 1

        @pytest.mark.graph_rebuilds(0)
        def test_limited():
            import library
            library.once()

        @pytest.mark.graph_rebuilds(numpy=0)
        @pytest.mark.graphmode("numpy")
        def test_of_another_backend(graphmode):
            graphmode.variant
    """)
    result = project.run("-v", "--graph-backends=toy,numpy", passed=4, failed=2)
    result.says("*::test_own FAILED*", "*::test_limited FAILED*", "E       assert 1 == 2")
    result.says("*not counted*toy*no way in*")


def test_a_marker_sees_a_framework_that_the_test_imports(project: Project) -> None:
    project.makepyfile("""
        import pytest
        import sys

        @pytest.mark.graph_rebuilds(2)
        def test_late():
            import library
            library.thrice()
    """)
    project.makeconftest("""
        import dataclasses
        from pytest_graphmode import BackendSpec, SourceSpec

        def pytest_graphmode_backends():
            source = SourceSpec(("toylib",), "toybackend:ToySource")
            return [BackendSpec("toy", ("graph",), "graph", "toylib", ("toylib",), "toybackend:Toy", sources=(source,))]
    """)
    project.run(passed=1)


# --graph-watch


def test_watch_keeps_a_ledger_for_every_test(project: Project) -> None:
    project.write("""
        def test_once(): library.once()
        def test_thrice(): library.thrice()
        def test_nothing(): pass
    """)
    result = project.run("--graph-watch", "--graph-report", passed=3)
    result.says(
        "*::test_once",
        "  toy:graph * 1 *",
        "*::test_thrice",
        "1 watched test built and called no graph",
        "worst rebuilders",
        "  1 rebuild of <lambda> (library.py:*) in *::test_thrice, toy:graph",
    )


def test_outcomes_are_the_same_under_watch(project: Project) -> None:
    project.write("""
        import unittest

        def test_pass(): library.thrice()
        def test_fail(): assert library.double(1) == 3
        def test_skip(): pytest.skip("why")
        @pytest.mark.xfail
        def test_xfail(): 1 / 0
        @pytest.fixture
        def broken(): raise RuntimeError
        def test_error(broken): pass
        class TestCase(unittest.TestCase):
            def test_case(self): self.assertEqual(library.double(2), 4)
        def test_subtest_watch():
            import pytest_graphmode
            with pytest_graphmode.watch() as ledger:
                library.thrice()
            assert ledger.calls == 3
    """)
    expected = {"passed": 3, "failed": 1, "skipped": 1, "xfailed": 1, "errors": 1}
    project.run(**expected)
    project.run("--graph-watch", **expected)


def test_nothing_stays_patched(project: Project) -> None:
    project.write("""
        import sys, toylib

        def test_watched(graph_ledger):
            assert toylib._build.__name__ == "reporting_build"
            assert any(type(finder).__name__ == "ImportWatch" for finder in sys.meta_path)

        def test_not_watched():
            assert toylib._build.__name__ == "_build"
            assert not any(type(finder).__name__ == "ImportWatch" for finder in sys.meta_path)
    """)
    project.run(passed=2)


# The build hook


def test_the_hook_fires_for_each_build(project: Project) -> None:
    project.extend(
        "\n\ndef pytest_graphmode_build(config, nodeid, build):\n"
        "    print('BUILT', nodeid, build.number, build.function, build.cause)\n"
    )
    project.write("""
        def test_unwatched(): library.thrice()

        @pytest.mark.graph_rebuilds(2)
        def test_plain(): library.thrice()

        def test_variant(graphmode): graphmode.function(abs)(-1.0)
    """)
    result = project.run("-s", "--graph-backends=toy", passed=3)
    built = [line.rpartition("BUILT ")[2].split(maxsplit=3) for line in result.outlines if "BUILT" in line]
    name = "test_net.py::test_"
    assert [entry[:3] for entry in built] == [
        [f"{name}plain", "1", "<lambda>"],
        [f"{name}plain", "2", "<lambda>"],
        [f"{name}plain", "3", "<lambda>"],
        [f"{name}variant[toy-graph-cpu]", "1", "abs"],
    ]
    assert "pass one type" in built[1][3]


# Scripts


def test_watch_in_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys
import pytest_graphmode

with pytest_graphmode.watch() as ledger:
    assert any(type(finder).__name__ == "ImportWatch" for finder in sys.meta_path)
    import json.tool
assert not any(type(finder).__name__ == "ImportWatch" for finder in sys.meta_path)
assert ledger.builds == ledger.calls == 0
assert ledger.explain().strip() == "nothing was built"
print([name for name in ("numpy", "optree", "tensorflow", "torch", "jax") if name in sys.modules])
"""
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"
