"""Files and folders that options name; called by `settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["file", "folder"]


def parse_path(text: str, kind: Kind) -> Path:
    """A file or folder, which need not be there.

    Raises:
        ValueError: no name at all.
    """
    if not text.strip():
        raise ValueError(f"names no {kind}")
    return Path(text)


def require_kind(path: Path, kind: Kind) -> Path:
    """The path of what is a file or folder, as wanted, or not there yet.

    Raises:
        ValueError: the other of the two is there, or no file can have such a name.
    """
    try:
        there, exists = "folder" if path.is_dir() else "file", path.exists()
    except OSError as error:  # too long
        raise ValueError(f"no {kind} can have this name: {error.strerror}") from None
    if exists and there != kind:
        raise ValueError(f"there is a {there} of this name: name a {kind}")
    return path
