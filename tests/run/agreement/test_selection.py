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


ITEM, THIRD = "test_net.py::test_net[agreement]", "test_net.py::test_net[third-eager-cpu]"
LEFT_OUT = {"ref": "PASSED", "agreement": "SKIPPED"}
PASSED = dict.fromkeys(("ref", "third", "agreement"), "PASSED")
# What is selected, how what was selected ended, and the variants that ran.
SELECTIONS = {
    "item": ([ITEM], {"agreement": "PASSED"}, ["ref", "third"]),
    "item by keyword": (["-k", "agreement"], {"agreement": "PASSED"}, ["ref", "third"]),
    "item and one variant": ([ITEM, THIRD], {"third": "PASSED", "agreement": "PASSED"}, ["ref", "third"]),
    "function": (["test_net.py::test_net"], PASSED, ["ref", "third"]),
    "variant by keyword": (["-k", "third"], {"third": "PASSED"}, ["third"]),
    "no variant by keyword": (["-k", "not third"], LEFT_OUT, ["ref"]),
    "no variant by mark and keyword": (["-m", "graph_agree", "-k", "not third"], LEFT_OUT, ["ref"]),
    "variant deselected": (["--deselect", "test_net.py::test_net[third"], LEFT_OUT, ["ref"]),
    "item, and a variant deselected": ([ITEM, "--deselect", THIRD], {"agreement": "SKIPPED"}, ["ref"]),
    "item deselected": (["--deselect", ITEM], {"ref": "PASSED", "third": "PASSED"}, ["ref", "third"]),
    "all without a cache": (["-p", "no:cacheprovider"], PASSED, ["ref", "third"]),
}


@pytest.mark.parametrize(("selection", "ended", "ran"), SELECTIONS.values(), ids=SELECTIONS)
def test_each_variant_runs_once_and_for_the_item_those_that_nobody_excluded(project, runs, selection, ended, ran):
    project.write(COUNTED)
    result = project.run(*selection)
    found = {name.removeprefix("test_net[").partition("-")[0].strip("]"): end for name, end in outcomes(result).items()}
    assert list(found.items()) == list(ended.items())
    assert sorted(runs()) == ran
    if "SKIPPED" in ended.values():
        result.says("SKIPPED *third-eager-cpu was skipped (deselected)*")


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
    result = project.run("--ff", backends="ref,off", passed=3, failed=1)
    assert next(iter(outcomes(result))) == "test_net[agreement]"


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
