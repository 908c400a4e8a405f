"""An agreement item among what a person selects: run alone, again, in another order, or not at all."""

import pytest

from tests.run.agreement.test_item import NET, outcomes

COUNTED = """
import pathlib

@agree
def test_net(graphmode):
    with open("runs.txt", "a") as file:
        file.write(graphmode.backend + "\\n")
    graphmode.agree(loss=graphmode.tensor(2.0))
"""


@pytest.fixture
def runs(project):
    """The backends whose variants ran since it was asked last."""

    def take():
        path = project.path / "runs.txt"
        found = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    return take


@pytest.mark.parametrize("selection", [["test_net.py::test_net[agreement]"], ["-k", "agreement"]])
def test_alone_it_runs_the_variants_first(project, runs, selection):
    project.write(COUNTED)
    result = project.run(*selection)
    assert outcomes(result) == {"test_net[agreement]": "PASSED"}
    assert runs() == ["ref", "third"]
    project.run(*selection, backends="ref,off", failed=1, deselected=2 * selection.count("-k"))


def test_with_one_variant_named_beside_it_the_other_is_run(project, runs):
    project.write(COUNTED)
    result = project.run("test_net.py::test_net[agreement]", "test_net.py::test_net[third-eager-cpu]", passed=2)
    assert sorted(runs()) == ["ref", "third"]
    assert list(outcomes(result)) == ["test_net[third-eager-cpu]", "test_net[agreement]"]


def test_the_functions_id_selects_variants_and_item(project, runs):
    project.write(COUNTED)
    project.run("test_net.py::test_net", passed=3)
    assert runs() == ["ref", "third"]


def test_a_class_and_a_method_are_selected_alike(project):
    project.write("""
        @agree
        class TestNet:
            def test_net(self, graphmode):
                graphmode.agree(loss=1.0)
    """)
    project.run("test_net.py::TestNet", passed=3)
    result = project.run("test_net.py::TestNet::test_net[agreement]")
    assert outcomes(result) == {"TestNet::test_net[agreement]": "PASSED"}


def test_a_keyword_for_variants_leaves_it_out(project, runs):
    project.write(COUNTED)
    project.run("-k", "third", passed=1, deselected=2)
    assert runs() == ["third"]


@pytest.mark.parametrize(
    "selection",
    [["-k", "not third"], ["-m", "graph_agree", "-k", "not third"], ["--deselect", "test_net.py::test_net[third"]],
)
def test_a_variant_that_was_excluded_is_not_run_behind_the_users_back(project, runs, selection):
    project.write(COUNTED)
    result = project.run(*selection, passed=1, skipped=1, deselected=1)
    result.says("SKIPPED *third-eager-cpu was skipped (deselected)*")
    assert runs() == ["ref"]


def test_a_deselected_variant_is_not_run_for_it_alone_either(project, runs):
    project.write(COUNTED)
    project.run("test_net.py::test_net[agreement]", "--deselect", "test_net.py::test_net[third-eager-cpu]", skipped=1)
    assert runs() == ["ref"]


def test_it_can_be_deselected_itself(project):
    project.write(NET)
    project.run("--deselect", "test_net.py::test_net[agreement]", passed=2, deselected=1)


def test_last_failed_runs_the_item_alone(project, runs):
    untold = COUNTED.replace("@agree", "@pytest.mark.graph_agree(triage=False)")
    project.write(untold + "\ndef test_other(): pass\n")
    project.run(backends="ref,off", passed=3, failed=1)
    runs()
    result = project.run("--lf", backends="ref,off")
    assert outcomes(result) == {"test_net[agreement]": "FAILED"}
    assert runs() == ["ref", "off"]
    result.says("off-eager-cpu does not agree with the reference, ref-eager-cpu:")
    project.write(COUNTED.replace("@agree", "@pytest.mark.graph_agree(rtol=1e-2)") + "\ndef test_other(): pass\n")
    result = project.run("--lf", backends="ref,off")
    assert outcomes(result) == {"test_net[agreement]": "PASSED"}


def test_failed_first_puts_it_first(project):
    project.write("def test_first(): pass\n" + NET)
    project.run(backends="ref,off")
    result = project.run("--ff", backends="ref,off")
    assert next(iter(outcomes(result))) == "test_net[agreement]"
    result.assert_outcomes(passed=3, failed=1)


def test_without_the_cache_plugin_nothing_changes(project):
    project.write(NET)
    project.run("-p", "no:cacheprovider", passed=3)


