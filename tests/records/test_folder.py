"""Which file is whose: names for every file system, nothing outside of the folder, and which record is meant."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_graphmode.records import archive
from pytest_graphmode.records.archive import RecordError
from pytest_graphmode.records.folder import Folder, nearest, stale
from pytest_graphmode.records.recording import Recording
from pytest_graphmode.records.replacing import UNFINISHED
from tests.records.conftest import origin, recorded

FILE = "tf-graph-cpu@tensorflow-2.21.0.npz"


def place(test: str, **given: str) -> str:
    return str(Folder(Path("kept")).file(origin(test=test, **given)).relative_to("kept"))


def test_plain_ids_are_mirrored() -> None:
    assert place("tests/test_net.py::test_net") == f"tests/test_net.py/test_net/{FILE}"
    assert place("test_net.py::test_net[3-x]") == f"test_net.py/test_net[3-x]/{FILE}"
    gpu = place("test_net.py::test_net", variant="torch-eager-gpu:0", label="torch-2.13.0+cu126")
    assert gpu == "test_net.py/test_net/torch-eager-gpu.0@torch-2.13.0+cu126.npz"


HOSTILE = [
    "../../etc/test_net.py::test_net",
    "/etc/test_net.py::test_net",
    "test_net.py::test_net[../../../x]",
    "test_net.py::test_net[a::b/c]",
    "test_net.py::test_net[C:\\x]",
    "test_net.py::test_net[\0\n\ud800 ä]",
    "test_net.py::..",
    "test_net.py::",
    "::",
    "",
    ".",
    "con.py::nul[aux]",
    "COM1::lpt1.txt",
    "test_net.py::ends.",
    "test_net.py::ends ",
    "test_net.py::" + "x" * 300,
    "/".join(["deep"] * 300) + "/test_net.py::test_net",
    "test_net.py::test_net[" + "é" * 300 + "]",
]

LABELS = ("usual", "../../x", "a/b", "\0", "x" * 300, "con")


@pytest.mark.parametrize("test", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_ids_stay_inside_in_names_that_every_file_system_takes(tmp_path: Path, test: str) -> None:
    folder = Folder(tmp_path / "kept")
    for label in LABELS:
        made = origin(test=test, label=label)
        folder.write(made, recorded(x=1.0))
        assert folder.file(made).resolve().is_relative_to(folder.root)
    assert [kept.name for kept in tmp_path.iterdir()] == ["kept"]
    assert {record.origin.label for record in folder.records(test)} == set(LABELS)
    for file in folder.all():
        parts = file.relative_to(folder.root).parts
        assert sum(map(len, parts)) < 250
        for part in parts:
            assert part.isascii()
            assert part.isprintable()
            assert not set(part) & set('<>:"|?*\\/ ')
            assert len(part) < 200
            assert part[-1] not in ". "
            assert part.split(".")[0].lower() not in ("con", "nul", "aux", "com1", "lpt1")


def test_no_two_ids_have_one_name_where_upper_case_counts_for_nothing() -> None:
    ids = ["test_a.py::test_x", "test_a.py::test_X", "test_A.py::test_x", "test_a.py::Test::x", "test_a.py::test::x"]
    ids += ["test_a.py::test_x[a/b]", "test_a.py::test_x[a_b]", "test_a.py::test_x[A_b]", *HOSTILE]
    places = {place(test).lower() for test in ids}
    assert len(places) == len(ids)
    labels = ["mine", "Mine", "mine ", "m@ine", "m_ine"]
    assert len({place("a.py::b", label=label).lower() for label in labels}) == len(labels)


def test_a_record_in_another_tests_place_is_refused_and_left(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    mine, other = origin(), origin(test="test_other.py::test_other")
    folder.write(other, recorded(x=1.0))
    folder.file(mine).parent.mkdir(parents=True)
    folder.file(other).replace(folder.file(mine))
    for refused in (lambda: folder.records(mine.test), lambda: folder.write(mine, recorded(x=2.0))):
        with pytest.raises(
            RecordError, match=r"a record of another test, test_other\.py::test_other|another test: move"
        ):
            refused()
    assert archive.read(folder.file(mine)).origin == other


def test_a_damaged_record_is_not_overwritten(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(origin(), recorded(x=1.0))
    folder.file(origin()).write_bytes(b"")
    with pytest.raises(RecordError, match="the record is damaged"):
        folder.write(origin(), recorded(x=1.0))
    assert folder.file(origin()).read_bytes() == b""


def write_often(root: str, value: float) -> None:
    for _ in range(100):
        Folder(Path(root)).write(origin(), recorded(x=np.full(2000, value)))


@pytest.mark.slow
def test_two_that_write_at_once_both_succeed_and_a_reader_sees_one_of_them(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(str(tmp_path), value)) for value in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        for record in Folder(tmp_path).records(origin().test):
            (step,) = record.recording().values["x"]
            assert float(step["x"].min()) == float(step["x"].max())
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [FILE]


KILLED = """
import sys, numpy as np
from pathlib import Path
from pytest_graphmode.records import encoding
from pytest_graphmode.records.folder import Folder
from tests.records.conftest import origin, recorded

