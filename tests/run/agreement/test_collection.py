"""Which tests get an agreement item, and where it stands among parametrized tests, classes and marks."""

from tests.run.agreement.test_item import outcomes


def test_every_set_of_other_parameters_has_an_item_of_its_own(project):
    project.write("""
        @agree
        @pytest.mark.parametrize("width", [3, 4])
        def test_net(graphmode, width):
            graphmode.agree(loss=graphmode.tensor(1.0) + (width == 4 and graphmode.backend == "third"))
    """)
    result = project.run()
    assert list(outcomes(result).items()) == [
        ("test_net[ref-eager-cpu-3]", "PASSED"),
        ("test_net[ref-eager-cpu-4]", "PASSED"),
        ("test_net[third-eager-cpu-3]", "PASSED"),
        ("test_net[third-eager-cpu-4]", "PASSED"),
        ("test_net[agreement-3]", "PASSED"),
        ("test_net[agreement-4]", "FAILED"),
    ]


def test_stacked_parameters_and_parametrized_fixtures(project):
    project.write("""
        @pytest.fixture(params=["small", "large"])
        def size(request):
            return request.param

        @agree
        @pytest.mark.parametrize("a, b", [(1, 2), (3, 4)])
        @pytest.mark.parametrize("c", [5])
        def test_net(graphmode, size, a, b, c):
            graphmode.agree(loss=a, size=size)
    """)
    result = project.run(passed=8 + 4)
    items = [name for name in outcomes(result) if "agreement" in name]
    assert sorted(items) == [
        f"test_net[agreement-{size}-5-{a}-{b}]" for size in ("large", "small") for a, b in ((1, 2), (3, 4))
    ]


def test_a_parameter_that_reads_like_a_variant_splits_no_group(project):
    project.write("""
        @pytest.fixture(params=["ref-eager-cpu", "agreement"])
        def kind(request):
            return request.param

        @agree
        @pytest.mark.parametrize("name", ["ref-eager-cpu", "third-eager-cpu"])
        def test_net(graphmode, kind, name):
            graphmode.agree(loss=1.0)
    """)
    result = project.run(passed=8 + 4)
    assert [name for name in outcomes(result) if name.startswith("test_net[agreement")] == [
        "test_net[agreement-ref-eager-cpu-ref-eager-cpu]",
        "test_net[agreement-ref-eager-cpu-third-eager-cpu]",
        "test_net[agreement-agreement-ref-eager-cpu]",
        "test_net[agreement-agreement-third-eager-cpu]",
    ]


def test_equal_parameters_have_groups_of_their_own(project):
    project.write("""
        seen = []

        @agree
        @pytest.mark.parametrize("x", [1, 1])
        def test_net(graphmode, x):
            seen.append(graphmode.backend)
            graphmode.agree(loss=float(seen.count(graphmode.backend)))
    """)
    project.run(passed=6)


def test_parameters_of_higher_scope_keep_items_behind_their_variants(project):
    project.write("""
        runs = []

        @pytest.fixture(scope="module", params=[1, 2])
        def data(request):
            runs.append(request.param)
            return request.param

        @agree
        def test_net(graphmode, data):
            graphmode.agree(loss=data)

        @agree
        def test_other(graphmode, data):
            graphmode.agree(loss=data)

        def test_runs():
            assert sorted(runs) == [1, 2]
    """)
    result = project.run(passed=2 * (4 + 2) + 1)
    names = list(outcomes(result))
    for name in names:
        if "agreement" in name:
            variants = [name.replace("agreement", backend + "-eager-cpu") for backend in ("ref", "third")]
            assert names.index(name) > max(map(names.index, variants))


def test_a_mark_on_a_class_or_module_is_for_the_tests_that_have_variants(project):
    project.write("""
        pytestmark = agree

        def test_plain():
            pass

        def test_net(graphmode):
            graphmode.agree(loss=1.0)

        class TestNet:
            def test_net(self, graphmode):
                graphmode.agree(loss=1.0)

        @pytest.mark.graph_agree(rtol=1e-2)
        class TestWide:
            def test_plain(self):
                pass

            def test_net(self, graphmode):
                graphmode.agree(loss=graphmode.tensor(1.0))
    """)
    result = project.run(backends="ref,off", passed=2 + 3 * 3)
    assert outcomes(result)["TestNet::test_net[agreement]"] == "PASSED"


def test_marks_of_the_function_count_for_the_item_and_those_of_one_variant_do_not(project):
    project.write("""
        @agree
        @pytest.mark.slow
        @pytest.mark.graph_skip("ref", reason="not here")
        def test_net(graphmode):
            graphmode.agree(loss=graphmode.tensor(1.0))

        @agree
        @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.slow)])
        def test_other(graphmode, n):
            graphmode.agree(loss=1.0)
    """)
    project.makeini("[pytest]\nmarkers = slow: takes long\n")
    result = project.run("-m", "slow", backends="ref,third,off", passed=2 + 3 + 1, skipped=1, failed=1, deselected=4)
    result.says("Not compared: ref-eager-cpu was skipped (not here).")
    assert "test_other[agreement-2]" in outcomes(result)


def test_a_mark_on_one_parameter_adds_one_item(project):
    project.write("""
        @pytest.mark.parametrize("n", [1, pytest.param(2, marks=agree)])
        def test_net(graphmode, n):
            if n == 2:
                graphmode.agree(loss=1.0)
            else:
                graphmode.numpy(1)
    """)
    project.run(passed=5)