def test_collect_only_lists_it_and_runs_nothing(project, runs):
    project.write(COUNTED)
    project.run("--collect-only").says("*<Function test_net?third-eager-cpu?>", "*<Agreement test_net?agreement?>")
    assert runs() == []


def test_another_order_of_items_runs_each_variant_once(project, runs):
    project.write(COUNTED)
    project.extend("\n\ndef pytest_collection_modifyitems(items):\n    items.reverse()\n")
    result = project.run()
    assert list(outcomes(result)) == ["test_net[third-eager-cpu]", "test_net[ref-eager-cpu]", "test_net[agreement]"]
    assert runs() == ["third", "ref"]


def test_a_variant_that_fails_while_it_is_run_for_the_item_fails_it_with_its_own_message(project):
    text = NET + "    print('printed')\n    assert graphmode.backend != 'third', 'my own message'\n"
    project.write(text)
    result = project.run("test_net.py::test_net[agreement]", failed=1)
    result.says(
        "*_ test_net?agreement? _*",
        "third-eager-cpu failed when it was run for this item:",
        ">       assert graphmode.backend != 'third', 'my own message'",
        "E       AssertionError: my own message",
        "*- Captured stdout call -*",
        "printed",
    )
    project.run("--show-capture=no", "test_net.py::test_net[agreement]").omits("printed")


def test_a_variant_that_fails_ends_the_running_of_others(project, runs):
    project.write(COUNTED + "    assert graphmode.backend != 'ref'\n")
    project.run("test_net.py::test_net[agreement]", failed=1)
    assert runs() == ["ref"]
    result = project.run("-k", "ref or agreement", backends="ref,third,off")
    assert outcomes(result)["test_net[agreement]"] == "SKIPPED"
    assert runs() == ["ref"]


def test_exit_first_stops_at_a_variant_and_at_the_item(project):
    project.write(NET + "    assert graphmode.backend != 'ref'\n")
    project.run("-x", failed=1)
    project.run("-x", "test_net.py::test_net[agreement]", failed=1)
    project.write(NET + "\ndef test_after(): pass\n")
    project.run("-x", backends="ref,off", passed=2, failed=1)


def test_fixtures_are_set_up_and_torn_down_once_when_variants_are_run_for_it(project):
    project.write("""
        events = []

        @pytest.fixture(scope="session")
        def session():
            events.append("session up")
            yield
            events.append("session down")
            print("\\n" + ", ".join(events))

        @pytest.fixture(scope="module")
        def module(session):
            events.append("module up")
            yield
            events.append("module down")

        @pytest.fixture(scope="class")
        def shared(module):
            events.append("class up")
            yield
            events.append("class down")

        @pytest.fixture
        def each(graphmode, shared):
            events.append(graphmode.backend)
            yield
            events.append("each down")

        class TestNet:
            @agree
            def test_net(self, each, graphmode):
                graphmode.agree(loss=1.0)

        def test_after(module):
            events.append("after")
    """)
    result = project.run("-s", "test_net.py::TestNet::test_net[agreement]", "test_net.py::test_after", passed=2)
    order = "session up, module up, class up, ref, each down, third, each down, class down, after"
    result.says(f"{order}, module down, session down")


def test_warnings_and_assertions_of_variants_run_for_it_are_as_usual(project):
    project.write("""
        import warnings

        @agree
        @pytest.mark.filterwarnings("ignore:.*ignored")
        def test_net(graphmode):
            warnings.warn("ignored, and an error elsewhere")
            graphmode.agree(loss=1.0)
    """)
    project.run("-W", "error", "test_net.py::test_net[agreement]", passed=1)
    project.write(NET + "    assert {'a': graphmode.backend} == {'a': 'x'}\n")
    result = project.run("test_net.py::test_net[agreement]")
    result.says("E*AssertionError: assert {'a': 'ref'} == {'a': 'x'}", "E*Differing items:")


def test_junit_has_the_item(project):
    project.write(NET)
    project.run("--junitxml=report.xml", backends="ref,off", passed=2, failed=1)
    report = (project.path / "report.xml").read_text()
    assert 'name="test_net[agreement]"' in report
    assert "off-eager-cpu does not agree with the reference" in report


def test_without_the_skipping_plugin_nothing_changes(project):
    project.write(NET)
    project.run("-p", "no:skipping", backends="ref,off", passed=2, failed=1)
    result = project.run("-p", "no:skipping", backends="ref", passed=1, skipped=1)
    result.says("SKIPPED *fewer than two variants ran*")


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_setting_up_alone_compares_nothing(project, runs, option):
    project.write(COUNTED)
    assert project.run(option, backends="ref,off").ret == 0
    assert runs() == []
