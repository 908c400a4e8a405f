"""Notices when a framework is imported later, without importing anything itself.

`watch.Watcher` installs an `ImportWatch` while a recorder is open, so that event sources attach to frameworks that a
test or one of its libraries imports in the middle of a run. It costs other imports one look-up in a set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class ImportWatch:
    """A finder for `sys.meta_path` that calls `imported(name)` once one of `names` has run to its end.

    The modules are found and executed by the finders and loaders that would have done so without it, and keep these
    as their `__loader__`.
    """

    def __init__(self, names: Collection[str], imported: Callable[[str], None]) -> None:
        self._names = names
        self._imported = imported

    def install(self) -> None:
        # A new list each time: another thread may be iterating over the old one, and would skip a finder.
        sys.meta_path = [self, *sys.meta_path]

    def begin(self) -> None:
        """Install it, and tell of those of the modules that were imported before, in the order of their names here."""
        self.install()
        for name in filter(complete, self._names):
            self._imported(name)

    def remove(self) -> None:
        sys.meta_path = [finder for finder in sys.meta_path if finder is not self]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        spec = self._found_by_the_next(fullname, path, target)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Notifying(spec.loader, self._imported)  # type: ignore[assignment]
        return spec

    def _found_by_the_next(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        finders = sys.meta_path
        following = finders[finders.index(self) + 1 :] if self in finders else finders
        found = (finder.find_spec(fullname, path, target) for finder in following)
        return next(filter(None, found), None)


class _Notifying:
    """A loader in all but `exec_module`, which gives the module back to its own loader and tells when it is done."""

    def __init__(self, loader: Any, imported: Callable[[str], None]) -> None:
        self._loader = loader
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._imported(module.__name__)


def lineage(name: str) -> Iterator[str]:
    """A module's name after those of the packages it is in: `a`, `a.b`, `a.b.c`."""
    parts = name.split(".")
    return (".".join(parts[: end + 1]) for end in range(len(parts)))


def complete(name: str, finishing: str = "") -> bool:
    """Whether a module and the packages it is in have run to their end; `finishing` is one known to have.

    A framework's inner modules are done long before the framework is, and nothing may use it before that.
    """
    return all(part in sys.modules and (part == finishing or not _running(sys.modules[part])) for part in lineage(name))


def _running(module: ModuleType) -> bool:
    # Private, but the only mark of a module that is still being imported, and what importlib itself goes by.
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
