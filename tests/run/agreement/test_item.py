"""The agreement item in a run of pytest: what is collected, what it runs, and how it ends."""

import pytest

NET = """
@agree
def test_net(graphmode):
    graphmode.agree(loss=graphmode.tensor(2.0))
"""


def outcomes(result):
    """The outcome of every test by its name, `test_net[agreement]`."""
    lines = (line.split(" ") for line in result.outlines if line.startswith("test_net.py::"))
    return {line[0].removeprefix("test_net.py::"): line[1] for line in lines}


def test_variants_that_agree_pass_and_so_does_the_item_after_them(project):
    result = project.check(NET)
    assert list(outcomes(result).items()) == [
        ("test_net[ref-eager-cpu]", "PASSED"),
        ("test_net[third-eager-cpu]", "PASSED"),
        ("test_net[agreement]", "PASSED"),
    ]
    assert result.ret == 0


def test_a_variant_that_is_off_fails_the_item_and_not_itself(project):
    result = project.check(NET, backends="ref,third,off", passed=3, failed=1)
    result.says(
        "*_ test_net?agreement? _*",
        "off-eager-cpu does not agree with the reference, ref-eager-cpu:",
        "  loss: off-eager-cpu 2.002, ref-eager-cpu 2.0: they differ by 0.002* (relative 0.001); allowed are rtol*",
        "Triage: *: not rounding.",
        "A wider tolerance would hide that. *",
        "FAILED test_net.py::test_net?agreement? - *",
    )
    result.omits("*Traceback*", "*third-eager-cpu does not agree*")


@pytest.mark.parametrize(
    ("lines", "marker", "agrees"),
    [
        ("float32: rtol=1.1e-3", "agree", True),
        ("float32: rtol=0.95e-3", "agree", False),
        ("cpu.float32: rtol=1.1e-3", "agree", True),
        ("gpu.float32: rtol=1.1e-3", "agree", False),
        ("float64: rtol=1.1e-3", "agree", False),
        ("float32: rtol=0.95e-3", "pytest.mark.graph_agree(rtol=1.1e-3)", True),
        ("float32: rtol=1.1e-3", "pytest.mark.graph_agree(rtol=0.95e-3)", False),
        ("float32: rtol=0 atol=3e-3", "pytest.mark.graph_agree(rtol=0)", True),
    ],
)
def test_the_marker_beats_the_projects_tolerances_which_beat_the_default(project, lines, marker, agrees):
    project.makeini(f"[pytest]\ngraph_tolerances =\n    {lines}\n")
    project.check(
        NET.replace("agree\ndef", f"{marker}\ndef"),
        backends="ref,off",
        passed=3 if agrees else 2,
        failed=0 if agrees else 1,
    )


def test_the_marker_chooses_the_reference(project):
    text = NET.replace("@agree", "@pytest.mark.graph_agree(reference='off')")
    told = "{}-eager-cpu does not agree with the reference, off-eager-cpu:"
    project.check(text, backends="ref,third,off").says(told.format("ref"), told.format("third"))


def test_a_reference_that_is_not_selected_skips_the_item(project):
    result = project.check(NET.replace("@agree", "@pytest.mark.graph_agree(reference='off')"), passed=2, skipped=1)
    result.says("SKIPPED [[]1] test_net.py:6: the reference off is not among the variants that ran*")


# What is not an agreement.


def test_one_variant_alone_skips_the_item(project):
    result = project.check(NET, backends="ref", passed=1, skipped=1)
    result.says("SKIPPED [[]1] test_net.py:6: fewer than two variants ran (ref-eager-cpu)*--graph-backends*")


def test_no_variant_at_all_is_one_skipped_item(project):
    project.check(NET.replace("@agree", "@agree\n@pytest.mark.graphmode(backends='off')"), skipped=1)


def test_a_failed_variant_skips_the_item_by_name(project):
    result = project.check(NET + "    assert graphmode.backend != 'third'\n", passed=1, failed=1, skipped=1)
    result.says("SKIPPED [[]1] test_net.py:6: third-eager-cpu failed, so the variants can't be compared: *")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_variant_whose_fixture_fails_skips_the_item(project, when):
    project.write(f"""
        @pytest.fixture
        def broken(graphmode):
            assert ("before", graphmode.backend) != ({when!r}, "third")
            yield
            assert ("after", graphmode.backend) != ({when!r}, "third")

        @agree
        def test_net(graphmode, broken):
            graphmode.agree(loss=1.0)
    """)
    project.run(passed=1 + (when == "after"), errors=1, skipped=1).says("SKIPPED *third-eager-cpu failed*")


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("graph_skip('third', reason='not here')", "third-eager-cpu was skipped (not here)"),
        ("graph_xfail('third', reason='known')", "third-eager-cpu was skipped (expected to fail: known)"),
    ],
)
def test_skipped_and_expected_failures_are_left_out_and_named(project, mark, reason):
    text = NET.replace("@agree", f"@agree\n@pytest.mark.{mark}")
    project.write(text + "    assert graphmode.backend != 'third'\n")
    result = project.run(backends="ref,third,off")
    assert outcomes(result)["test_net[agreement]"] == "FAILED"
    result.says("off-eager-cpu does not agree*", f"Not compared: {reason}.")
    result.omits("third-eager-cpu does not agree*")
    result = project.run(backends="ref,third")
    result.says(f"SKIPPED *fewer than two variants ran (ref-eager-cpu)*; {reason}: *")


