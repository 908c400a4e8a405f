"""What runs that triage makes leave alone: reports, ledgers, records, the debugger, other processes."""

import re

import pytest

from tests.run.agreement.test_item import NET
from tests.run.agreement.test_triage import paragraph


def test_reruns_are_in_no_report_ledger_or_record(project):
    project.makeconftest(
        (project.path / "conftest.py").read_text()
        + """
built = []

def pytest_graphmode_build(config, nodeid, build):
    built.append(nodeid)
"""
    )
    text = """
    import warnings

    @agree
    @pytest.mark.graph_rebuilds(0)
    def test_net(graphmode):
        print("said by", graphmode.variant)
        if graphmode.dtype == "float64":
            warnings.warn("of a rerun")
        graphmode.agree(loss=graphmode.tensor(2.0))
    """
    project.write(text)
    options = ["--graph-records=kept", "--graph-report", "--junitxml=junit.xml"]
    result = project.run(*options, backends="ref,off")
    assert "float64 still 0.002 apart" in paragraph(result)
    result.omits("*of a rerun*")
    assert result.stdout.str().count("said by off-eager-cpu") == 1  # -rA shows what the variant itself has printed
    result.omits("*said by off-eager-cpu-float64*")
    kept = sorted(file.name for file in (project.path / "kept").rglob("*.npz"))
    assert [name.partition("@")[0] for name in kept] == ["off-eager-cpu", "ref-eager-cpu"]
    assert (project.path / "junit.xml").read_text().count("<testcase") == 3


def test_integers_that_float64_holds_alike_are_no_rounding(project):
    project.write("""
import numpy as np
import pytest

@pytest.mark.graph_agree
def test_big(graphmode):
    graphmode.agree(big=np.int64(2**62 + (graphmode.backend == "off")))
    """)
    result = project.run(backends="ref,off")
    assert "in float64 nothing can be said: big is int64 there too" in paragraph(result)


def test_what_is_a_record_is_not_run_again(project):
    project.write(NET)
    project.run("--graph-records=kept", backends="ref", passed=1, skipped=1)
    result = project.run("--graph-records=kept", backends="off")
    assert re.fullmatch(
        r"Triage: ref-eager-cpu@numpy-\S+ and off-eager-cpu: ref-eager-cpu@numpy-\S+ is a record of another run, which "
        r"can't be run again; run again with the same seed, off-eager-cpu gives the same\.",
        paragraph(result),
    )


def test_an_item_run_alone_and_again_is_triaged_too(project):
    project.write(NET)
    result = project.run("test_net.py::test_net[agreement]", backends="ref,off")
    assert "both give the same; in float64 still 0.002 apart: not rounding." in paragraph(result)
    again = project.run("--lf", backends="ref,off")
    assert paragraph(again) == paragraph(result)


def test_the_debugger_does_not_stop_at_a_rerun(project):
    conftest = project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + """
class Noted:
    quitting = False

    def __init__(self, *args, **kwargs):
        pass

    def reset(self):
        pass

    def interaction(self, frame, traceback):
        print("stopped")

def pytest_exception_interact(node):
    print("seen", node.nodeid)
"""
    )
    project.write("""
        @agree
        def test_net(graphmode):
            assert graphmode.dtype != "float64"
            graphmode.agree(loss=graphmode.tensor(2.0))
    """)
    result = project.run("--pdb", "--pdbcls=conftest:Noted", "-s", backends="ref,off")
    assert [line for line in result.outlines if line.startswith("seen ")] == ["seen test_net.py::test_net[agreement]"]


@pytest.mark.slow
def test_a_crash_in_a_rerun_hides_no_failure_under_xdist(project):
    pytest.importorskip("xdist")
    project.write("""
        import os

        @agree
        def test_net(graphmode):
            if graphmode.dtype == "float64":
                os._exit(3)
            graphmode.agree(loss=graphmode.tensor(2.0))
    """)
    result = project.run("-n1", "-p", "xdist", backends="ref,off")
    result.says(
        "worker 'gw0' crashed while running *agreement?', which ran *off-eager-cpu-float64? for it, to say more*:",
        "off-eager-cpu does not agree with the reference, ref-eager-cpu:",
    )
