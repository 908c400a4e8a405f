"""Golden values: `--graph-records-frozen` compares with what is kept, and writes nothing."""

from pytest_graphmode.records import archive
from tests.run.agreement.kept import KEPT, NET, files, label, records_of


def test_a_frozen_run_compares_with_the_records_and_writes_none(kept):
    before = files(kept)
    kept.run(KEPT, "--graph-records-frozen", backends="third", passed=2)
    kept.run(KEPT, "--graph-records-frozen", backends="ref", passed=2)
    result = kept.run(KEPT, "--graph-records-frozen", backends="off", passed=1, failed=1)
    result.says(f"off-eager-cpu does not agree with the record, ref-eager-cpu@{label()}:")
    assert files(kept) == before


def test_a_frozen_run_compares_with_a_variants_own_record(kept):
    kept.write(NET.replace("graphmode.tensor([2.0, 3.0])", "graphmode.tensor([2.0, 3.0]) + SHIFT") + "SHIFT = 0.0\n")
    kept.run(KEPT, backends="ref")
    kept.write(kept.path.joinpath("test_net.py").read_text().replace("SHIFT = 0.0", "SHIFT = 1.00"))
    result = kept.run(KEPT, "--graph-records-frozen", backends="ref")
    result.says(f"ref-eager-cpu does not agree with the record, ref-eager-cpu@{label()}:")


def test_values_that_did_not_agree_when_they_were_written_are_no_golden_values(kept):
    kept.run(KEPT, backends="off", passed=1, failed=1)
    frozen = kept.run(KEPT, "--graph-records-frozen", backends="off", passed=1, failed=1)
    said = " ".join(frozen.stdout.str().split())
    assert (
        f"off-eager-cpu@{label()}.npz: no golden values: they did not agree with ref-eager-cpu@{label()} in the" in said
    )
    assert (
        f"off-eager-cpu was compared with ref-eager-cpu@{label()} instead. Remove the file, or mend what differs and "
        "write them again: pytest --graph-records=kept --graph-backends=off:eager test_net.py::test_net" in said
    )
    assert f"off-eager-cpu does not agree with the record, ref-eager-cpu@{label()}: loss at [1]: off-eager-cpu" in said
    kept.run(KEPT, "--graph-records-frozen", backends="ref", passed=2)

    kept.run(KEPT, "-k", "not agreement", backends="off", passed=1, deselected=1)
    kept.run(KEPT, "--graph-records-frozen", backends="off", passed=1, failed=1)

    kept.write(NET.replace("agree\n", "agree(rtol=1e-2)\n"))
    kept.run(KEPT, backends="off", passed=2)
    kept.run(KEPT, "--graph-records-frozen", backends="off", passed=2)


def test_values_that_agree_with_the_golden_ones_fail_beside_a_record_that_did_not(kept):
    kept.write(NET.replace("[2.0, 3.0]", "[2.0, 3.0 + SHIFT]") + "SHIFT = 0.0\n")
    kept.run(KEPT, backends="ref", passed=1, skipped=1)
    file = kept.path / "test_net.py"
    right = file.read_text()
    file.write_text(right.replace("SHIFT = 0.0", "SHIFT = 1.00"))  # of another size, or a .pyc of this second serves
    kept.run(KEPT, backends="third", passed=1, failed=1)
    file.write_text(right.replace("SHIFT = 0.0", "SHIFT = 0"))
    result = kept.run(KEPT, "--graph-records-frozen", backends="third", passed=1, failed=1)
    assert "third-eager-cpu does not agree" not in result.stdout.str()
    result.says(f"*third-eager-cpu@{label()}.npz: no golden values: *")
    next(one for one in records_of(kept) if one.name.startswith("third")).unlink()  # as the message says
    kept.run(KEPT, "--graph-records-frozen", backends="third", passed=2)


def test_without_other_golden_values_a_record_that_did_not_agree_says_how_to_renew_it(kept):
    kept.run(KEPT, backends="off", passed=1, failed=1)
    next(one for one in records_of(kept) if one.name.startswith("ref")).unlink()
    result = kept.run(KEPT, "--graph-records-frozen", backends="off", passed=1, failed=1)
    said = " ".join(result.stdout.str().split())
    assert "in one where they do, or remove the file first where they are right: pytest --graph-records=kept" in said


def test_of_variants_that_disagree_the_reference_stays_golden(project):
    project.write(NET)
    project.run(KEPT, backends="ref,third,off", passed=3, failed=1)
    for backend, agrees in [("ref", True), ("third", True), ("off", False)]:
        project.run(KEPT, "--graph-records-frozen", backends=backend, passed=1 + agrees, failed=1 - agrees)


def test_beside_a_stale_record_of_the_reference_the_verdict_on_the_other_stands(kept):
    kept.run(KEPT, backends="off", passed=1, failed=1)
    kept.write(NET + "    assert True\n")
    kept.run(KEPT, backends="off")  # compared with nothing, and of the same values
    assert [archive.read(file).disagreed_with for file in sorted(records_of(kept))] == [f"ref-eager-cpu@{label()}", ""]


def test_without_a_record_a_frozen_run_fails_with_the_command_that_makes_one(project):
    project.write(NET)
    result = project.run(KEPT, "--graph-records-frozen", backends="ref", passed=1, failed=1)
    result.says("there is no record of test_net.py::test_net in *kept to compare with, and --graph-*")
    assert "none: make one, pytest --graph-records=kept test_net.py::test_net" in result.stdout.str()
    result.omits("*Triage*")
    assert not (project.path / "kept").exists()


def test_with_stale_records_alone_a_frozen_run_fails_and_has_no_port_bless_itself(kept):
    kept.write(NET.replace("3.0", "1.0 + 2.0"))
    result = kept.run(KEPT, "--graph-records-frozen", backends="third", passed=1, failed=1)
    told = result.stdout.str()
    assert "the records of test_net.py::test_net in " in told
    assert "are all stale, and --graph-records-frozen writes none:" in told
    assert "renew it under numpy" in told
    assert "--graph-backends=ref:eager test_net.py::test_net" in told
    assert "keep what changes, such as the port, in a function outside of it" in told
    assert "make one" not in told
    assert told.count("stale and left out") == 1


def test_a_frozen_run_fails_a_test_that_records_nothing(project):
    project.write(NET.replace("graphmode.agree(loss=graphmode.tensor([2.0, 3.0]))", "graphmode.tensor(1.0)"))
    result = project.run(KEPT, "--graph-records-frozen", backends="ref", passed=1, failed=1)
    result.says("no variant recorded a value: *")


def test_a_frozen_run_in_which_no_variant_runs_skips(project):
    project.write(NET.replace("@pytest", "@pytest.mark.graph_skip('ref', reason='not here')\n@pytest", 1))
    project.run(KEPT, "--graph-records-frozen", backends="ref", skipped=2)
