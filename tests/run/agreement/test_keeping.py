"""Records between runs: one run's variants beside those of another, which has other backends, another label or time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_graphmode.records import archive
from tests.run.agreement.kept import KEPT, NET, files, label, records_of


def test_a_variant_that_passed_is_kept_and_compared_with_in_another_run(kept):
    assert files(kept) == [f"test_net.py/test_net/ref-eager-cpu@{label()}.npz"]
    kept.run(KEPT, backends="third", passed=2)
    assert files(kept) == [f"test_net.py/test_net/{name}-eager-cpu@{label()}.npz" for name in ("ref", "third")]
    record = archive.read(next(records_of(kept)))
    assert record.origin.test == "test_net.py::test_net"
    np.testing.assert_array_equal(record.recording().values["loss"][0]["loss"], [2.0, 3.0])


def test_a_record_that_does_not_agree_fails_the_item_by_the_records_name(kept):
    result = kept.run(KEPT, backends="off", passed=1, failed=1)
    result.says(
        f"ref-eager-cpu@{label()} does not agree with the reference, off-eager-cpu:",
        f"  loss at [[]1[]]: ref-eager-cpu@{label()} 3.0, off-eager-cpu 3.003*: they differ by 0.003*",
        "The reference is the first variant of this run; for the records of ref to be it: "
        '@pytest.mark.graph_agree(reference="ref"), or --graph-records-frozen.',
    )


def test_taps_are_kept_and_say_where_a_record_and_a_variant_part(project):
    text = NET.replace("graphmode.agree(loss=", "graphmode.tap('h', ")
    project.write(text)
    project.run(KEPT, backends="ref", passed=1, skipped=1)
    project.run(KEPT, backends="third", passed=2)
    result = project.run(KEPT, "--graph-records-frozen", backends="off", passed=1, failed=1)
    told = result.stdout.str()
    assert f"off-eager-cpu does not agree with the record, ref-eager-cpu@{label()}:" in told
    assert "`h` is the first tap that differs" in told


def test_the_reference_may_be_a_record(kept):
    kept.write(NET.replace("agree\n", "agree(reference='ref')\n"))  # a mark makes no record stale
    result = kept.run(KEPT, backends="off,third", passed=2, failed=1)
    result.says(f"off-eager-cpu does not agree with the reference, ref-eager-cpu@{label()}:")
    assert "third-eager-cpu does not" not in result.stdout.str()
    assert "The reference is the first variant" not in result.stdout.str()


def test_without_another_record_one_variant_alone_skips(kept):
    result = kept.run(KEPT, backends="ref")
    told = "*fewer than two variants ran (ref-eager-cpu) and there is no record of another*: run the test in another *"
    result.says(told)


def test_labels_keep_environments_apart(kept):
    kept.run(KEPT, "--graph-label=other", backends="ref", passed=2)
    assert files(kept) == [f"test_net.py/test_net/ref-eager-cpu@{name}.npz" for name in (label(), "other")]


def test_equal_values_leave_the_same_bytes(kept):
    (file,) = records_of(kept)
    before = file.read_bytes()
    kept.run(KEPT, backends="ref")
    assert file.read_bytes() == before


def test_a_variant_that_fails_keeps_its_old_record(kept):
    (file,) = records_of(kept)
    before = file.read_bytes()
    kept.write(NET + "    assert False\n")
    kept.run(KEPT, backends="ref")
    assert file.read_bytes() == before


def test_one_that_fails_when_it_is_torn_down_has_not_passed(project):
    project.write("""
        @pytest.fixture
        def failing():
            yield
            assert False

        @agree
        def test_net(graphmode, failing):
            graphmode.agree(loss=1.0)
    """)
    project.run(KEPT, backends="ref")
    assert files(project) == []


def test_a_variant_alone_is_kept_too(project):
    project.write(NET)
    project.run(KEPT, "-k", "ref", passed=1, deselected=2)
    assert files(project) == [f"test_net.py/test_net/ref-eager-cpu@{label()}.npz"]


def test_the_ini_file_names_the_folder_from_where_it_stands(project):
    project.makeini("[pytest]\ngraph_records = golden\ngraph_label = mine\n")
    project.mkdir("below")
    project.write(NET)
    os.chdir(project.path / "below")
    project.run("..", backends="ref", passed=1, skipped=1)
    assert files(project, "golden") == ["test_net.py/test_net/ref-eager-cpu@mine.npz"]


# Stale records.


@pytest.mark.parametrize(
    ("text", "arguments", "reason"),
    [
        (NET.replace("3.0", "1.0 + 2.0"), [], "made by another version of the test's source"),
        (NET, ["--graph-seed=1"], "made with seed 0, not 1"),
    ],
    ids=["source", "seed"],
)
def test_a_stale_record_is_left_out_and_the_command_that_renews_it_is_named(kept, text, arguments, reason):
    kept.write(text)
    result = kept.run(KEPT, *arguments, backends="third", passed=1, skipped=1)
    version = label().replace("-", " ")
    seed = "--graph-seed=1 " if arguments else ""
    expected = (
        f"*ref-eager-cpu@{label()}.npz: stale and left out: {reason}; renew it under {version}: "
        f"pytest --graph-records=kept --graph-backends=ref:eager {seed}test_net.py::test_net"
    )
    result.says("*= graphmode records left out =*", expected)
    assert result.stdout.str().count("stale and left out: ") == 1
    assert ("keep what changes, such as the port, in a function outside" in result.stdout.str()) is not bool(arguments)


def test_stale_records_are_told_once_in_a_run_with_what_to_do_after_the_last(project):
    project.write(NET + NET.replace("test_net", "test_other"))
    project.run(KEPT, backends="ref", passed=2, skipped=2)
    project.write((NET + NET.replace("test_net", "test_other")).replace("3.0", "1.0 + 2.0"))
    for backends, more in (("third", []), ("third,off", []), ("third,off", ["--tb=no"])):
        lines = project.run(KEPT, *more, backends=backends).outlines
        told = [line for line in lines if "stale and left out: " in line or line.startswith("The test's source is its")]
        assert sum("stale and left out: " in line for line in told) == 2
        assert told[-1].startswith("The test's source is its")
        assert len(told) == (4 if backends == "third,off" and not more else 3)  # each failure says it for itself


def test_a_record_of_other_names_is_stale(project):
    text = """
    @agree
    def test_net(graphmode):
        graphmode.agree(**{"loss" if graphmode.backend == "ref" else "error": 1.0})
    """
    project.check(text, KEPT, backends="ref")
    result = project.run(KEPT, backends="third", passed=1, skipped=1)
    result.says("*stale and left out: it holds loss, and the test records error; renew it*")


def test_moving_commenting_and_marking_a_test_makes_nothing_stale(kept):
    moved = NET.replace("):\n", "):\n\n    # the loss\n").replace("agree\n", "agree(\n    rtol=1e-2\n)\n", 1)
    kept.write("def test_before():\n    pass\n\n" + moved)
    kept.run(KEPT, "-k", "agreement", backends="off", passed=1)


# Damage.


@pytest.mark.parametrize("frozen", [[], ["--graph-records-frozen"]])
def test_a_damaged_record_fails_the_item_by_its_name_and_is_left_as_it_is(kept, frozen):
    (file,) = records_of(kept)
    file.write_bytes(file.read_bytes()[:-1])
    before = file.read_bytes()
    for backends in ("third", "ref"):
        kept.run(KEPT, *frozen, backends=backends, passed=1, failed=1).says(f"{file}: the record is damaged*")
        assert file.read_bytes() == before


def test_a_variant_alone_fails_where_its_record_is_damaged(kept):
    (file,) = records_of(kept)
    file.write_bytes(b"")
    kept.run(KEPT, "-k", "ref", backends="ref,third", passed=1, errors=1).says(f"{file}: the record is damaged*")


def test_the_record_of_another_test_is_told(kept):
    kept.write(NET.replace("test_net", "test_other"))
    kept.run(KEPT, backends="third")
    (kept.path / "kept/test_net.py").rename(kept.path / "kept/moved")
    shutil.copytree(kept.path / "kept/moved/test_net", kept.path / "kept/test_net.py/test_other")
    kept.run(KEPT, backends="third").says("*it is a record of another test, test_net.py::test_net: move it away")


def test_a_file_in_place_of_a_folder_inside_fails_with_the_reason(project):
    project.write(NET)
    project.mkdir("kept").joinpath("test_net.py").write_text("")
    result = project.run(KEPT, "--ignore=kept", backends="ref", passed=1, failed=1)
    result.says("*ref-eager-cpu@*.npz: the record can't be written: *test_net.py is no folder")


def test_a_link_that_leads_out_of_the_folder_is_not_followed(project):
    project.write(NET)
    outside = project.mkdir("outside")
    project.mkdir("kept").joinpath("test_net.py").symlink_to(outside)
    project.run(KEPT, backends="ref").says("*it would be outside of *kept, by a link: remove that")
    assert list(outside.iterdir()) == []


@pytest.fixture
def small(project):
    """A file system of 64 kB in the folder's place."""
    folder = project.mkdir("kept")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_folder_fails_with_the_reason_and_leaves_nothing_half_written(project, small):
    project.write(NET.replace("[2.0, 3.0]", "np.ones(100_000)"))
    result = project.run(KEPT, backends="ref", passed=1, failed=1)
    result.says(f"{small}*ref-eager-cpu@*.npz: the record can't be written: No space left on device")
    assert [file for file in small.rglob("*") if file.is_file()] == []


