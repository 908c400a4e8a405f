"""The command at the end of a failure: it is what the test says, and a shell that is given it runs that test alone."""

import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.parametrize("text", ["a b", "$x'\\"", "[::]/"])
def test_net(graphmode, text):
    assert graphmode.mode != "graph"

class TestGroup:
    @pytest.mark.graph_agree
    def test_other(self, graphmode):
        graphmode.agree(loss=graphmode.tensor(1.0 + (graphmode.mode == "graph")))

    def test_last(self, graphmode):
        assert graphmode.variant is None
"""


def commands(result):
    return [line for title, line in pairwise(result.outlines) if title.strip("-") == " to run it again "]


def run_again(command, folder):
    """The outcome of a command that a person gives to a shell."""
    python = f"{shlex.quote(sys.executable)} -m pytest"
    assert command.startswith("pytest ")
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        f"{python} -p no:cacheprovider {command.removeprefix('pytest ')}",
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    return ran.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]


@pytest.mark.slow
def test_the_command_runs_the_test_that_failed_and_no_other(toy):
    toy.write(TESTS, "test_net")
    result = toy.run("--graph-backends=toy:eager+graph", "--graph-devices=cpu", "--graph-seed=3", passed=5, failed=6)
    found = commands(result)
    options = "--graph-devices=cpu --graph-seed=3"
    assert found[0] == f"pytest --graph-backends=toy:graph {options} 'test_net.py::test_net[toy-graph-cpu-a b]'"
    assert f"pytest --graph-backends=toy:eager+graph {options} 'test_net.py::TestGroup::test_other[agreement]'" in found
    assert len(found) == 6
    assert [run_again(command, toy.path) for command in found] == ["1 failed"] * 6


def test_the_command_makes_the_devices_that_the_test_ran_on(toy):
    toy.write("def test_net(graphmode):\n    assert False\n", "test_net")
    result = toy.run("--graph-backends=toy:eager", "--graph-logical-cpus=2", "--graph-devices=cpu")
    [command] = commands(result)
    assert command.split()[1:-1] == ["--graph-backends=toy:eager", "--graph-devices=cpu", "--graph-logical-cpus=2"]


@pytest.mark.slow
def test_the_command_is_for_the_folder_that_pytest_was_started_in(toy, monkeypatch):
    toy.makeini("[pytest]\ngraph_backends = toy:eager\ngraph_devices = cpu\n")
    folder = toy.mkdir("below")
    (folder / "test_net.py").write_text("def test_net(graphmode):\n    assert graphmode.seed\n")
    toy.mkdir("beside")
    for start, path in (("beside", "../below/test_net.py"), ("below", "test_net.py"), (".", "below/test_net.py")):
        monkeypatch.chdir(toy.path / start)
        result = toy.run("--rootdir", str(toy.path), "-c", str(toy.path / "tox.ini"), str(folder))
        (found,) = commands(result)
        assert found == f"pytest '{path}::test_net[toy-eager-cpu]'"
        assert run_again(found, toy.path / start) == "1 failed"


def test_overridden_ini_values_and_switches_go_with_it(toy):
    toy.write(TESTS, "test_net")
    options = ["-o", "graph_backends=toy:eager+graph", "--graph-records=kept", "--graph-label=me"]
    for more in ([], ["--graph-records-frozen"]):
        result = toy.run(*options, *more, "-k", "agreement")
        node = "'test_net.py::TestGroup::test_other[agreement]'"
        assert commands(result) == [" ".join(["pytest", *options, *more, node])]


def test_a_test_that_passes_or_has_no_variant_has_none(toy):
    toy.write("def test_fails():\n    assert 0\n\ndef test_passes(graphmode):\n    assert graphmode.variant")
    result = toy.run("--graph-backends=toy", passed=1, failed=1)
    assert commands(result) == []


def test_a_test_that_names_its_variants_keeps_the_options_as_they_were(toy):
    toy.write("""
        @pytest.mark.parametrize("graphmode", ["toy:eager", "toy:graph"], indirect=True)
        def test_net(graphmode):
            assert graphmode.mode == "graph"
    """)
    result = toy.run("--graph-backends=toy:graph")
    assert [command.partition(" '")[0] for command in commands(result)] == ["pytest --graph-backends=toy:graph"]


def test_an_expected_failure_that_passes_has_one_too(toy):
    toy.write("""
        @pytest.mark.xfail(strict=True)
        def test_net(graphmode):
            assert graphmode.variant
    """)
    result = toy.run("--graph-backends=toy", "--graph-devices=cpu", failed=1)
    assert len(commands(result)) == 1
