"""The file of a record: what goes in comes out, equal values give equal bytes, and what is damaged is told."""

import io
import json
import random
import sys
import zipfile

import numpy as np
import pytest

from pytest_graphmode.records import archive
from pytest_graphmode.records.archive import RecordError
from pytest_graphmode.records.recording import Recording
from tests.records.conftest import origin, recorded

ARRAYS = {
    "float32": np.array([[1.5, np.nan], [-0.0, np.inf]], np.float32),
    "0-d": np.array(2.5),
    "empty": np.empty((0, 3), np.int32),
    "complex": np.array([1 + 2j], np.complex64),
    "bool": np.array([True, False]),
    "column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10)[::3],
    "text": np.array(["a", "bcd"]),
    "no text": np.array(["", ""]),
    "bytes": np.array([b"a", b"bcd"]),
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "fields": np.array([(1, 2.0)], [("n", "i4"), ("x", "f8")]),
    "big-endian": np.array([1.0, 2.0], ">f4"),
}


def kept(tmp_path, recording):
    """A recording once it has been written and read."""
    file = tmp_path / "kept.npz"
    archive.write(file, origin(), recording)
    return archive.read(file).recording()


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_as_they_were(tmp_path, name):
    array = ARRAYS[name]
    (step,) = kept(tmp_path, recorded(x=array)).values["x"]
    assert (step["x"].dtype, step["x"].shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(step["x"], array)


@pytest.mark.parametrize("value", [True, 3, -(10**400), 0.1, float("-inf"), 2 - 0.5j, "text\ud800\0", b"\0\xff", None])
def test_python_values_come_back_as_they_were(tmp_path, value):
    (step,) = kept(tmp_path, recorded(x=value)).values["x"]
    assert step["x"] == value
    assert type(step["x"]) is type(value)


def test_nan_comes_back(tmp_path):
    (step,) = kept(tmp_path, recorded(x=float("nan"))).values["x"]
    assert step["x"] != step["x"]


def test_values_and_taps_keep_their_order_steps_and_paths(tmp_path):
    steps = [{"w['a']": np.float32(0.5), "w['b']": 1}, {"w['a']": np.float32(1.5), "w['b']": 2}, {"w": "other"}]
    recording = Recording({"w": steps, "nothing": [{}, {}], "a": [{"a": None}]}, {"h": [{"h": np.ones(2)}]})
    found = kept(tmp_path, recording)
    assert list(found.values) == ["w", "nothing", "a"]
    assert found.values["w"] == steps
    assert found.values["nothing"] == [{}, {}]
    np.testing.assert_array_equal(found.taps["h"][0]["h"], [1.0, 1.0])


def test_bfloat16_is_kept_as_integers_with_its_name(tmp_path, monkeypatch):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    value = np.array([1.0, -2.5], ml_dtypes.bfloat16)
    (step,) = kept(tmp_path, recorded(x=value)).values["x"]
    assert step["x"].dtype == value.dtype
    np.testing.assert_array_equal(step["x"], value)
    assert np.load(tmp_path / "kept.npz")["0000_x"].dtype == np.uint16
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)  # where it is not installed, they are float32's
    (step,) = archive.read(tmp_path / "kept.npz").recording().values["x"]
    assert step["x"].dtype == np.float32
    np.testing.assert_array_equal(step["x"], [1.0, -2.5])


def test_a_dtype_that_takes_a_package_says_so_where_it_is_missing(tmp_path, monkeypatch):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    value = np.array([1.0, -2.5], ml_dtypes.float8_e4m3fn)
    assert kept(tmp_path, recorded(x=value)).values["x"][0]["x"].dtype == value.dtype
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(RecordError, match=r"kept\.npz: .* float8_e4m3fn values, .*: pip install ml_dtypes$"):
        archive.read(tmp_path / "kept.npz").recording()


def test_what_only_pickle_could_keep_is_refused(tmp_path):
    fields = np.array([(1, "a")], [("n", "i4"), ("x", "O")])
    with pytest.raises(RecordError, match=r"x is an array of .*, which can't be kept in a record"):
        archive.write(tmp_path / "a.npz", origin(), recorded(x=fields))
    assert list(tmp_path.iterdir()) == []