def test_a_read_only_folder_fails_with_the_reason(project, small):
    project.write(NET)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    result = project.run(KEPT, backends="ref", passed=1, failed=1)
    result.says(f"{small}*: the record can't be written: Read-only file system")


def test_what_the_system_refuses_is_the_reason(project, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    result = project.check(NET, KEPT, backends="ref", passed=1, failed=1)
    result.says("*ref-eager-cpu@*.npz: the record can't be written: Permission denied")
    assert [file.name for file in (project.path / "kept").rglob("*") if file.is_file()] == []


# Several processes.


@pytest.mark.slow
def test_each_worker_of_xdist_keeps_what_it_ran(project):
    pytest.importorskip("xdist")
    project.write(NET)
    result = project.run(KEPT, "-n2", backends="ref,third,off", apart=True, passed=3, failed=1)
    assert len(files(project)) == 3
    result = project.run(KEPT, "-n2", "--graph-label=other", backends="ref", apart=True)
    result.says(f"off-eager-cpu@{label()} does not agree with the reference, ref-eager-cpu:")


@pytest.mark.slow
def test_workers_tell_of_stale_records_too(kept):
    pytest.importorskip("xdist")
    result = kept.run(KEPT, "-n1", "--graph-seed=1", backends="third", apart=True)
    result.says("*= graphmode records left out =*", "*made with seed 0, not 1; renew it under *")
