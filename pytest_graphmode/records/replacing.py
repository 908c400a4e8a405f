"""Writing a file whole or not at all: records, reports and the lock are written beside, then put in place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

UNFINISHED: Final = ".part"


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A file beside the wanted one, of a name of its own, that takes its place, and its mode, once it is whole."""
    beside = _beside(file)
    try:
        with beside.open("x+b") as whole:
            yield whole
        if file.exists():
            beside.chmod(stat.S_IMODE(file.stat().st_mode))
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _beside(file: Path) -> Path:
    return file.with_name(f".{file.name}.{os.getpid()}-{os.urandom(4).hex()}{UNFINISHED}")


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all; a link stays, and what it leads to is written."""
    with replacing(_followed(file)) as whole:
        whole.write(text.encode("utf-8", "backslashreplace"))


def _followed(file: Path) -> Path:
    """What a link leads to, so that this is written and the link stays."""
    target = Path(os.path.realpath(file))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _is_output(file: Path, number: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(number))
    except OSError:  # closed
        return False


def check_writable(file: Path) -> None:
    """Find out before a run whether its report can be written whole, and make the folder for it."""
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if file.exists() and (not file.is_file() or any(_is_output(file, number) for number in (1, 2))):
        raise OSError(errno.EINVAL, "it is a device, a pipe or the run's own output: name a file")
    if file.exists() and not os.access(file, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    file = _followed(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    tried = _beside(file)
    try:
        tried.touch(exist_ok=False)
    finally:
        tried.unlink(missing_ok=True)
