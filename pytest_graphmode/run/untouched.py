"""The handle before a test has used it: how a test that asked for `graphmode` and never touched it is noticed."""

from __future__ import annotations

from typing import Any

from pytest_graphmode.handle import Handle


class UntouchedHandle(Handle):
    """A handle until its first attribute is read, which turns it into a `Handle`: how a vacuous test is noticed."""

    touched = False

    def __getattribute__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name.startswith("__") or name == "touched":
            return object.__getattribute__(self, name)
        self.__class__ = Handle  # type: ignore[assignment]
        return getattr(self, name)
