"""Agreement under pytest-xdist: the same outcomes however the items are spread over processes."""

import pytest

from tests.run.agreement.test_item import NET

pytest.importorskip("xdist")
SUITE = """
@agree
def test_net(graphmode):
    graphmode.agree(loss=graphmode.tensor(2.0))

@pytest.mark.graph_agree(rtol=1e-2)
@pytest.mark.parametrize("width", [3, 4])
def test_wide(graphmode, width):
    for step in range(width):
        graphmode.agree(loss=graphmode.tensor(2.0) * step)

class TestNet:
    @pytest.fixture(scope="class")
    def shared(self):
        return [1.0, 2.0]

    @agree
    @pytest.mark.graph_skip("off", reason="not here")
    def test_net(self, graphmode, shared):
        graphmode.agree(loss=graphmode.tensor(shared))

    @agree
    @pytest.mark.graphmode(backends="ref,third")
    def test_failing(self, graphmode):
        graphmode.agree(loss=1.0)
        assert graphmode.backend == "ref"

def test_plain():
    pass
"""
EXPECTED = {
    "test_net[agreement]": {"FAILED"},
    "test_wide[agreement-3]": {"PASSED"},
    "test_wide[agreement-4]": {"PASSED"},
    "TestNet::test_net[agreement]": {"PASSED"},
    # A process in which the failing variant ran skips the item, another runs it and reports the failure.
    "TestNet::test_failing[agreement]": {"SKIPPED", "FAILED"},
}


def outcomes(result):
    """The outcome of every test that workers report: `[gw0] [ 10%] PASSED test_net.py::test_net[agreement] `."""
    lines = (line.split("] ")[-1] if "agreement" not in line else line for line in result.outlines)
    found = {}
    for line in lines:
        words = line.split()
        for outcome in ("PASSED", "FAILED", "SKIPPED"):
            if line.startswith("[gw") and outcome in words:
                name = words[words.index(outcome) + 1].removeprefix("test_net.py::").split("@")[0]
                found[name] = outcome
    return found


@pytest.mark.parametrize("dist", ["load", "loadscope", "loadfile", "worksteal", "loadgroup"])
def test_the_outcomes_are_right_however_items_are_spread(project, dist):
    project.write(SUITE)
    result = project.run("-n2", "--dist", dist, backends="ref,third,off", run=project.pytester.runpytest_subprocess)
    found = {name: outcome for name, outcome in outcomes(result).items() if "agreement" in name}
    assert found.keys() == EXPECTED.keys()
    assert all(outcome in EXPECTED[name] for name, outcome in found.items()), found
    if dist in ("loadscope", "loadfile"):
        assert found["TestNet::test_failing[agreement]"] == "SKIPPED"
    result.stdout.fnmatch_lines(["off-eager-cpu does not agree with the reference, ref-eager-cpu:"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_grouped_by_xdist_no_variant_is_run_twice(project):
    project.write(
        """
        @agree
        @pytest.mark.parametrize("x", range(4))
        def test_net(graphmode, x):
            with open("runs.txt", "a") as file:
                file.write("once\\n")
            graphmode.agree(loss=1.0)
        """
    )
    result = project.run("-n2", "--dist", "loadgroup", run=project.pytester.runpytest_subprocess)
    result.assert_outcomes(passed=4 * 3)
    if "]@test_net-" not in result.stdout.str():
        pytest.skip("this release of xdist does not group items under this release of pytest")
    assert (project.pytester.path / "runs.txt").read_text().count("once") == 4 * 2


def test_last_failed_works_across_processes(project):
    project.write(NET)
    for arguments in (["-n2"], ["-n2", "--lf"]):
        result = project.run(*arguments, backends="ref,off", run=project.pytester.runpytest_subprocess)
    result.assert_outcomes(failed=1)


GROUPS = """

def pytest_collection_finish(session):
    for item in session.items:
        print("GROUP", item.name, [mark.args[0] for mark in item.iter_markers("xdist_group")])
"""


def groups(project, text):
    """The xdist groups of every item."""
    with (project.pytester.path / "conftest.py").open("a") as conftest:
        conftest.write(GROUPS)
    project.write(text)
    result = project.run("--collect-only", "--strict-markers")
    lines = (line.split(" ", 2) for line in result.outlines if line.startswith("GROUP"))
    return {name: group for _, name, group in lines}


def test_variants_and_item_share_a_group_and_other_parameters_have_another(project):
    found = groups(
        project,
        NET.replace("@agree", "@agree\n@pytest.mark.parametrize('x', [1, 2])").replace(
            "graphmode)", "graphmode, x)", 1
        ),
    )
    assert len(found) == 6
    for x in (1, 2):
        assert len({group for name, group in found.items() if name.endswith(f"-{x}]")}) == 1
    assert len(set(found.values())) == 2
    assert all(group.startswith("['test_net-") and "]" not in group[:-1] for group in found.values())


def test_a_group_that_the_user_chose_is_kept(project):
    found = groups(project, NET.replace("@agree", "@agree\n@pytest.mark.xdist_group('mine')"))
    assert set(found.values()) == {"['mine']"}


def test_without_xdist_there_is_no_group(project):
    project.write(NET)
    project.run("-p", "no:xdist", "--strict-markers").assert_outcomes(passed=3)
