"""Whether a file holds what `schema.json` says, for reports that somebody else made: the parts of JSON Schema it uses.

Called before the HTML report is made of a file; a run does not look at what it made itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Data = dict[str, Any]
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def problem(report: Any) -> str | None:
    """What is wrong first, with its place in the report; None where all is as the schema says."""
    schema: Data = json.loads((Path(__file__).parent / "schema.json").read_text(encoding="utf-8"))
    return next(_problems(report, schema, schema["$defs"], "the report"), None)


def _problems(value: Any, schema: Data, defined: Data, place: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = defined[schema["$ref"].rpartition("/")[2]]
    if "oneOf" in schema:
        found = [next(_problems(value, one, defined, place), None) for one in schema["oneOf"]]
        if None not in found:
            yield found[-1] or ""
        return
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(value, name) for name in types):
        yield f"{place} is {type(value).__name__}, not {' or '.join(types)}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{place} is {value!r}, not one of {', '.join(schema['enum'])}"
    elif isinstance(value, dict):
        yield from _problems_of_members(value, schema, defined, place)
    elif isinstance(value, list) and "items" in schema:
        for index, entry in enumerate(value):
            yield from _problems(entry, schema["items"], defined, f"{place}[{index}]")


def _problems_of_members(value: Data, schema: Data, defined: Data, place: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place} has no {name!r}"
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, entry in value.items():
        if name in known or isinstance(other, dict):
            yield from _problems(entry, known.get(name, other), defined, f"{place}.{name}".removeprefix("the report."))


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
