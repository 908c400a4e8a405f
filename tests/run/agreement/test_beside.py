"""An agreement item beside other plugins: what they read of it, and what runs within its own protocol.

Each plugin is played by a few lines of a conftest that do as it does; `test_installed.py` has the real ones.
"""

import pytest

from tests.run.agreement.test_item import NET, outcomes

FLAKY = """
runs = []

@pytest.mark.graph_agree(triage=False)
def test_net(graphmode):
    runs.append(graphmode.backend)
    graphmode.agree(loss=2.0 if len(runs) == {wrong} else 1.0)

def test_runs():
    print("RUNS", *runs)
"""


@pytest.fixture
def beside(project):
    """A project whose conftest has hooks of another plugin too."""

    def extend(hooks):
        project.extend(hooks)
        return project

    return extend


# What plugins read of function items.

READING = """
import copy
import inspect

def pytest_collection_modifyitems(items):
    for item in items:
        if "agreement" in item.name:
            shown = copy.copy(item)
            shown._initrequest()
            print("READ", item.nodeid, item.function.__name__, item.function.__doc__, item.originalname,
                  item.callspec.id, item.callspec.params, item.funcargs, item.fixturenames,
                  inspect.signature(item.obj), item.obj.__dict__.get("duplicated"), item.cls and item.cls.__name__)
"""


def test_it_has_what_plugins_read_of_function_items(beside):
    project = beside(READING)
    project.write("""
        @agree
        @pytest.mark.parametrize("x", [1, 2])
        def test_net(graphmode, x):
            "What it is about."
            graphmode.agree(loss=1.0)

        test_net.duplicated = "yes"

        class TestNet:
            @agree
            def test_net(self, graphmode):
                graphmode.agree(loss=1.0)
    """)
    result = project.run("-s", passed=6 + 3)
    of_function = "test_net What it is about. test_net"
    result.says(
        f"*READ *::test_net?agreement-1? {of_function} agreement-1 {{'graphmode': 'agreement', 'x': 1}} *",
        f"READ *::test_net?agreement-2? {of_function} agreement-2 {{'graphmode': 'agreement', 'x': 2}} *",
        "READ *::TestNet::test_net?agreement? test_net None test_net agreement {'graphmode': 'agreement'} *",
    )
    lines = [line for line in result.outlines if "READ" in line]
    assert [line.rpartition("} ")[2] for line in lines] == ["[] () yes None"] * 2 + ["[] () None TestNet"]
    assert all("} {} [] " in line for line in lines)


def test_fixtures_that_a_test_need_not_name_are_set_up_for_its_variants_alone(project):
    project.write("""
        seen = []

        @pytest.fixture(autouse=True)
        def each(request):
            seen.append(request.node.name)

        @pytest.fixture
        def used(graphmode):
            seen.append(str(graphmode.variant))

        @agree
        @pytest.mark.usefixtures("used")
        class TestNet:
            def setup_method(self):
                seen.append("method")

            def test_net(self, graphmode):
                graphmode.agree(loss=1.0)

        def test_seen():
            assert not any("agreement" in name for name in seen)
            assert seen.count("method") == 2
    """)
    project.run(passed=4)


# Plugins that run an item again.

RETRYING = """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    assert item.stash[PREPARED]
    if call.when == "call" and report.failed and "agreement" in item.name:
        item.ihook.pytest_runtest_teardown(item=item, nextitem=pytest.Class.from_parent(item.session, name="none"))
        item._initrequest()
        item.ihook.pytest_runtest_setup(item=item)
        again = pytest.CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), when="call")
        retried = pytest.TestReport.from_item_and_call(item, again)
        report.outcome, report.longrepr = retried.outcome, retried.longrepr
    return report

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.stash[PREPARED] = True
    return (yield)

PREPARED = pytest.StashKey()
"""
RERUNNING = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if "agreement" in item.name and any(report.failed for report in reports):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


@pytest.mark.parametrize("hooks", [RETRYING, RERUNNING])
@pytest.mark.parametrize("selection", [[], ["-k", "agreement or runs"]])
def test_another_attempt_runs_the_variants_again(beside, hooks, selection):
    project = beside(hooks)
    result = project.check(
        FLAKY.format(wrong=2), "-s", *selection, passed=2 if selection else 4, deselected=len(selection)
    )
    result.says("*RUNS ref third ref third*")


@pytest.mark.parametrize("hooks", [RETRYING, RERUNNING])
def test_what_differs_again_fails_with_its_message(beside, hooks):
    result = beside(hooks).check(NET, backends="ref,off", passed=2, failed=1)
    result.says("off-eager-cpu does not agree with the reference*", "FAILED *- loss: off-eager-cpu 2*")


