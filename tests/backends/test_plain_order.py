"""Plain tests over the real frameworks: caches outlive a test, and its verdict must not depend on what ran before."""

import pytest

from tests.backends.natives import Native

LIBRARIES = {
    "tf": """
        import tensorflow as tf
        step = tf.function(lambda x: x * 2.0)
        ones = lambda size: tf.ones([size])
    """,
    "torch": """
        import torch
        step = torch.compile(lambda x: x * 2.0, backend="eager", dynamic=False)
        ones = torch.ones
    """,
    "jax": """
        import jax
        step = jax.jit(lambda x: x * 2.0)
        ones = jax.numpy.ones
    """,
}
SUITE = """
    import pytest
    from library import ones, step

    @pytest.mark.graph_rebuilds(0)
    def test_one_shape():
        step(ones(2)), step(ones(2))

    def test_unmarked():
        step(ones(2)), step(ones(3)), step(ones(4))

    @pytest.mark.graph_budget(builds=BUILDS, rebuilds=0)
    def test_the_same_shape():
        step(ones(2))

    @pytest.mark.graph_rebuilds(0)
    def test_nothing_runs():
        pass
"""
TESTS = [f"test_suite.py::test_{name}" for name in ("one_shape", "unmarked", "the_same_shape", "nothing_runs")]


@pytest.fixture
def project(native: Native, pytester: pytest.Pytester) -> pytest.Pytester:
    # A tf.function that is kept keeps its graphs; those of the others are dropped before a test that asserts something.
    builds = "(0, 1)" if native.backend == "tf" else "(1, 1)"
    pytester.makepyfile(library=LIBRARIES[native.backend], test_suite=SUITE.replace("BUILDS", builds))
    return pytester


@pytest.mark.parametrize(
    "order", [TESTS, TESTS[::-1], TESTS[:1], TESTS[2:3], TESTS[3:]], ids=["all", "reverse", "1", "3", "4"]
)
def test_verdicts_do_not_depend_on_the_order(project: pytest.Pytester, order: list[str]) -> None:
    vacuous = TESTS[3] in order
    result = project.runpytest_inprocess("-p", "no:cacheprovider", *order)
    result.assert_outcomes(passed=len(order) - vacuous, failed=int(vacuous))
    if vacuous:
        result.stdout.fnmatch_lines(["*no graph was built and no existing graph was called*"])


def test_watching_a_suite_reports_each_of_its_tests(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--graph-watch", "--graph-report", "-k", "not nothing")
    result.assert_outcomes(passed=3, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "test_suite.py::test_one_shape",
            "test_suite.py::test_the_same_shape",
            "test_suite.py::test_unmarked",
            "worst rebuilders",
            # Shape 2 was there from the test before, as it is without the plugin: an unmarked test resets nothing.
            "  2 rebuilds of <lambda> (library.py:*) in test_suite.py::test_unmarked, *",
            "    x changed shape [[]3] -> [[]4]: *",
        ]
    )