def chunks(stack):
    yield b"0" * 1000
    print("writing", flush=True)
    sys.stdin.read()

encoding.Stack.chunks = chunks
Folder(Path(sys.argv[1])).write(origin(), recorded(x=np.full(2000, 2.0)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_while_it_writes_leaves_the_old_record(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(origin(), recorded(x=np.full(2000, 1.0)))
    before = folder.file(origin()).read_bytes()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert run.stdout is not None
    assert run.stdout.readline() == b"writing\n"
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)
    assert folder.file(origin()).read_bytes() == before
    assert [record.origin for record in folder.records(origin().test)] == [origin()]
    assert len(folder.all(UNFINISHED)) == 1  # which no one takes for a record, and `prune` removes


# Which record is meant.


@pytest.fixture
def records(tmp_path: Path) -> dict[str, archive.Record]:
    folder = Folder(tmp_path)
    others = [
        ("torch", "eager", "ci"),
        ("torch", "compile", "ci"),
        ("tf", "graph", "golden"),
        ("torch", "eager", "gpu"),
    ]
    for backend, mode, label in others:
        variant = f"{backend}-{mode}-cpu"
        folder.write(origin(backend=backend, mode=mode, variant=variant, label=label), recorded(x=1.0))
    wide = origin(backend="torch", variant="torch-eager-cpu-float64", dtype="float64", label="ci")
    folder.write(wide, recorded(x=1.0))
    return {record.origin.name: record for record in folder.records(origin().test)}


@pytest.mark.parametrize(
    ("variant", "label", "expected"),
    [
        ("torch-eager-cpu", "gpu", "torch-eager-cpu@gpu"),
        ("torch-compile-cpu", "gpu", "torch-eager-cpu@gpu"),
        ("torch-compile-cpu", "mine", "torch-compile-cpu@ci"),
        ("tf-eager-cpu", "mine", "tf-graph-cpu@golden"),
        ("jax-jit-cpu", "golden", "tf-graph-cpu@golden"),
        ("jax-jit-cpu", "mine", "tf-graph-cpu@golden"),
        ("jax-jit-cpu-float64", "mine", "torch-eager-cpu-float64@ci"),
    ],
)
def test_the_nearest_has_the_label_then_the_variant_then_the_backend(
    records: dict[str, archive.Record], variant: str, label: str, expected: str
) -> None:
    backend, _, _, *dtype = variant.split("-")
    now = origin(variant=variant, backend=backend, label=label, dtype=next(iter(dtype), "float32"))
    assert nearest(list(records.values()), now).origin.name == expected


def test_a_record_is_stale_by_source_seed_or_names(tmp_path: Path) -> None:
    Folder(tmp_path).write(origin(), recorded(b=1.0, a=1.0))
    (record,) = Folder(tmp_path).records(origin().test)
    assert stale(record, origin(label="other", python="3.14"), ["a", "b"]) is None
    assert stale(record, origin(source="1" * 64), ["a", "b"]) == "made by another version of the test's source"
    assert stale(record, origin(source=None), ["a", "b"]) == "made by another version of the test's source"
    assert stale(record, origin(seed=1), ["a", "b"]) == "made with seed 0, not 1"
    assert stale(record, origin(), ["a"]) == "it holds a, b, and the test records a"


def test_taps_alone_are_compared_without_gradients_which_not_every_mode_has(tmp_path: Path) -> None:
    taps = {name: [{name: 1.0}] for name in ("h", "grad(h)")}
    for recording, names in ((Recording({}, taps), ["h"]), (Recording({"loss": [{"loss": 1.0}]}, taps), ["loss"])):
        Folder(tmp_path).write(origin(), recording)
        (record,) = Folder(tmp_path).records(origin().test)
        assert record.names == recording.names == names


def test_the_description_is_strict_json(tmp_path: Path) -> None:
    Folder(tmp_path).write(origin(), recorded(x=np.array([np.nan, np.inf]), y=float("nan")))

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    (file,) = Folder(tmp_path).all()
    json.loads(np.load(file)["record.json"], parse_constant=refuse)
