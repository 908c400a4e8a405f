"""Agreement under pytest-xdist: the same outcomes however the items are spread over processes."""

import textwrap

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


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["load", "loadscope", "loadfile", "worksteal", "loadgroup"])
def test_the_outcomes_are_right_however_items_are_spread(project, dist):
    project.write(SUITE)
    result = project.run("-n2", "--dist", dist, backends="ref,third,off", apart=True)
    found = {name: outcome for name, outcome in outcomes(result).items() if "agreement" in name}
    assert found.keys() == EXPECTED.keys()
    assert all(outcome in EXPECTED[name] for name, outcome in found.items()), found
    if dist in ("loadscope", "loadfile"):
        assert found["TestNet::test_failing[agreement]"] == "SKIPPED"
    result.says("off-eager-cpu does not agree with the reference, ref-eager-cpu:")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


# A body that leaves a line in a file each time it runs.
COUNTED = """
def ran(name):
    with open(RUNS, "a") as file:
        file.write(name + "\\n")
"""


def counted_text(runs, text):
    return f"RUNS = {str(runs)!r}\n{COUNTED}{textwrap.dedent(text)}"


@pytest.fixture
def counted(project):
    """A project whose tests can call `ran(name)`, and what they called it with, in order, in a run with xdist."""
    runs = project.path / "runs.txt"

    def run(text, *args, backends="ref,third"):
        project.write(counted_text(runs, text))
        result = project.run("-n2", *args, backends=backends, apart=True)
        return result, sorted(runs.read_text().split()) if runs.exists() else []

    return run


@pytest.mark.slow
def test_grouped_by_xdist_no_variant_is_run_twice(counted):
    result, ran = counted(
        """
        @agree
        @pytest.mark.parametrize("x", range(4))
        def test_net(graphmode, x):
            ran(f"{graphmode.backend}-{x}")
            graphmode.agree(loss=1.0)
        """,
        *("--dist", "loadgroup"),
    )
    result.assert_outcomes(passed=4 * 3)
    assert ran == sorted(f"{backend}-{x}" for backend in ("ref", "third") for x in range(4))
    assert not any("@" in line for line in result.outlines)  # ids are those of other runs


def workers(result):
    """The worker that ran each test: `[gw0] [ 10%] PASSED test_net.py::test_net[agreement] `."""
    lines = [line.split() for line in result.outlines if line.startswith("[gw") and "PASSED" in line]
    return {words[-1].removeprefix("test_net.py::").split("@")[0]: words[0] for words in lines}


def test_groups_that_users_mark_have_effect_and_go_before_those_of_agreement(counted):
    result, _ = counted(
        """
        import time
        import pytest

        @pytest.mark.xdist_group("mine")
        @pytest.mark.parametrize("x", range(3))
        def test_plain(x):
            time.sleep(0.1)

        @agree
        @pytest.mark.xdist_group(name="mine")
        def test_net(graphmode):
            graphmode.agree(loss=1.0)

        @pytest.mark.parametrize("x", range(6))
        def test_alone(x):
            time.sleep(0.1)
        """,
        *("--dist", "loadgroup"),
    )
    result.assert_outcomes(passed=3 + 3 + 6)
    found = workers(result)
    mine = {worker for name, worker in found.items() if "plain" in name or "net" in name}
    assert len(mine) == 1, found
    assert len(set(found.values())) == 2


@pytest.mark.slow
def test_last_failed_works_across_processes(project):
    project.write(NET)
    for arguments in (["-n2"], ["-n2", "--lf"]):
        result = project.run(*arguments, backends="ref,off", apart=True)
    result.assert_outcomes(failed=1)


def test_without_xdist_nothing_of_it_is_needed(project):
    project.write(NET)
    project.run("-p", "no:xdist", "--strict-markers", passed=3)


OWN_SCHEDULER = """

def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadGroupScheduling

    class MyScheduling(LoadGroupScheduling):
        pass

    return MyScheduling(config, log)
"""


