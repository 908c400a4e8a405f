"""Things known of code objects, as long as these live.

Called by the other modules here. Code that Dynamo makes has constants that can't be hashed, and equal code of two
functions is equal, so that code can't be the key of a dict.
"""

from __future__ import annotations

import types
import weakref
from typing import Generic, TypeVar

T = TypeVar("T")


class ByCode(Generic[T]):
    """A mapping from code objects, by identity.

    What dies is dropped when more is added: a callback of a weak reference is Python code, and Dynamo looks at it where
    it runs between graphs.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[types.CodeType], T]] = {}
        self._limit = 64

    def __setitem__(self, code: types.CodeType, value: T) -> None:
        if len(self._entries) >= self._limit:
            self._entries = {key: entry for key, entry in list(self._entries.items()) if entry[0]() is not None}
            self._limit = 2 * max(len(self._entries), 32)
        self._entries[id(code)] = (weakref.ref(code), value)

    def get(self, code: types.CodeType) -> T | None:
        found = self._entries.get(id(code))
        return found[1] if found is not None and found[0]() is code else None
