"""Errors of the user's code without the frames between: TensorFlow's, AutoGraph's generated ones and the plugin's.

Called by the modes of TensorFlow where they run what the user gave them. AutoGraph's message names the user's lines; a
traceback through its frames is some hundred lines that say nothing more. `tf.debugging.disable_traceback_filtering`,
TensorFlow's own switch, keeps all frames here too.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Final

import autoray
import optree
import tensorflow as tf

import pytest_graphmode

__tracebackhide__ = True

_GENERATED: Final = "__autograph_generated_file"
_BETWEEN: Final = tuple(f"{Path(str(package.__file__)).parent}/" for package in (tf, pytest_graphmode, optree, autoray))


def shortened(error: BaseException) -> BaseException:
    """The error itself, ready to be raised again: its traceback, and those of what it came from, cut to other frames.

    What AutoGraph remakes with a longer message is not shown a second time without it.
    """
    if not tf.debugging.is_traceback_filtering_enabled():
        return error
    shown: BaseException | None = error
    seen: set[int] = set()
    while shown is not None and id(shown) not in seen:
        seen.add(id(shown))
        shown.__traceback__ = _cut(shown.__traceback__)
        if hasattr(shown.__context__, "ag_error_metadata"):
            shown.__suppress_context__ = True
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return error


def _cut(traceback: types.TracebackType | None) -> types.TracebackType | None:
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    kept: types.TracebackType | None = None
    for entry in reversed(entries):
        if not _is_between(entry.tb_frame.f_code.co_filename):
            kept = types.TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept


def _is_between(file: str) -> bool:
    return file.startswith(_BETWEEN) or _GENERATED in file
