"""Triage of a disagreement: the paragraph, what it leaves alone, and what happens when it fails itself."""

import itertools
import re
from types import SimpleNamespace

import pytest

from pytest_graphmode.run.agreement import rerunning
from tests.run.agreement.test_item import NET


def paragraph(result):
    """What triage said; None where it said nothing."""
    found = [line for line in result.outlines if line.startswith("Triage: ")]
    assert len(found) < 2
    return found[0] if found else None


LOOSEN = "If the difference is rounding of floating values, allow it: "
# In float32 a sum with 1000 loses ten bits of x, in float64 none that anybody sees.
ROUNDED = """
@agree
def test_net(graphmode):
    x = graphmode.tensor(np.linspace(1.0, 2.0, 99))
    graphmode.agree(loss=(x + 1000) - 1000 if graphmode.backend == "third" else x)
"""


def test_a_fault_is_as_large_in_float64_and_no_tolerance_is_advised(project):
    result = project.check(NET, backends="ref,off", passed=2, failed=1)
    assert paragraph(result) == (
        "Triage: off-eager-cpu and ref-eager-cpu: run again with the same seed, both give the same; "
        "in float64 still 0.002 apart: not rounding."
    )
    told = str(result.stdout)
    assert "A wider tolerance would hide that. Tap what leads to the value, h = graphmode.tap('h', h): " in told
    assert told.index("not rounding.") < told.index("A wider tolerance")
    assert LOOSEN not in told
    assert "rtol=..." not in told


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (ROUNDED, r"rtol=\S+"),
        (ROUNDED.replace("1000", "30000"), r"rtol=\S+"),
        (ROUNDED.replace("linspace(1.0", "linspace(0.0"), r"atol=\S+"),
    ],
    ids=["usual", "large", "next to zero"],
)
def test_rounding_is_called_so_and_the_tolerance_that_is_named_makes_it_pass(project, text, allowed):
    failed = project.check(text)
    said = re.search(rf"in float64 they agree to \S+: rounding; allow ({allowed})\.$", paragraph(failed))
    assert said, paragraph(failed)
    mark = f"@pytest.mark.graph_agree({said[1]})"
    failed.says(f"The difference is rounding: allow it, {mark}, or the ini key*")
    assert LOOSEN not in str(failed.stdout)
    project.check(text.replace("@agree", mark), passed=3)


def test_the_rtol_that_is_named_makes_the_other_values_and_variants_pass_too(project):
    text = """
    @agree
    def test_net(graphmode):
        x = graphmode.tensor(np.linspace(1.0, 2.0, 99))
        half = np.float16(1.0) + np.float16(graphmode.backend == "off") * np.float16(2**-10)
        graphmode.agree(loss=(x + 1000) - 1000 if graphmode.backend == "third" else x, half=np.array([half]))
    """
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("1.001", "1.0"))
    failed = project.check(text, backends="ref,third,off")
    said = re.search(r": rounding; allow (rtol=\S+)\.$", paragraph(failed))
    assert said, paragraph(failed)
    project.check(text.replace("@agree", f"@pytest.mark.graph_agree({said[1]})"), backends="ref,third,off", passed=4)


def test_where_only_some_is_rounding_the_advice_is_the_general_one(project):
    result = project.check(ROUNDED, backends="ref,third,off")
    third, off = paragraph(result).split(". ")
    assert third.startswith("Triage: third-eager-cpu and ref-eager-cpu: ")
    assert ": rounding; allow rtol=" in third
    assert off == (
        "off-eager-cpu and ref-eager-cpu: run again with the same seed, both give the same; in float64 still 0.002 "
        "apart: not rounding."
    )
    general(result)


def test_rounding_that_nobody_could_allow_is_said_to_be_so(project):
    result = project.check(ROUNDED.replace("1000", "3e7"))
    assert paragraph(result).endswith(": rounding; that is too much to allow: compare in float64, or mend the formula.")
    general(result)


def general(result):
    assert LOOSEN in str(result.stdout)
    result.omits("*The difference is rounding*")


def test_values_that_stay_float32_in_float64_tell_nothing(project):
    project.write("""
        @agree
        def test_net(graphmode):
            graphmode.agree(loss=np.float32(1.0) + np.float32(graphmode.backend == "third"))
    """)
    result = project.run()
    assert "; in float64 nothing can be said: loss is float32 there too" in paragraph(result)


def test_float64_variants_have_no_wider_dtype(project):
    result = project.check(NET, "--graph-dtypes=float64", backends="ref,off")
    assert "both give the same; they are of float64 already" in paragraph(result)


def test_what_differs_from_itself_is_not_deterministic(project):
    project.write("""
        calls = []

        @agree
        def test_net(graphmode):
            calls.append(graphmode.backend)
            graphmode.agree(loss=graphmode.tensor(calls.count("third") if graphmode.backend == "third" else 0))
    """)
    result = project.run()
    assert paragraph(result) == (
        "Triage: third-eager-cpu and ref-eager-cpu: third-eager-cpu differs from itself: not deterministic."
    )


def test_random_numbers_are_the_same_again(project):
    project.write("""
        import random

        @pytest.fixture
        def start(graphmode):
            return random.random()

        @agree
        def test_net(graphmode, start):
            graphmode.agree(loss=start + random.random() + np.random.rand() + (graphmode.backend == "third"))
    """)
    result = project.run()
    assert "with the same seed, both give the same;" in paragraph(result)


