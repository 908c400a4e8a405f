"""The file of a record: a zip of `.npy` members and a `record.json`, which NumPy's own `np.load` reads too.

Equal values give equal bytes: nothing is compressed, and members have no dates and one order. A file is not trusted:
nothing is unpickled, no more memory is taken than the file has bytes, and its last bytes are the hash of all others, so
that a single bit that changed is noticed. Called by `folder.py`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from pytest_graphmode.records import encoding
from pytest_graphmode.records.encoding import Array, Stack
from pytest_graphmode.records.origin import Origin
from pytest_graphmode.records.recording import Recording, compared_names
from pytest_graphmode.records.replacing import replacing

SCHEMA: Final = 1
_DESCRIPTION: Final = "record.json"
_CHUNK: Final = 1 << 20
_SEAL: Final = b"sha256:"
_DIGITS: Final = 64


class RecordError(Exception):
    """A record, or the folder of one, that can't be read or written; the message begins with its name."""


@dataclass(frozen=True)
class Record:
    """A file that has been looked through, without its values."""

    file: Path
    origin: Origin
    size: int
    description: dict[str, Any]

    @property
    def names(self) -> list[str]:
        values, taps = ([entry["name"] for entry in self.description[kind]] for kind in ("values", "taps"))
        return compared_names(values, taps)

    @property
    def disagreed_with(self) -> str:
        """What it did not agree with in the run that wrote it; "" where it did, or was not compared."""
        return str(self.description.get("disagreed_with", ""))

    def recording(self) -> Recording:
        with _opened(self.file) as archive:

            def read(steps: int, leaf: dict[str, Any]) -> Array:
                return _array(archive, steps, leaf)

            description = _description(archive)
            values, taps = (encoding.decode(description[kind], read) for kind in ("values", "taps"))
            return Recording(values, taps, left_out=dict(description.get("left_out", {})))


# Writing.


def write(
    file: Path, origin: Origin, recording: Recording, disagreed_with: str = "", before: Record | None = None
) -> None:
    """Write a record at once or not at all, over one that is there; or raise a RecordError.

    `disagreed_with` says what it does not agree with, or `before` does, a record, if its values are the same.
    """
    stacks: list[Stack] = []
    try:
        series = {kind: encoding.encode(getattr(recording, kind), stacks) for kind in ("values", "taps")}
        if before is not None and json.loads(json.dumps(series)) == {kind: before.description[kind] for kind in series}:
            disagreed_with = before.disagreed_with
        told = {"left_out": recording.left_out, "disagreed_with": disagreed_with}
        told = {name: one for name, one in told.items() if one}  # else records of before would have other bytes
        text = json.dumps({"schema": SCHEMA, **asdict(origin), **series, **told}, allow_nan=False)
        with replacing(file) as whole:
            with zipfile.ZipFile(whole, "w") as archive:
                archive.comment = _SEAL + b"0" * _DIGITS
                archive.writestr(_member(_DESCRIPTION), text)
                for stack in stacks:
                    _write_stack(archive, stack)
            _seal(whole)
    except (OSError, TypeError, ValueError) as error:
        raise RecordError(f"{file}: the record can't be written: {_reason(error)}") from error


