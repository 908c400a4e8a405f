"""What the JSON report says of two sides that were compared."""

import numpy as np

from pytest_graphmode.records.disagreement import Allowed, Pair, Side
from pytest_graphmode.records.recording import Recording
from pytest_graphmode.report.recorded import comparison_data


def side(name: str, *steps: list[float]) -> Side:
    recording = Recording(taps={"h": [{"h": np.array(step)} for step in steps]})
    return Side(name, "float64", "cpu", lambda: recording)


def test_error_and_place_of_a_tap_are_of_the_step_that_is_named() -> None:
    found = side("torch", [1.0, 2.0], [1.0, 2.5], [9.0, 2.0])
    (pair,) = comparison_data([Pair(found, side("tf", [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]), Allowed())])
    assert pair["taps"] == [{"name": "h", "error": 0.25, "at": [1], "first_step": 1}]
