"""Writing a file whole or not at all: records, reports and the lock are written beside, then put in place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

UNFINISHED: Final = ".part"


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A file beside the wanted one, of a name of its own, that takes its place once it is whole."""
    beside = file.with_name(f".{file.name}.{os.getpid()}-{os.urandom(4).hex()}{UNFINISHED}")
    try:
        with beside.open("x+b") as whole:
            yield whole
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def check_writable(file: Path) -> None:
    """Find out before a run whether its report can be written, and make the folder for it.

    Raises:
        OSError: it can't.
    """
    if file.is_dir():
        raise IsADirectoryError(21, "it is a folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    tried = file.with_name(f".{file.name}.{os.getpid()}-{os.urandom(4).hex()}{UNFINISHED}")
    try:
        tried.touch(exist_ok=False)
    finally:
        tried.unlink(missing_ok=True)