def _member(name: str) -> zipfile.ZipInfo:
    """As it would be on every system, at the first date that zip knows."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    return info


def _write_stack(archive: zipfile.ZipFile, stack: Stack) -> None:
    info = _member(stack.member)
    info.file_size = stack.size  # by which zipfile decides whether it takes 64-bit sizes
    with archive.open(info, "w") as member:
        descr = np.lib.format.dtype_to_descr(stack.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": stack.shape}
        np.lib.format.write_array_header_1_0(member, header)
        for chunk in stack.chunks():
            member.write(chunk)


def _seal(whole: IO[bytes]) -> None:
    size = whole.seek(0, os.SEEK_END)
    digest = _digest(whole, size - _DIGITS)
    whole.seek(size - _DIGITS)
    whole.write(digest.encode())


def _digest(whole: IO[bytes], size: int) -> str:
    digest = hashlib.sha256()
    whole.seek(0)
    for chunk in _chunks(whole, size):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        yield chunk
        size -= len(chunk)


# Reading.


def read(file: Path) -> Record:
    """Look through a record: all of it is there, as it was written; or raise a RecordError."""
    with _opened(file) as archive:
        description = _description(archive)
        for kind in ("values", "taps"):
            for steps, leaf in encoding.leaves(description[kind]):
                with archive.open(leaf["member"]) as member:
                    _header(archive, member, steps, leaf)
        whole = archive.fp
        assert whole is not None
        size = whole.seek(0, os.SEEK_END)
        if archive.comment != _SEAL + _digest(whole, size - _DIGITS).encode():
            raise ValueError("its bytes are not those that were written")
        origin = Origin(**{field.name: description[field.name] for field in fields(Origin)})
        return Record(file, origin, size, description)


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ValueError("it is no file")
        with file.open("rb") as whole, zipfile.ZipFile(whole) as archive:
            _check_sizes(archive, os.fstat(whole.fileno()).st_size)
            yield archive
    except (OSError, ImportError) as error:
        raise RecordError(f"{file}: the record can't be read: {_reason(error)}") from error
    except Exception as error:  # zipfile, json, tokenize and NumPy have many for what they can't read
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise RecordError(f"{file}: the record is damaged, or is none of this plugin's: {reason}") from error


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def _check_sizes(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its members are compressed, which those of records are not")
    if any(member.file_size != member.compress_size for member in members):
        raise ValueError("the sizes of its members contradict each other")
    if sum(member.file_size for member in members) > size:
        raise ValueError(f"its members claim more bytes than the {size} that it has")


def _description(archive: zipfile.ZipFile) -> dict[str, Any]:
    description = json.loads(archive.read(_DESCRIPTION))
    schema = description["schema"]
    if not isinstance(schema, int) or schema < 1:
        raise ValueError(f"its schema version is {schema!r}")
    if schema > SCHEMA:
        raise ValueError(f"its schema version is {schema}, and this version of the plugin reads {SCHEMA}: upgrade it")
    kinds = {field.name: (int,) if field.name == "seed" else (str,) for field in fields(Origin)}
    kinds["source"] = (str, type(None))  # type: ignore[assignment]
    for name, allowed in kinds.items():
        if not isinstance(description[name], allowed):
            raise ValueError(f"its {name} is {description[name]!r}")
    return dict(description)


def _header(archive: zipfile.ZipFile, member: IO[bytes], steps: int, leaf: dict[str, Any]) -> np.dtype[Any]:
    """Read up to the data of a member, whose size must be what dtype and shape make it."""
    name, shape = leaf["member"], (steps, *leaf["shape"])
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError(f"{name} has an unknown version of the .npy format")
    found, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects, which are never loaded")
    if fortran or found != shape or not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"{name} has shape {found}, where {_DESCRIPTION} says {shape}")
    size = archive.getinfo(name).file_size - member.tell()
    if math.prod(shape) * dtype.itemsize != size or (steps != 1 and not size):
        raise ValueError(f"{name} claims shape {shape} of {dtype}, and has {size} bytes")
    return dtype


def _array(archive: zipfile.ZipFile, steps: int, leaf: dict[str, Any]) -> Array:
    with archive.open(leaf["member"]) as member:
        dtype = _header(archive, member, steps, leaf)
        array: Array = np.empty((steps, *leaf["shape"]), dtype)
        flat = array.reshape(-1).view(np.uint8) if array.nbytes else array
        start = 0
        for chunk in _chunks(member, array.nbytes):
            flat[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
            start += len(chunk)
        if start < array.nbytes:
            raise EOFError(f"{leaf['member']} ends early")
        return encoding.restored(array, leaf["dtype"])
