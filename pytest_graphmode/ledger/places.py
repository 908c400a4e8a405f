"""Where code stands, as messages show it, and which files are the frameworks' own.

Called by `identity.py` and by whatever names a line. Whether something *counts* never depends on where a file lies: the
question which files are libraries is asked only to find the line of the user's that a message points at.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

# Where the standard library lies; sysconfig knows too, and takes a tenth of this plugin's start to say so.
_STANDARD: Final = os.path.dirname(os.__file__) + os.sep
_INSTALLED: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_PLUGIN: Final = str(Path(__file__).parent.parent) + os.sep
_GENERATED: Final = ("__autograph_generated_file", "<frozen", "<eval_with_key>", "<string>", "<@beartype")
# What a framework is made of, by the names of top-level packages; the rest of what is installed is user code.
_FRAMEWORKS: Final = {
    *("torch", "torchgen", "functorch", "triton", "tensorflow", "tf_keras", "keras", "jax", "jaxlib", "numpy"),
    *("optree", "absl", "gast", "opt_einsum", "ml_dtypes", "pytest", "_pytest", "pluggy", "xdist"),
    *("beartype", "jaxtyping", "typeguard", "decorator", "wrapt"),  # decorators: they stand around the user's code
}


class _Root:
    """The folder that places are relative to: pytest's rootdir during a run, else the working directory."""

    def __init__(self) -> None:
        self.path: str | None = None


_root: Final = _Root()


def shown_from(folder: Path) -> Callable[[], None]:
    """Show places relative to a folder from now on; returns what undoes it."""
    kept, _root.path = _root.path, str(folder)

    def undo() -> None:
        _root.path = kept

    return undo


def place(file: str, line: int | str) -> str:
    """`src/model.py:42`, so that terminals and editors link it; a file elsewhere by its package or its whole path."""
    return sys.intern(f"{shown(file)}:{line}")


def shown(file: str) -> str:
    """A file as messages name it."""
    root = (_root.path or os.getcwd()).rstrip(os.sep) + os.sep
    inside = file.removeprefix(root)
    for mark in _INSTALLED:
        _, found, after = (os.sep + inside).rpartition(mark)
        if found:
            return after.replace(os.sep, "/")
    if inside != file:
        return inside.replace(os.sep, "/")
    if file.startswith(_STANDARD):
        return os.path.basename(file)
    return file


@functools.lru_cache(maxsize=4096)
def is_library(file: str) -> bool:
    """Whether a file belongs to a framework, the standard library or this plugin: where no message should point."""
    if file.startswith(_PLUGIN) or any(mark in file for mark in _GENERATED):
        return True
    for mark in _INSTALLED:
        _, found, after = file.rpartition(mark)
        if found:
            package = after.partition(os.sep)[0].removesuffix(".py")
            return package in _FRAMEWORKS
    return file.startswith(_STANDARD) or any(map(file.startswith, _homes()))


def _homes() -> Iterator[str]:
    """Where the imported frameworks lie, for those that are installed elsewhere or run from their own checkout."""
    for package in _FRAMEWORKS:
        for path in getattr(sys.modules.get(package), "__path__", None) or ():
            yield path + os.sep


def call_site() -> str | None:
    """`test_model.py:17`: the innermost line of the user's code on this thread's stack, None when there is none."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_library(frame.f_code.co_filename):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None