def test_the_description_says_what_people_ask_for(file):
    description = json.loads(zipfile.ZipFile(file).read("record.json"))
    assert description["schema"] == archive.SCHEMA
    told = ("test", "variant", "label", "framework", "python", "platform", "device", "dtype", "seed", "source")
    assert {name: description[name] for name in told} == {name: getattr(origin(), name) for name in told}
    (run,) = description["values"][1]["runs"]
    (leaf,) = run["leaves"]
    assert (run["steps"], leaf["path"], leaf["dtype"], leaf["shape"]) == (2, "w['a']", "float32", [2, 3])
    assert (leaf["mean"], leaf["rms"]) == (3.0, 3.48807)
    assert len(leaf["sha256"]) == 64


def test_numpy_reads_the_arrays_without_the_plugin(file):
    with np.load(file, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["0000_w_a"][1], np.arange(6).reshape(2, 3) + 1)


def test_equal_values_give_equal_bytes_whatever_the_time_and_the_memory_layout(file):
    before = file.read_bytes()
    assert all(member.date_time == (1980, 1, 1, 0, 0, 0) for member in zipfile.ZipFile(file).infolist())
    steps = [{"w['a']": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3) + step)} for step in range(2)]
    archive.write(file, origin(), Recording({"loss": [{"loss": 0.5}], "w": steps}))
    assert file.read_bytes() == before
    steps[1]["w['a']"][0, 0] += 1
    archive.write(file, origin(), Recording({"loss": [{"loss": 0.5}], "w": steps}))
    assert file.read_bytes() != before


# Damage.


def refused(file, message):
    """The record can't be read, neither looked through nor loaded, and the message begins with its name."""
    with pytest.raises(RecordError, match=message) as raised:
        archive.read(file)
    assert str(raised.value).startswith(f"{file}: ")


def test_every_truncation_is_noticed(file):
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        refused(file, "the record is damaged")


def test_every_flipped_bit_is_noticed(file):
    whole, draw = file.read_bytes(), random.Random(0)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        refused(file, "the record")
    file.write_bytes(whole)
    archive.read(file)


def test_what_was_added_is_noticed(file):
    for damaged in (b"\0" + file.read_bytes(), file.read_bytes() + b"\0"):
        (file.parent / "a.npz").write_bytes(damaged)
        refused(file.parent / "a.npz", "the record is damaged")


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY", b"PK\x05\x06" + b"\0" * 18])
def test_files_of_others_are_told(file, content):
    file.write_bytes(content)
    refused(file, "the record is damaged, or is none of this plugin's")


def test_an_npz_of_numpys_is_told(file):
    np.savez(file, x=np.ones(2))
    refused(file, r"is none of this plugin's: it has no .*record\.json")


def test_what_is_no_file_is_told(tmp_path):
    folder = tmp_path / "a.npz"
    folder.mkdir()
    refused(folder, "it is no file")
    refused(tmp_path / "b.npz", "the record can't be read: No such file or directory")


def forged(file, *, members=None, compression=zipfile.ZIP_STORED, **changes):
    """Write a record again with other members or another description, and with the right hash at its end."""
    with zipfile.ZipFile(file) as found:
        contents = {name: found.read(name) for name in found.namelist()}
    description = {**json.loads(contents["record.json"]), **changes}
    contents = {**contents, "record.json": json.dumps(description).encode(), **(members or {})}
    with file.open("w+b") as whole:
        with zipfile.ZipFile(whole, "w", compression) as made:
            made.comment = b"sha256:" + b"0" * 64
            for name, content in contents.items():
                made.writestr(name, content)
        archive._seal(whole)


def npy(array, **kwargs):
    content = io.BytesIO()
    np.lib.format.write_array(content, array, **kwargs)
    return content.getvalue()


def test_forging_changes_nothing_by_itself(file):
    forged(file)
    assert archive.read(file).recording().values["loss"] == [{"loss": 0.5}]


def test_a_pickled_array_is_never_loaded(file):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    forged(file, members={"0000_w_a.npy": npy(np.array([Trap()], object), allow_pickle=True)})
    refused(file, r"0000_w_a\.npy holds pickled objects, which are never loaded")


def one_run(steps, *leaves):
    """What a description says of a value x."""
    return {"values": [{"name": "x", "runs": [{"steps": steps, "leaves": list(leaves)}]}]}