def test_fixtures_are_made_anew_and_other_parameters_kept(project):
    project.write("""
        made = []

        @pytest.fixture
        def model(graphmode):
            made.append(str(graphmode.variant))
            yield len(made)
            made.append("closed")

        @agree
        @pytest.mark.parametrize("width", [3, 4])
        def test_net(graphmode, model, width, capsys):
            graphmode.agree(loss=graphmode.tensor(width) + (graphmode.backend == "third" and width == 4))

        def test_last():
            assert made[:8] == [name for name in made[:8] if name]
            assert made[8:] == [
                "third-eager-cpu", "closed", "ref-eager-cpu", "closed",
                "third-eager-cpu-float64", "closed", "ref-eager-cpu-float64", "closed",
            ]
    """)
    project.run(passed=6, failed=1)


# The stages between.


def test_the_stage_that_differs_first_is_named(toy):
    toy.write("""
        @pytest.mark.graph_agree
        def test_net(graphmode):
            graphmode.agree(loss=graphmode.tensor(1.0 + (graphmode.mode == "graph")))

        @pytest.mark.graph_agree
        def test_other(graphmode):
            graphmode.agree(loss=graphmode.tensor(1.0 + (graphmode.backend == "toy")))

        @pytest.mark.graph_agree
        def test_unable(graphmode):
            if graphmode.backend == "toy":
                assert graphmode.mode == "graph", "not for eager"
            graphmode.agree(loss=graphmode.tensor(1.0 + (graphmode.backend == "toy")))
    """)
    result = toy.run("--graph-backends=numpy,toy", "--graph-devices=cpu", passed=6, failed=3)
    ends = [line.rpartition("rounding; ")[2] for line in result.outlines if line.startswith("Triage: ")]
    assert ends == [
        "toy-eager-cpu agrees with numpy-eager-cpu, the first that differs is toy-graph-cpu itself.",
        "of the stages from one to the other the first that differs is toy-eager-cpu.",
        "toy-eager-cpu failed (AssertionError: not for eager).",
    ]


# When it says nothing, and when it fails.


def test_nothing_is_run_again_where_all_agree(project):
    result = project.check(NET + "\n    print('once', end='')\n", "-s")
    assert result.stdout.str().count("once") == 2
    assert paragraph(result) is None


def test_the_marker_leaves_it_out(project):
    text = NET.replace("@agree", "@pytest.mark.graph_agree(triage=False)")
    result = project.check(text + "\n    print('once', end='')\n", "-s", backends="ref,off", passed=2, failed=1)
    assert result.stdout.str().count("once") == 2
    assert paragraph(result) is None


def test_the_markers_word_for_it_is_a_truth_value(project):
    result = project.check(NET.replace("@agree", "@pytest.mark.graph_agree(triage='no')"))
    result.says("*graph_agree(triage='no'): triage must be True or False, not 'no'*")


def test_names_and_shapes_that_differ_are_not_triaged(project):
    project.write("""
        @agree
        def test_net(graphmode):
            graphmode.agree(**{graphmode.backend: graphmode.tensor(2.0)})
    """)
    result = project.run(passed=2, failed=1)
    assert paragraph(result) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pytest.skip('no float64')", "third-eager-cpu-float64 was skipped (no float64)"),
        ("raise ValueError('no float64')", "third-eager-cpu-float64 failed (ValueError: no float64)"),
        ("pytest.xfail('no float64')", "third-eager-cpu-float64 was skipped (expected to fail: no float64)"),
        ("raise SystemExit(3)", "third-eager-cpu-float64 failed (SystemExit: 3)"),
    ],
)
def test_a_rerun_that_does_not_pass_is_said_in_one_clause(project, line, said):
    project.write(f"""
        @agree
        def test_net(graphmode):
            if graphmode.dtype == "float64" and graphmode.backend == "third":
                {line}
            graphmode.agree(loss=graphmode.tensor(2.0 + (graphmode.backend == "third")))
    """)
    result = project.run(passed=2, failed=1)
    assert paragraph(result).endswith(f"both give the same; in float64 nothing can be said: {said}.")


def test_a_variant_that_fails_when_it_is_run_again(project):
    project.write("""
        ran = []

        @agree
        def test_net(graphmode):
            ran.append(graphmode.backend)
            assert ran.count("third") < 2, "only once"
            graphmode.agree(loss=graphmode.tensor(2.0 + (graphmode.backend == "third")))
    """)
    result = project.run(passed=2, failed=1)
    assert "third-eager-cpu failed (AssertionError: only once) when it was run again;" in paragraph(result)


def test_marks_of_single_variants_hold_for_reruns(project):
    text = NET.replace("@agree", "@pytest.mark.graph_skip('third[float64]', reason='too slow')\n@agree")
    result = project.check(text.replace("(2.0)", "(2.0 + (graphmode.backend == 'third'))"))
    assert "nothing can be said: third-eager-cpu-float64 was skipped (too slow)" in paragraph(result)


def test_triage_that_fails_itself_leaves_the_verdict(project, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("out of order")

    monkeypatch.setattr(rerunning, "again", broken)
    result = project.check(NET, backends="ref,off", passed=2, failed=1)
    assert paragraph(result) == "Triage: left out, since it failed itself (RuntimeError: out of order)."
    result.says("off-eager-cpu does not agree with the reference, ref-eager-cpu:")


def test_it_says_what_it_left_out_when_time_is_up(project, monkeypatch):
    monkeypatch.setattr(rerunning, "SECONDS", 1.25)
    monkeypatch.setattr(rerunning, "time", SimpleNamespace(monotonic=itertools.count(0.0, 0.25).__next__))
    result = project.check(NET, backends="ref,off", passed=2, failed=1)
    assert paragraph(result) == (
        "Triage: off-eager-cpu and ref-eager-cpu: run again with the same seed, both give the same. "
        "Left out after 1.25 s: off-eager-cpu-float64."
    )
    monkeypatch.setattr(rerunning, "SECONDS", -1.0)
    result = project.check(NET, backends="ref,off", passed=2, failed=1)
    assert "nothing was run again. Left out after" in paragraph(result)
