"""Variants: ids, keys and the patterns that match them."""

from __future__ import annotations

import pytest

from pytest_graphmode import Variant
from pytest_graphmode.select.variant import VariantPattern


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Variant("tf", "graph"), "tf-graph-cpu"),
        (Variant("torch", "eager", "gpu:0"), "torch-eager-gpu:0"),
        (Variant("torch", "compile", "cpu", "float64"), "torch-compile-cpu-float64"),
        (Variant("torch", "compile", "cpu", "float32"), "torch-compile-cpu"),
    ],
)
def test_the_id_leaves_out_the_default_dtype(variant: Variant, expected: str) -> None:
    assert variant.id == str(variant) == expected


def test_a_variant_is_a_value() -> None:
    assert Variant("tf", "graph") == Variant("tf", "graph", "cpu", "float32")
    assert len({Variant("tf", "graph"), Variant("tf", "graph"), Variant("tf", "eager")}) == 2
    with pytest.raises(AttributeError):
        Variant("tf", "graph").mode = "eager"  # type: ignore[misc]


def test_keys_are_the_most_specific_first() -> None:
    assert Variant("torch", "compile", "gpu:0").keys == ("torch_compile", "torch")


def test_param_carries_id_and_marks() -> None:
    param = Variant("tf", "graph").param([pytest.mark.skip(reason="slow")])
    assert param.values == (Variant("tf", "graph"),)
    assert param.id == "tf-graph-cpu"
    assert [mark.name for mark in param.marks] == ["skip"]


VARIANT = Variant("torch", "compile", "gpu:1")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        (VariantPattern("torch"), True),
        (VariantPattern("tf"), False),
        (VariantPattern("torch", "compile"), True),
        (VariantPattern("torch", "eager"), False),
        (VariantPattern("torch", device="gpu"), True),
        (VariantPattern("torch", device="gpu:1"), True),
        (VariantPattern("torch", device="gpu:0"), False),
        (VariantPattern("torch", "compile", "cpu"), False),
        (VariantPattern("torch", "compile", "gpu"), True),
        (VariantPattern("torch", dtype="float32"), True),
        (VariantPattern("torch", dtype="bfloat16"), False),
    ],
)
def test_patterns(pattern: VariantPattern, matches: bool) -> None:
    assert pattern.matches(VARIANT) is matches