@pytest.mark.parametrize(("hook", "name"), [(OWN_SCHEDULER, "MyScheduling"), ("", "InformedGroup")])
def test_a_scheduler_of_the_projects_own_goes_before(project, counted, hook, name):
    project.extend(hook)
    result, _ = counted(NET, "--dist", "loadgroup")
    result.assert_outcomes(passed=3)
    result.says(f"scheduling tests via {name}")


# Between workers. `ref` waits until `third` has begun, in the other worker; so its item comes while that still runs.
APART = """
import os
import time

def until(name):
    for _ in range(600):
        if name in open(RUNS).read():
            return
        time.sleep(0.05)

@agree
def test_net(graphmode):
    ran(graphmode.backend)
    if graphmode.backend == "ref":
        until("third")
    else:
        until("ref")
        time.sleep(0.5)
        {third}
    graphmode.agree(loss=graphmode.tensor(2.0))
"""


@pytest.fixture
def temporary(project, monkeypatch):
    """The folder for temporary files of the runs."""
    folder = project.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("third", "outcome"),
    [
        ("assert os.listdir(os.environ['TMPDIR'])", "PASSED"),
        ("assert False", "SKIPPED ?1? test_net.py:*: third-eager-cpu failed, so the variants can't be compared: *"),
        ("pytest.skip('not here')", "SKIPPED ?1? test_net.py:*: fewer than two variants*third*(not here)*"),
        ("os._exit(3)", "SKIPPED ?1? test_net.py:*: third-eager-cpu crashed worker gw?, so the variants can't *"),
    ],
)
def test_what_happened_in_another_worker_is_read_and_not_run_again(counted, temporary, third, outcome):
    result, ran = counted(APART.format(third=third))
    assert ran == ["ref", "third"]
    result.says(outcome + ("*agreement?" if outcome == "PASSED" else ""))
    assert not list(temporary.glob("pytest-graphmode-*"))  # the run's own folder was removed


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["loadscope", "loadgroup"])
def test_a_crash_costs_one_variant(counted, dist):
    result, ran = counted(
        """
        import faulthandler

        @agree
        def test_net(graphmode):
            ran(graphmode.backend)
            if graphmode.backend == "third":
                faulthandler._sigsegv()
            graphmode.agree(loss=1.0)

        @agree
        def test_after(graphmode):
            graphmode.agree(loss=1.0)
        """,
        *("--dist", dist),
        backends="ref,third,off",
    )
    result.assert_outcomes(passed=2 + 4, failed=1, skipped=1)
    assert ran == ["off", "ref", "third"]
    result.says("SKIPPED*: third-eager-cpu crashed worker gw?, so the variants can't be compared: *")


@pytest.mark.slow
def test_a_crash_in_what_ran_for_an_item_is_named(counted):
    result, ran = counted(
        """
        import os

        @agree
        def test_net(graphmode):
            ran(graphmode.backend)
            os._exit(3)
        """,
        *("-k", "agreement"),
    )
    result.assert_outcomes(failed=1)
    assert ran == ["ref"]
    result.says("*crashed while running '*agreement?', which ran test_net.py::*ref-eager-cpu? for it")


@pytest.mark.slow
def test_with_each_an_item_knows_of_its_own_workers_crash_alone(counted):
    result, ran = counted(
        """
        import os

        @agree
        def test_net(graphmode):
            ran(graphmode.backend)
            if graphmode.backend == "third" and os.environ["PYTEST_XDIST_WORKER"] != "gw1":
                os._exit(3)
            graphmode.agree(loss=1.0)
        """,
        *("--dist", "each"),
    )
    result.assert_outcomes(passed=1 + 3, failed=1, skipped=1)
    assert ran == ["ref", "ref", "third", "third"]
    result.says("SKIPPED*: worker gw2: third-eager-cpu crashed worker gw0, so the variants can't *")


RETRYING = """

def pytest_runtest_protocol(item, nextitem):
    from _pytest.runner import runtestprotocol

    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


@pytest.mark.slow
def test_an_attempt_that_fails_is_not_how_a_variant_ended(project, counted):
    project.extend(RETRYING)
    first = "assert open(RUNS).read().count('third') == 2"
    result, ran = counted(APART.format(third=f"{first}\n        time.sleep(0.5)"))
    result.assert_outcomes(passed=3)
    assert ran == ["ref", "third", "third"]
