"""Where two series of taps part, in words."""

import numpy as np
import pytest

from pytest_graphmode.checks.compare import first_leaf_mismatch
from pytest_graphmode.records.parting import Parting
from pytest_graphmode.records.recording import Recording


def parting(actual, expected, left_out=({}, {})):
    """Taps by name: an array, or a list of arrays for a series; and what either side left out, with the reason."""

    def series(taps):
        return {
            name: [{name: np.asarray(step, np.float64)} for step in (steps if isinstance(steps, list) else [steps])]
            for name, steps in taps.items()
        }

    sides = [Recording(taps=series(taps), left_out=out) for taps, out in zip((actual, expected), left_out, strict=True)]
    return Parting(*sides, ("torch", "tf"), lambda a, b: first_leaf_mismatch(a, b, rtol=1e-5, atol=0))


TABLE = "Taps in the order of the code, with the error relative to the largest value"
ONES = np.ones((2, 3))


def changed(value, index=(1, 2)):
    made = np.array(value)
    made[index] += 0.12
    return made


def test_the_first_that_differs_is_named_with_the_one_before_it():
    found = parting(
        {"conv1": ONES * (1 + 3e-7), "conv2": changed(ONES), "conv3": ONES * 3},
        {"conv1": ONES, "conv2": ONES, "conv3": ONES},
    )
    assert found.sentence == (
        "`conv2` is the first tap that differs (12 % at [1, 2]); `conv1`, before it, agrees to 3e-7"
    )
    assert list(found.lines) == [
        f"{TABLE}, and x its growth over the tap before:",
        "  conv1     3e-7",
        "  conv2     12 %  x 4e5  the first that differs",
        "  conv3    200 %  x 17",
    ]


def test_there_may_be_none_before_it():
    found = parting({"h": np.float32(2)}, {"h": np.float32(1)})
    assert found.sentence == (
        "`h` is the first tap that differs (100 %); there is none before it: look at what goes into it"
    )


def test_where_no_tap_differs_it_begins_after_the_last():
    found = parting({"a": ONES, "b": ONES * (1 + 3e-7)}, {"a": ONES, "b": ONES})
    assert found.sentence == (
        "no tap differs: they agree to 3e-7 (`b` the least), so that the two part after the last, `b`"
    )
    assert "agree to the last bit" in parting({"a": ONES}, {"a": ONES}).sentence


def test_of_taps_in_one_loop_that_of_the_earliest_step_is_first():
    found = parting(
        {
            "in": ONES,
            "cell": [ONES, ONES, changed(ONES)],
            "gate": [ONES, changed(ONES), changed(ONES)],
            "out": ONES * 2,
        },
        {"in": ONES, "cell": [ONES] * 3, "gate": [ONES] * 3, "out": ONES},
    )
    assert found.sentence == (
        "`gate`, in step 1, is the first tap that differs (12 % at [1, 2]); `cell`, before it, agrees to the last bit"
    )


def test_each_row_of_a_loop_says_the_step_that_it_is_of():
    found = parting(
        {
            "hidden": [ONES, ONES * (1 + 9e-8), changed(ONES)],
            "act": [ONES * (1 + 3e-7), ONES * 1.01, ONES * 3],
            "out": [ONES * (1 + 3e-7), ONES * 1.5, ONES * 3],
            "same": [ONES, ONES * (1 + 2e-7), ONES],
        },
        {name: [ONES] * 3 for name in ("hidden", "act", "out", "same")},
    )
    assert "`hidden`, before it, agrees to 9e-8" in found.sentence
    assert list(found.lines) == [
        f"{TABLE}, of the first step that differs, and x its growth over the tap before:",
        "  hidden     12 %  in step 2",
        "  act         1 %  in step 1  the first that differs",
        "  out        50 %  x 50  in step 1",
        "  same       2e-7",
    ]


def test_an_error_of_another_step_is_no_growth():
    found = parting({"a": [ONES, ONES * 1.5], "b": [ONES * 3, ONES]}, {"a": [ONES] * 2, "b": [ONES] * 2})
    assert [line for line in found.lines if "x" in line][1:] == []


