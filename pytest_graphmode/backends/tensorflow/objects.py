"""Arguments that TensorFlow looks up by object: functions, methods, models, settings of a class of the user's.

Used by `trace_types.py`. TensorFlow holds such an argument weakly, and traces again for every other object, or once the
one it knew is gone; a `Memory` keeps what its builds were told, in words, to say what became of them.
"""

from __future__ import annotations

import enum
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pytest_graphmode.ledger import closure, contents, identity
from pytest_graphmode.ledger.arguments import root_of
from pytest_graphmode.ledger.ledger import Argument, Cause

_LONGEST: Final = 60
_KEPT: Final = 8
_HINTS: Final = {
    "method": "a method is made anew each time it is read, and TensorFlow knows {argument} by object only: keep one "
    "(`step = model.step`) and pass that each time",
    "function": "TensorFlow knows {argument} by object only, and this one was made anew: define it once, outside the "
    "loop, and pass that each time",
    "enum": "pass the same member each time, or accept one build per member",
}
_GONE: Final = (
    "TensorFlow knows {argument} by object only, and the one of the earlier build is gone: make it once, keep it and "
    "pass that each time"
)
_OTHER: Final = (
    "TensorFlow knows {argument} by object only: keep one and pass that each time, give what differs as a tensor, or "
    "accept one build per object"
)


class _Known(NamedTuple):
    """An object that a build was told about."""

    reference: Any
    token: int
    text: str
    type_name: str
    attributes: dict[str, str]

    @classmethod
    def of(cls, path: str, value: Any) -> _Known:
        content = contents.described("argument", path, closure.quiet_attribute(value, "python_function") or value)
        public = {name: text for name, text in content.attributes if not name.startswith("_")}
        attributes, name = public or dict(content.attributes), content.type_name
        if isinstance(value, (types.MethodType, enum.Enum)):
            name = "method" if isinstance(value, types.MethodType) else "enum"
        if name in ("function", "method", "class", "enum"):
            text = content.text
        else:
            text = f"{name} {content.text}" if closure.is_data(value) else _cut(_with(name, attributes))
        try:
            reference: Any = weakref.ref(value)
        except TypeError:  # as if it were gone
            reference = type(None)
        return cls(reference, identity.token(value), text, name, attributes)

    def is_of(self, value: Any) -> bool:
        """Whether TensorFlow takes `value` for this object."""
        known = self.reference()
        try:
            return known is value or (known is not None and bool(known == value))
        except Exception:  # the user's own code, met in the middle of a trace that must go on
            return False


class Memory:
    """What the builds of one tf.function were told about objects, by the path of the argument."""

    def __init__(self) -> None:
        self._known: dict[str, list[_Known]] = {}
        self._forms: dict[str, str] = {}

    def argument(self, path: str, value: Any, causes: list[Cause]) -> Argument:
        """An object in words; why it is none of those before is added to `causes`."""
        known = self._known.setdefault(path, [])
        found = next((one for one in reversed(known) if one.is_of(value)), None)
        if found is None:
            found = _Known.of(path, value)
            if known:
                causes.append(_cause(path, known[-1], found))
            known.append(found)
            del known[:-_KEPT]
        return Argument(sys.intern(path), found.text, root_of(path), type_name=found.type_name, note=str(found.token))

    def hints(self, arguments: tuple[Argument, ...]) -> dict[str, str]:
        """What to do about objects that builds before were given, of which nothing is known here."""
        names = {one.type_name for one in arguments if one.name in self._known}
        return {f"python-{name}": _HINTS.get(name, _GONE) for name in names}

    def forms(self, forms: dict[str, str]) -> Iterator[Cause]:
        """Arguments that are now given by keyword and were by position, or the reverse: another call to TensorFlow."""
        for name, form in forms.items():
            before = self._forms.get(name, form)
            if before != form:
                hint = f"give {name} in the same way each time, always by position or always by keyword"
                yield Cause("structure", name, before, form, hint)
        self._forms.update(forms)


def gone(path: str) -> Argument:
    """An object that an earlier build was given and that nothing is known of any more."""
    return Argument(sys.intern(path), "an object that is gone", root_of(path), type_name="object", note="gone")


def _with(type_name: str, attributes: dict[str, str]) -> str:
    """`Settings(rate=0.1)`."""
    return f"{type_name}({', '.join(f'{name}={text}' for name, text in attributes.items())})"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _cause(path: str, before: _Known, after: _Known) -> Cause:
    """Why `after` is not taken for the object of the build before."""
    was, now, old = before.text, after.text, before.attributes
    differing = [name for name, text in after.attributes.items() if old.get(name, text) != text][:3]
    told = bool(differing) and before.type_name == after.type_name
    if told:
        was, now = (_with(one.type_name, {name: one.attributes[name] for name in differing}) for one in (before, after))
    general = _GONE if before.reference() is None and not told else _OTHER
    hint = _HINTS.get(after.type_name, general).replace("{argument}", path)
    return Cause("python-value", path, was, now, hint, after.type_name)
