"""A test that asserts counts starts without the graphs that functions of a module had, whatever ran before it."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow")

LIBRARY = """
    import tensorflow as tf

    @tf.function
    def scaled(x):
        return x * 2.0

    @tf.function
    def nested(x):
        return scaled(x) + 1.0

    class Model(tf.Module):
        weight = None

        @tf.function
        def __call__(self, x):
            if self.weight is None:
                self.weight = tf.Variable(2.0)
            return tf.reduce_sum(x) * self.weight

    model = Model()
    forms = {
        "scaled": scaled,
        "nested": nested,
        "method": model,
        "concrete": lambda x: scaled.get_concrete_function(x)(x),
    }
"""
SUITE = """
    import pytest
    import tensorflow as tf
    from library import forms

    form = pytest.mark.parametrize("form", forms)

    @form
    def test_unmarked(form):
        forms[form](tf.ones(1)), forms[form](tf.ones(2))

    @form
    @pytest.mark.graph_rebuilds(0)
    def test_one(form):
        forms[form](tf.ones(1)), forms[form](tf.ones(1))

    @form
    @pytest.mark.graph_rebuilds(0)
    def test_other(form):
        forms[form](tf.ones(2))

    @form
    @pytest.mark.graph_rebuilds(0)
    def test_both(form):
        forms[form](tf.ones(1)), forms[form](tf.ones(2))
"""
ORDERS = [("unmarked", "one", "other"), ("other", "one", "unmarked"), ("one",), ("other",)]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(library=LIBRARY)
    return pytester


def run(project: pytest.Pytester, *names: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "no:cacheprovider", *(f"test_suite.py::test_{name}" for name in names))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_the_order_of_tests_changes_no_verdict(project: pytest.Pytester, order: tuple[str, ...]) -> None:
    project.makepyfile(test_suite=SUITE)
    run(project, *order).assert_outcomes(passed=4 * len(order))


@pytest.mark.parametrize("before", [(), ("one", "unmarked", "other")], ids="-".join)
def test_a_rebuild_in_the_test_itself_is_one_in_any_order(project: pytest.Pytester, before: tuple[str, ...]) -> None:
    project.makepyfile(test_suite=SUITE)
    result = run(project, *before, "both")
    result.assert_outcomes(passed=4 * len(before), failed=4)
    result.stdout.fnmatch_lines(["*x changed shape [[]1] -> [[]2]*"] * 4)


def test_what_a_fixture_warmed_is_kept_where_the_mark_says_so(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_suite="""
        import pytest
        import tensorflow as tf
        from library import scaled

        @pytest.fixture(autouse=True)
        def warm():
            scaled(tf.ones(1))

        @pytest.mark.graph_budget(builds=0, fresh=False)
        def test_kept():
            scaled(tf.ones(1))

        @pytest.mark.graph_budget(rebuilds=0, fresh=False)
        def test_rebuilt():
            scaled(tf.ones(2))

        @pytest.mark.graph_budget(builds=(1, 1), rebuilds=0)
        def test_cold():
            scaled(tf.ones(2))
        """
    )
    result = run(project, "kept", "rebuilt", "cold")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*x changed shape [[]1] -> [[]2]*"])


def test_other_tests_and_blocks_keep_the_graphs(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_suite="""
        import pytest
        import tensorflow as tf
        from library import nested, scaled
        from pytest_graphmode import expect

        @pytest.mark.graph_rebuilds(0)
        def test_marked():
            scaled(tf.ones(1))
            with expect(builds=0):
                scaled(tf.ones(1))

        def test_block():
            with expect(builds=0):
                scaled(tf.ones(1))
            nested(tf.ones(3))
            with expect(builds=0):
                nested(tf.ones(3))
        """
    )
    run(project, "marked", "block").assert_outcomes(passed=2)


def test_what_somebody_holds_stays(project: pytest.Pytester) -> None:
    """A graph by itself, and one that calls a function that loses its own; TensorFlow's counter is held beside ours."""
    project.makepyfile(
        test_suite="""
        import pytest
        import tensorflow as tf
        from library import model, nested, scaled

        concrete = scaled.get_concrete_function(tf.TensorSpec([2]))
        outer = nested.get_concrete_function(tf.TensorSpec([2]))
        model(tf.ones(2))
        weight = model.weight

        @pytest.mark.graph_budget(builds=(2, 2), rebuilds=0)
        def test_held():
            scaled(tf.ones(3))
            assert scaled.experimental_get_tracing_count() == 1
            assert concrete(tf.ones(2)).numpy().tolist() == [2.0, 2.0]
            assert outer(tf.ones(2)).numpy().tolist() == [3.0, 3.0]
            assert model(tf.ones(2)).numpy() == 4.0
            assert model.weight is weight
        """
    )
    run(project, "held").assert_outcomes(passed=1)