def test_gradients_are_in_a_loop_of_their_own():
    found = parting(
        {"cell": [ONES, ONES, changed(ONES)], "grad(cell)": [changed(ONES), ONES, ONES]},
        {"cell": [ONES] * 3, "grad(cell)": [ONES] * 3},
    )
    assert found.first is not None
    assert found.first.name == "cell"


def test_what_could_not_be_compared_is_named():
    found = parting(
        {"only": ONES, "also": ONES, "shape": ONES, "often": [ONES, ONES]},
        {"shape": ONES[1:], "often": ONES, "theirs": ONES},
    )
    (told,) = [line for line in found.lines if "compared" in line]
    assert told == (
        "Taps that could not be compared: `only`, `also` of torch, not of tf; `theirs` of tf, not of torch; "
        "`shape`, float64[2, 3] of torch and float64[1, 3] of tf; "
        "`often`, tapped 2 times by torch, 1 times by tf."
    )


@pytest.mark.parametrize(
    ("actual", "expected", "order"),
    [
        (np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1), np.arange(24.0).reshape(2, 3, 4), (0, 2, 1)),
        (np.arange(24.0).reshape(1, 2, 3, 4).transpose(0, 3, 1, 2), np.arange(24.0).reshape(1, 2, 3, 4), (0, 2, 3, 1)),
        (np.arange(9.0).reshape(3, 3).T, np.arange(9.0).reshape(3, 3), (1, 0)),
    ],
)
def test_a_transposition_that_would_do_is_a_hint_and_is_not_made(actual, expected, order):
    found = parting({"h": actual}, {"h": expected})
    assert (
        f"`h` of torch would agree with its axes in the order {order}, as numpy.transpose puts them: taps are compared "
        "as they are."
    ) in list(found.lines)
    assert "agree to" not in found.sentence
    wrong = parting({"h": actual + 1}, {"h": expected})
    assert not [line for line in wrong.lines if "would agree" in line]


def test_of_many_taps_those_around_the_first_that_differs_are_shown():
    names = [f"layer{number}" for number in range(100)]
    found = parting(
        {name: ONES * (1 + (number >= 50)) for number, name in enumerate(names)}, dict.fromkeys(names, ONES)
    )
    lines = list(found.lines)
    assert lines[1] == "  (30 before, which agree to the last bit)"
    assert lines[2].startswith("  layer30 ")
    assert lines[-1] == "  (39 more)"


def test_names_of_one_side_stand_where_its_code_has_them():
    found = parting({"a": ONES, "new": ONES, "b": ONES * 2}, {"a": ONES, "b": ONES})
    assert found.first is not None
    assert found.first.name == "b"


@pytest.mark.parametrize("actual", [np.nan, np.inf])
def test_what_is_not_finite_differs_by_no_share(actual):
    assert "(not finite at [0])" in parting({"h": np.array([actual])}, {"h": np.array([1.0])}).sentence


def test_what_one_side_alone_left_out_is_not_compared_and_said_with_the_reason():
    within = {"a": "inside of a loop", "b": "inside of a torch.cond"}
    found = parting({"a": ONES, "b": ONES, "c": ONES}, {"a": changed(ONES), "b": [changed(ONES)] * 2, "c": ONES}, (
        within, {"a": "inside of a loop"}
    ))  # fmt: skip
    assert [one.name for one in found.compared] == ["a", "c"]
    assert "Taps that could not be compared: `b`, not tapped by torch inside of a torch.cond." in list(found.lines)
    assert parting({"a": ONES, "b": ONES}, {"a": ONES, "b": ONES}, (within, within)).left_out == {}


def test_what_neither_could_tap_is_said_too():
    found = parting({"h": ONES}, {"h": ONES}, ({"grad(h)": "inside of a loop"}, {}))
    assert (
        list(found.lines)[-1]
        == "Taps that could not be compared: `grad(h)`, tapped by neither: it is inside of a loop."
    )
