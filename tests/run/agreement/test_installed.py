"""An agreement item beside the plugins that `test_beside.py` plays, where they are installed (`tox -e beside`)."""

import json

import pytest

from tests.run.agreement.test_item import NET

FLAKY = """
runs = []

@agree
def test_net(graphmode):
    runs.append(graphmode.backend)
    graphmode.agree(loss=2.0 if len(runs) == 2 else 1.0)

def test_runs():
    assert runs == ["ref", "third", "ref", "third"]
"""


@pytest.fixture
def beside(project, monkeypatch):
    """Runs of tests beside one other plugin; some of them can't be loaded with each other, or twice in a process."""

    def run(plugin, text, *options, backends="ref,off", **outcomes):
        pytest.importorskip(plugin)
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("COLUMNS", "200")
        project.write(text)
        plugins = ["-p", "pytest_graphmode.plugin", "-p", plugin]
        return project.run(*plugins, *options, backends=backends, apart=True, **outcomes)

    return run


def test_retry(beside):
    plugin = "pytest_retry.retry_plugin"
    beside(plugin, NET + "\ndef test_after(): pass\n", "--retries=1", passed=3, failed=1)
    beside(plugin, NET, "--retries=1", "-k", "agreement", failed=1, deselected=2)
    beside(plugin, FLAKY, "--retries=1", backends="ref,third", passed=4)


def test_rerunfailures(beside):
    beside("pytest_rerunfailures", FLAKY, "--reruns=1", backends="ref,third", passed=4)
    result = beside("pytest_rerunfailures", NET, "--reruns=1", passed=2, failed=1)
    result.says("FAILED *agreement] - loss: off-eager-cpu 2.002*")


def test_flakefinder(beside):
    beside("pytest_flakefinder", NET, "--flake-finder", "--flake-runs=3", passed=6, failed=3)


def test_repeat(beside):
    beside("pytest_repeat", NET, "--count=2", passed=4, failed=2)


def test_timeout(beside):
    text = NET + "    import time; time.sleep(30 * (graphmode.backend == 'off'))\n"
    result = beside("pytest_timeout", text, "--timeout=1", "-k", "agreement", failed=1, deselected=2)
    result.says("off-eager-cpu failed when it was run for this item:", "*Timeout*")


@pytest.mark.parametrize("selection", [[], ["-k", "agreement"]])
def test_allure_keeps_a_history_for_each(beside, project, selection):
    text = """
        @agree
        @pytest.mark.parametrize("x", [1, 2])
        def test_net(graphmode, x):
            graphmode.agree(x=x)
        """
    beside("allure_pytest.plugin", text, "--alluredir=results", *selection)
    results = [json.loads(file.read_text()) for file in (project.path / "results").glob("*-result.json")]
    assert len(results) == len({entry["historyId"] for entry in results}) == 6
    assert {entry["status"] for entry in results} == {"passed"}


def test_randomly(beside):
    text = """
        import random

        @agree
        def test_net(graphmode):
            graphmode.agree(python=random.random(), numpy=np.random.random(), own=graphmode.rng.random())
        """
    for seed in (1, 2):
        beside("pytest_randomly", text, f"--randomly-seed={seed}", passed=3)


def test_run_parallel(beside):
    plugin, text = "pytest_run_parallel.plugin", NET + "\ndef test_other(): pass\n"
    result = beside(plugin, text, "--parallel-threads=3", backends="ref,third", passed=4)
    result.says("*agreement* was not run in parallel: its graphs are counted*")
    beside(plugin, text, "--parallel-threads=3", "--skip-thread-unsafe=1", passed=1, skipped=3)


def test_forked(beside):
    if beside("pytest_forked", "def test_plain(): pass\n", "--forked").ret != 0:
        pytest.skip("this release of pytest-forked does not work with this release of pytest")
    beside("pytest_forked", NET, "--forked", passed=2, failed=1)