def test_a_variant_without_implementation_is_left_out(project):
    project.check(
        NET.replace("graphmode.tensor(2.0)", "graphmode.pick(ref=1.0, off=1.0)"),
        backends="ref,third,off",
        passed=3,
        skipped=1,
    )


def test_a_test_expected_to_fail_leaves_its_item_skipped(project):
    project.check(NET.replace("@agree", "@agree\n@pytest.mark.xfail") + "    assert False\n", xfailed=2, skipped=1)


def test_an_unexpected_pass_is_compared(project):
    text = NET.replace("@agree", "@agree\n@pytest.mark.graph_xfail('off', reason='known', strict=False)")
    project.check(text, backends="ref,off", passed=1, xpassed=1, failed=1)


def test_a_skipped_test_skips_its_item_for_the_same_reason(project):
    result = project.check(NET.replace("@agree", "@agree\n@pytest.mark.skip(reason='later')"), skipped=3)
    result.says("SKIPPED [[]3] test_net.py:*: later")


def test_a_marked_test_without_the_fixture_is_an_error_of_collection(project):
    project.write("""
        @agree
        def test_net():
            pass
    """)
    result = project.run(errors=1)
    result.says("test_net.py::test_net: @pytest.mark.graph_agree compares*give it the argument graphmode*")


@pytest.mark.parametrize("on", ["class", "method"])
def test_unittest_is_refused_when_collected(project, on):
    project.write(f"""
        import unittest

        @(agree if {on!r} == "class" else lambda decorated: decorated)
        class TestNet(unittest.TestCase):
            @(agree if {on!r} == "method" else lambda decorated: decorated)
            def test_net(self):
                pass
    """)
    result = project.run(errors=1)
    result.says("TestNet*: @pytest.mark.graph_agree needs the graphmode fixture, which methods of unittest*")


def test_unittest_beside_is_left_alone(project):
    project.write(
        """
        import unittest

        class TestPlain(unittest.TestCase):
            def test_plain(self):
                pass
        """
        + NET.replace("\n", "\n        ")
    )
    project.run(passed=4)


def test_limits_of_the_test_are_not_the_items(project):
    project.write("""
        @pytest.mark.graph_rebuilds(at_most=0)
        class TestNet:
            @agree
            @pytest.mark.graph_budget(builds=1)
            def test_net(self, graphmode):
                graphmode.function(lambda x: x)(graphmode.tensor(1.0))
                graphmode.agree(loss=1.0)
    """)
    project.run(passed=3)


def test_a_watched_run_does_not_watch_the_item(project):
    project.check(NET, "--graph-watch", "--graph-report", passed=3).says("2 watched tests built and called no graph")


def test_variants_that_a_plugin_replaced_are_the_ones_compared(project):
    project.extend(REPLACING)
    project.write(NET)
    project.run("-k", "agreement", "-s", passed=1, deselected=2).says("*replaced ref*", "*replaced third*")


REPLACING = """

class Replaced(pytest.Function):
    def runtest(self):
        print("replaced", self.callspec.params["graphmode"].backend)
        super().runtest()


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector):
    made = yield
    return [
        Replaced.from_parent(
            item.parent, name=item.name, callspec=item.callspec, originalname=item.originalname, callobj=item.obj
        )
        for item in made
    ] if isinstance(made, list) else made
"""


def test_an_async_test_is_pytests_own_matter(project):
    project.write("""
        @agree
        async def test_net(graphmode):
            graphmode.agree(loss=1.0)
    """)
    project.run(failed=2, skipped=1).says("SKIPPED *ref-eager-cpu, third-eager-cpu failed*")


def test_records_do_not_outlive_their_item(project):
    project.write(
        NET
        + """
def test_freed(request):
    from pytest_graphmode.run.agreement.item import RECORDING, RUN

    items = [item for item in request.session.items if RECORDING in item.stash]
    assert len(items) == 2
    assert not any(item.stash[RECORDING] or item.stash.get(RUN, None) for item in items)
"""
    )
    project.run(passed=4)
    project.run("-k", "freed or eager", passed=3, deselected=1)