def test_an_attempt_that_is_skipped_leaves_nothing_for_the_next(beside):
    """The variant that failed in the first attempt passes in the second."""
    project = beside(RERUNNING.replace("any(report.failed ", "any(report.skipped "))
    project.write("""
        runs = []

        @agree
        def test_net(graphmode):
            runs.append(graphmode.backend)
            graphmode.agree(loss=1.0)
            assert runs != ["ref", "third"]
    """)
    result = project.run()
    assert outcomes(result)["test_net[agreement]"] == "PASSED"


# Plugins that take an item's protocol elsewhere.

FORKING = """
import os
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    child = os.fork()
    if not child:
        reports = runtestprotocol(item, log=False)
        os._exit(12 if any(r.failed for r in reports) else 11 if any(r.skipped for r in reports) else 10)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    end = {10: lambda: None, 11: lambda: pytest.skip("skipped")}
    told = end.get(status, lambda: pytest.fail(f"ended with {status}", pytrace=False))
    call = pytest.CallInfo.from_call(told, "call")
    item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
    item.session._setupstate.teardown_exact(nextitem)
    return True
"""
CRASHING = """
import os

@agree
def test_net(graphmode):
    graphmode.agree(loss=1.0)
    if graphmode.backend == "third":
        os._exit(99)

def test_after():
    pass
"""
forks = pytest.mark.skipif("not hasattr(__import__('os'), 'fork')", reason="processes are not forked here")


@pytest.mark.slow
@forks
def test_in_processes_of_their_own_the_item_runs_the_variants_in_its_own(beside):
    project = beside(FORKING)
    project.write(NET)
    project.run(apart=True, passed=3)
    project.run(backends="ref,off", apart=True, passed=2, failed=1)


@forks
@pytest.mark.parametrize(
    ("selection", "counts"),
    [
        ([], {"passed": 2, "failed": 1, "skipped": 1}),
        (["-k", "agreement or after"], {"passed": 1, "failed": 1, "deselected": 2}),
    ],
)
def test_a_crash_costs_one_item(beside, selection, counts):
    project = beside(FORKING)
    project.write(CRASHING)
    project.run(*selection, apart=True, **counts).says("FAILED * - Failed: ended with 99")


TIMING = """
import signal

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    def end(*_):
        pytest.fail("took too long")

    signal.signal(signal.SIGPROF, end)  # of the process's own time, which does not depend on what else runs
    signal.setitimer(signal.ITIMER_PROF, 0.3)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
"""


@pytest.mark.skipif("not hasattr(__import__('signal'), 'SIGPROF')", reason="there is no timer of this kind here")
def test_a_limit_of_time_covers_variants_that_are_run_for_it(beside):
    project = beside(TIMING)
    busy = "    import time\n    while graphmode.backend == 'third' and time.process_time() < 30: pass\n"
    project.write(NET + busy + "\ndef test_after(): pass\n")
    result = project.run("-k", "agreement or after", apart=True, passed=1, failed=1, deselected=2)
    result.says("third-eager-cpu failed when it was run for this item:", "E *Failed: took too long")


# Workers and threads.


@pytest.mark.slow
def test_each_of_several_workers_says_who_it_is(project):
    pytest.importorskip("xdist")
    project.write(NET + "\n@agree\n@pytest.mark.graphmode('ref')\ndef test_alone(graphmode): graphmode.agree(x=1)\n")
    result = project.run(
        "--dist=each",
        "--tx=2*popen",
        "--graph-report",
        backends="ref,off",
        apart=True,
        passed=2 * 3,
        failed=2,
        skipped=2,
    )
    for worker in ("gw0", "gw1"):
        result.says(f"worker {worker}: off-eager-cpu does not agree with the reference*")
        result.says(f"SKIPPED * worker {worker}: fewer than two variants ran (ref-eager-cpu)*")
        result.says(f"FAILED *agreement] - worker {worker}: loss: off-eager-cpu*")
    result = project.run("-n2", backends="ref,off", apart=True)
    result.omits("*worker gw?:*")


THREADING = """
class Parallel:
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session):
        for item in session.items:
            mark = item.get_closest_marker("thread_unsafe")
            print("KEPT", item.name, mark and mark.kwargs["reason"])

def pytest_configure(config):
    config.addinivalue_line("markers", "thread_unsafe: run in one thread")
    config.pluginmanager.register(Parallel(), "_run-parallel")
"""


def test_what_is_kept_for_one_run_of_a_test_keeps_it_to_one_thread(beside):
    project = beside(THREADING)
    project.write(
        NET
        + """
def test_ledger(graph_ledger): pass

@pytest.mark.graph_rebuilds(0)
def test_limited(): pass

def test_other(): pass
"""
    )
    result = project.run("--collect-only", "--strict-markers")
    kept = dict(line.partition("KEPT ")[2].split(" ", 1) for line in result.outlines if "KEPT" in line)
    assert kept.pop("test_other") == "None"
    assert len(kept) == 5
    assert set(kept.values()) == {
        "its graphs are counted, and its values recorded, for the whole process, where threads can't be told apart"
    }
