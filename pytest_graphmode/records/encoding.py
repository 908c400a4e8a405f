"""What a recording is on disk: a description that JSON holds, and its arrays, those of like steps stacked as one.

Called by `archive.py`, which keeps both in one file.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pytest_graphmode.records.recording import Series

Array = np.ndarray[Any, Any]

# Elements at a time, so that arrays of any size are hashed and written without a copy of the whole.
_BLOCK: Final = 1 << 18
_JSON_INTEGER: Final = 1 << 63
_ARRAYS: Final = (np.ndarray, np.generic)


@dataclass(frozen=True)
class Stack:
    """Arrays of one dtype and shape, one a step, that are kept as one member of the file.

    Attributes:
        dtype: what the file holds: that of the arrays, or unsigned integers for one that `.npy` lacks (bfloat16).
    """

    member: str
    arrays: tuple[Array, ...]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.arrays), *self.arrays[0].shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def chunks(self) -> Iterator[bytes]:
        """The bytes of all arrays in C order, in pieces."""
        for block in self._blocks():
            yield block.tobytes()

    def _blocks(self) -> Iterator[Array]:
        for array in self.arrays:
            kept = array.view(self.dtype)
            if kept.flags.c_contiguous:
                flat = kept.reshape(-1)
                yield from (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
            elif kept.size:
                yield from np.nditer(kept, ["external_loop", "buffered"], buffersize=_BLOCK, order="C")

    def measured(self) -> dict[str, Any]:
        """Mean, root mean square and hash; mean and rms of six digits, so that no machine's rounding shows in them."""
        dtype = self.arrays[0].dtype
        wide, digest = _wide(dtype), hashlib.sha256()
        count, total, squares = 0, 0.0, 0.0
        with np.errstate(all="ignore"):
            for block in self._blocks():
                digest.update(block.tobytes())
                if wide is not None:
                    values = np.ascontiguousarray(block).view(dtype).astype(wide)
                    count, total = count + values.size, total + values.sum()
                    squares += float(np.square(values.view(np.float64)).sum())
        known = wide is not None and count > 0
        mean = _rounded(total / count) if known else None
        rms = _rounded(math.sqrt(squares / count)) if known else None
        return {"mean": mean, "rms": rms, "sha256": digest.hexdigest()}


def encode(series: Series, stacks: list[Stack]) -> list[dict[str, Any]]:
    """A description of a series; its arrays are added to `stacks`, those that need no pickle: else a TypeError."""
    return [
        {"name": name, "runs": [_run(steps, stacks) for steps in _alike(all_steps)]}
        for name, all_steps in series.items()
    ]