def test_a_newer_schema_asks_for_an_upgrade(file):
    forged(file, schema=archive.SCHEMA + 1)
    refused(file, "its schema version is 2, and this version of the plugin reads 1: upgrade it")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "1"}, "its schema version is '1'"),
        ({"schema": 0}, "its schema version is 0"),
        ({"seed": "0"}, "its seed is '0'"),
        ({"test": None}, "its test is None"),
        ({"values": 3}, "is damaged"),
        (one_run(10**12), "10+ steps that it does not have"),
        (one_run(2, {"path": "x", "type": "int", "values": [1]}), "2"),
        (one_run(1, {"path": "x", "type": "set", "values": [1]}), "it has no 'set'"),
    ],
)
def test_a_description_that_is_none_is_told(file, changes, message):
    forged(file, **changes)
    with pytest.raises(RecordError, match=message):
        archive.read(file).recording()


def with_shape(steps, shape, dtype="float32"):
    return one_run(steps, {"path": "x", "dtype": dtype, "shape": shape, "member": "0000_x.npy"})


@pytest.mark.parametrize(("steps", "shape"), [(1, [10**12]), (10**12, [1]), (10**12, [0]), (1, [-1]), (2**62, [2**62])])
def test_sizes_that_lie_are_refused_before_memory_is_taken(file, steps, shape):
    header = {"descr": "<f4", "fortran_order": False, "shape": (steps, *shape)}
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, header)
    forged(file, members={"0000_x.npy": content.getvalue()}, **with_shape(steps, shape))
    refused(file, r"0000_x\.npy (claims|has) shape")


def test_a_shape_that_is_not_the_files_is_told(file):
    forged(file, members={"0000_x.npy": npy(np.ones((1, 3), np.float32))}, **with_shape(1, [4]))
    refused(file, r"0000_x\.npy has shape \(1, 3\), where record\.json says \(1, 4\)")


def test_a_dtype_that_is_not_the_files_is_told(file):
    forged(file, members={"0000_x.npy": npy(np.ones((1, 3)))}, **with_shape(1, [3], "bfloat16"))
    with pytest.raises(RecordError, match="its bfloat16 values are kept as float64"):
        archive.read(file).recording()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(file):
    forged(file, members={"0000_w_a.npy": b"\0" * 10_000_000}, compression=zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 100_000
    refused(file, "its members are compressed")


def test_members_that_claim_more_than_the_file_has_are_refused(file):
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as found:
        member = found.infolist()[1]
    place = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)  # its entry in the directory at the end
    content[place + 20 : place + 28] = (2**31).to_bytes(4, "little") * 2
    assert member.file_size < 2**31
    file.write_bytes(content)
    refused(file, "its members claim more bytes than the")


def test_a_run_killed_in_the_middle_leaves_the_old_record(file, monkeypatch):
    before = file.read_bytes()

    def killed(stack):
        yield b""
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_graphmode.records.encoding.Stack.chunks", killed)
    with pytest.raises(KeyboardInterrupt):
        archive.write(file, origin(), recorded(x=np.ones(3)))
    assert [found.name for found in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before


ANYTHING = (None, True, -1, 0, 10**30, 1.5, "x", "nan", "", [], {}, [1], {"a": 1}, [[[]]])


def changed(tree, draw):
    """A tree of JSON in which one entry is another value, or missing."""
    entries = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            entries.append((node, key))
            walk(node[key])

    walk(tree)
    node, key = draw.choice(entries)
    if draw.random() < 0.2:
        del node[key]
    else:
        node[key] = draw.choice(ANYTHING)
    return tree


def test_nothing_that_a_file_says_of_itself_ends_in_a_traceback(file):
    whole, draw, refusals = file.read_bytes(), random.Random(0), 0
    for number in range(300):
        file.write_bytes(whole)
        with zipfile.ZipFile(file) as found:
            contents = {name: bytearray(found.read(name)) for name in found.namelist()}
        if number % 3:
            contents["record.json"] = json.dumps(changed(json.loads(contents["record.json"]), draw)).encode()
        else:
            header = contents["0000_w_a.npy"]
            header[draw.randrange(128)] = draw.randrange(256)
        forged(file, members=contents)
        try:
            record = archive.read(file)
            record.recording()
            assert all(isinstance(name, str) for name in record.names)
        except RecordError:
            refusals += 1
    assert 150 < refusals < 300
