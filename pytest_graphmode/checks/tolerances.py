"""How far apart floating values may be, by dtype and device: torch.testing's table under the project's own.

`settings.py` reads the project's, the ini key `graph_tolerances`; `compare.py` asks for the tolerance of two sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from pytest_graphmode.backends.names import DEVICE_KINDS, parse_device, real_of

# By `dtype` or `device.dtype`, rtol and atol; None where a line gives the other one only.
Table = Mapping[str, tuple[float | None, float | None]]

# rtol and atol by dtype: torch.testing.assert_close's table, documented on its page and kept in
# torch/testing/_comparison.py. Wider types than float64, which torch lacks, are held to float64's.
_WIDEST: Final = (1e-7, 1e-7)
DEFAULTS: Final[Mapping[str, tuple[float, float]]] = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "complex64": (1.3e-6, 1e-5),
    "float64": _WIDEST,
    "complex128": _WIDEST,
}
_FORM: Final = "write DTYPE: rtol=1e-4 atol=1e-6, or DEVICE.DTYPE: ..."


def parse(line: str) -> tuple[str, tuple[float | None, float | None]]:
    """`gpu.bfloat16: rtol=0.02 atol=1e-4` as a key and its values; one of rtol and atol may be left out.

    Raises:
        ValueError: anything else, with the legal names or form.
    """
    where, colon, values = (part.strip() for part in line.partition(":"))
    if not colon:
        raise ValueError(_FORM)
    device, dot, dtype = where.rpartition(".")
    if dtype not in DEFAULTS:
        raise ValueError(f"unknown dtype {dtype!r}: the dtypes are {', '.join(DEFAULTS)}")
    if dot and device not in DEVICE_KINDS:
        raise ValueError(f"unknown device {device!r}: the devices are {', '.join(DEVICE_KINDS)}, without a number")
    given: dict[str, float] = {}
    for entry in values.replace(",", " ").split():
        name, _, number = entry.partition("=")
        if name not in ("rtol", "atol") or name in given:
            raise ValueError(f"{entry!r} is not rtol=NUMBER or atol=NUMBER, each once: {_FORM}")
        given[name] = _number(name, number)
    if not given:
        raise ValueError(f"it gives neither rtol nor atol: {_FORM}")
    kind = parse_device(device).partition(":")[0] if dot else ""  # cuda is gpu
    return f"{kind}{dot}{dtype}", (given.get("rtol"), given.get("atol"))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number from 0, not {text!r}")
    return value


def looser(sides: Iterable[tuple[str, str]], table: Table) -> tuple[float, float]:
    """`rtol, atol` for values of these `(dtype, device)`: the looser of them, each on its own."""
    found = [_of(dtype, device, table) for dtype, device in sides]
    return max(rtol for rtol, _ in found), max(atol for _, atol in found)


def _of(dtype: str, device: str, table: Table) -> tuple[float, float]:
    """The closest line that says something: this device's, any device's, torch.testing's.

    A complex dtype without a line of its own has that of its parts.
    """
    rtol, atol = DEFAULTS.get(dtype, _WIDEST)
    kind = device.partition(":")[0]
    names = dict.fromkeys((dtype, real_of(dtype)))
    for key in reversed([*(f"{kind}.{name}" for name in names), *names]):
        of_key = table.get(key, (None, None))
        rtol = rtol if of_key[0] is None else of_key[0]
        atol = atol if of_key[1] is None else of_key[1]
    return rtol, atol