def _alike(steps: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Steps of one structure in a row; those that hold nothing alone, so that a file's size bounds their number."""
    group: list[dict[str, Any]] = []
    like = None
    for step in steps:
        signature = _signature(step)
        if group and (signature != like or not _holds_bytes(step)):
            yield group
            group = []
        group.append(step)
        like = signature
    if group:
        yield group


def _signature(step: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (path, leaf.dtype, leaf.shape) if isinstance(leaf, _ARRAYS) else (path, _kind(leaf))
        for path, leaf in step.items()
    ]


def _holds_bytes(step: dict[str, Any]) -> bool:
    return bool(step) and all(leaf.nbytes for leaf in step.values() if isinstance(leaf, _ARRAYS))


def _kind(leaf: Any) -> str:
    return next(kind for kind, (cls, _, _) in _PYTHON.items() if isinstance(leaf, cls))


def _run(steps: list[dict[str, Any]], stacks: list[Stack]) -> dict[str, Any]:
    columns = {path: [step[path] for step in steps] for path in steps[0]}
    return {"steps": len(steps), "leaves": [_leaf(path, column, stacks) for path, column in columns.items()]}


def _leaf(path: str, column: list[Any], stacks: list[Stack]) -> dict[str, Any]:
    if not isinstance(column[0], _ARRAYS):
        kind = _kind(column[0])
        return {"path": path, "type": kind, "values": [_PYTHON[kind][1](value) for value in column]}
    arrays = tuple(map(np.asarray, column))
    legible = re.sub(r"\W+", "_", path, flags=re.ASCII).strip("_")[:40]
    stack = Stack(f"{len(stacks):04d}_{legible}.npy", arrays, _kept_as(path, arrays[0].dtype))
    stacks.append(stack)
    described = {"path": path, "dtype": arrays[0].dtype.name, "shape": list(arrays[0].shape), "member": stack.member}
    return {**described, **stack.measured()}


def _kept_as(path: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.hasobject:
        raise TypeError(f"{path} is an array of {dtype.name}, which can't be kept in a record")
    if dtype.names is not None or np.dtype(dtype.str) == dtype:
        return dtype
    return np.dtype(f"<u{dtype.itemsize}")  # one of ml_dtypes, whose names `.npy` does not know


def _wide(dtype: np.dtype[Any]) -> type[Any] | None:
    """The dtype to take a mean in; None for what has none."""
    if dtype.kind == "c":
        return np.complex128
    return np.float64 if dtype.kind in "biuf" or re.search(r"float|int", dtype.name) else None


def _rounded(value: complex) -> Any:
    if isinstance(value, complex):
        return [_rounded(value.real), _rounded(value.imag)]
    return _float_out(float(f"{value:.6g}"))


# What JSON has no number for is text: integers beyond 64 bits, infinities and NaN.


def _float_out(value: float) -> float | str:
    return float(value) if math.isfinite(value) else repr(float(value))


# Python's values by the name of their type: the type, to JSON and from JSON; first what is an int to Python too.
_PYTHON: Final[Mapping[str, tuple[type[Any], Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "bool": (bool, bool, bool),
    "int": (
        int,
        lambda value: int(value) if abs(value) < _JSON_INTEGER else hex(value),
        lambda value: int(value, 16) if isinstance(value, str) else int(value),
    ),
    "float": (float, _float_out, float),
    "complex": (
        complex,
        lambda value: [_float_out(value.real), _float_out(value.imag)],
        lambda parts: complex(*map(float, parts)),
    ),
    "str": (str, str, str),
    "bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "None": (type(None), lambda value: value, lambda value: None),
}


def leaves(description: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for entry in description:
        if not isinstance(entry["name"], str):
            raise TypeError(f"the name of a value is {entry['name']!r}")
        for run in entry["runs"]:
            if type(run["steps"]) is not int or run["steps"] < 1:
                raise ValueError(f"a value has {run['steps']!r} steps")
            yield from ((run["steps"], leaf) for leaf in run["leaves"] if "member" in leaf)


def decode(description: list[dict[str, Any]], read: Callable[[int, dict[str, Any]], Array]) -> Series:
    """The series that `encode` described; `read` gives the stacked arrays of a leaf."""
    return {entry["name"]: [step for run in entry["runs"] for step in _steps(run, read)] for entry in description}


def _steps(run: dict[str, Any], read: Callable[[int, dict[str, Any]], Array]) -> list[dict[str, Any]]:
    count = run["steps"]
    columns = {leaf["path"]: _column(count, leaf, read) for leaf in run["leaves"]}
    if count != 1 and (not columns or any(len(column) != count for column in columns.values())):
        raise ValueError(f"it claims {count} steps that it does not have")
    return [{path: column[number] for path, column in columns.items()} for number in range(count)]


def _column(count: int, leaf: dict[str, Any], read: Callable[[int, dict[str, Any]], Array]) -> list[Any]:
    if "member" not in leaf:
        return [_PYTHON[leaf["type"]][2](value) for value in leaf["values"]]
    stacked = read(count, leaf)
    return [stacked[number, ...] for number in range(count)]


def restored(array: Array, dtype: str) -> Array:
    """An array of a file as what was recorded: unsigned integers may stand for a dtype that `.npy` doesn't know.

    Raises:
        ValueError: the two don't go together.
        ImportError: it takes the package ml_dtypes to read it.
    """
    if array.dtype.name == dtype:
        return array
    if array.dtype.kind != "u":
        raise ValueError(f"its {dtype} values are kept as {array.dtype.name}")
    try:
        known = np.dtype(getattr(importlib.import_module("ml_dtypes"), dtype, None) or dtype)
    except (ImportError, TypeError):
        if dtype == "bfloat16" and array.dtype.itemsize == 2:  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        raise ImportError(f"it holds {dtype} values, which take the package ml_dtypes: pip install ml_dtypes") from None
    return array.view(known)
