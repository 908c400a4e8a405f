"""Files and folders that options name; called by `settings.py`."""

from __future__ import annotations

from pathlib import Path


def parse_folder(text: str) -> Path:
    """A folder, which need not be there.

    Raises:
        ValueError: no name at all.
    """
    if not text.strip():
        raise ValueError("names no folder")
    return Path(text)


def refuse_file(path: Path) -> Path:
    """The path of a folder.

    Raises:
        ValueError: there is something else.
    """
    if path.exists() and not path.is_dir():
        raise ValueError("there is a file of this name: name a folder")
    return path


def parse_file(text: str) -> Path:
    """A file, which need not be there.

    Raises:
        ValueError: no name at all.
    """
    if not text.strip():
        raise ValueError("names no file")
    return Path(text)


def refuse_folder(path: Path) -> Path:
    """The path of a file.

    Raises:
        ValueError: there is a folder.
    """
    if path.is_dir():
        raise ValueError("there is a folder of this name: name a file")
    return path
