"""The words of an agreement item, from made-up runs."""

import weakref

import numpy as np
import pytest

from pytest_graphmode.records.disagreement import Allowed, Pair, Side
from pytest_graphmode.records.disagreement import disagreement as told
from pytest_graphmode.records.recording import Recording, Run
from pytest_graphmode.report.recorded import comparison_data
from pytest_graphmode.run.agreement.comparison import Comparison, side, worst
from pytest_graphmode.select.markers import AgreeRequest
from pytest_graphmode.select.variants import Variant, VariantPattern

TF, TORCH, JAX = Variant("tf", "graph"), Variant("torch", "eager"), Variant("jax", "jit")
ANY = AgreeRequest()


def disagreement(runs, asked):
    return Comparison(runs, asked).disagreement


def incomparable(runs, asked):
    return Comparison(runs, asked).incomparable


def passed(variant, **series):
    """A run that recorded the values of each series under its name, floats as float32."""
    recorded = {name: [{name: _leaf(v)} for v in values] for name, values in series.items()}
    return Run(variant, "passed", recording=Recording(recorded))


def _leaf(value):
    return np.float32(value) if isinstance(value, float) else value


def skipped(variant, reason="no reason"):
    return Run(variant, "skipped", reason)


def failed(variant):
    return Run(variant, "failed", "Traceback ...")


def test_variants_that_recorded_the_same_agree():
    runs = [passed(variant, loss=[1.0, 0.5], steps=[2]) for variant in (TF, TORCH, JAX)]
    assert incomparable(runs, ANY) is None
    assert disagreement(runs, ANY) is None


def test_a_value_that_differs_is_told_with_everything_there_is_to_know():
    runs = [
        Run(TF, "passed", recording=Recording({"grads": [{"grads['w']": np.array([[1.0, 2.0]], np.float32)}]})),
        Run(TORCH, "passed", recording=Recording({"grads": [{"grads['w']": np.array([[1.0, 2.5]], np.float32)}]})),
    ]
    assert disagreement(runs, ANY) == (
        "torch-eager-cpu does not agree with the reference, tf-graph-cpu:\n"
        "  grads['w'] at [0, 1]: torch-eager-cpu 2.5, tf-graph-cpu 2.0: they differ by 0.5 (relative 0.25); "
        "allowed are rtol 1.3e-06 and atol 1e-05; 1 of 2 elements differ, this one the most\n"
        "If the difference is rounding of floating values, allow it: @pytest.mark.graph_agree(rtol=..., atol=...), "
        "or the ini key graph_tolerances for the whole project. "
        "If not, tap what leads to the value, h = graphmode.tap('h', h): the first tap that differs is where to look."
    )


def test_the_first_step_of_a_series_that_differs_is_named():
    text = disagreement([passed(TF, loss=[3.0, 2.0, 1.0, 0.5]), passed(TORCH, loss=[3.0, 2.0, 1.1, 0.9])], ANY)
    assert "step 2, the first of 4 to differ: loss: torch-eager-cpu 1.1, tf-graph-cpu 1.0" in text


@pytest.mark.parametrize(
    ("request_", "agrees"),
    [
        (AgreeRequest(), False),
        (AgreeRequest(rtol=0.99e-3), False),
        (AgreeRequest(rtol=1.01e-3), True),
        (AgreeRequest(atol=1.99e-3), False),
        (AgreeRequest(atol=2.01e-3), True),
    ],
)
def test_the_tolerances_of_the_marker_hold_just_inside_and_fail_just_outside(request_, agrees):
    runs = [passed(TF, loss=[2.0]), passed(TORCH, loss=[2.002])]
    assert (disagreement(runs, request_) is None) is agrees


def test_python_floats_are_held_to_the_variants_dtype():
    def runs(dtype):
        variants = Variant("tf", "graph", dtype=dtype), Variant("torch", "eager", dtype="float64")
        values = zip(variants, (1.0, 1.0 + 1e-6), strict=True)
        return [Run(variant, "passed", recording=Recording({"loss": [{"loss": value}]})) for variant, value in values]

    assert disagreement(runs("float32"), ANY) is None
    assert "rtol 1e-07" in disagreement(runs("float64"), ANY)


def test_arrays_of_a_half_precision_variant_are_held_to_its_tolerance():
    def runs(dtype):
        made = Variant("torch", "eager", dtype=dtype), Variant("torch", "compile", dtype=dtype)
        return [passed(made[0], loss=[1.0]), passed(made[1], loss=[1.01])]

    assert disagreement(runs("bfloat16"), ANY) is None
    assert disagreement(runs("float16"), ANY) is not None


def test_every_variant_that_differs_is_reported_against_the_reference():
    text = disagreement([passed(TF, loss=[1.0]), passed(TORCH, loss=[2.0]), passed(JAX, loss=[3.0])], ANY)
    assert "torch-eager-cpu does not agree with the reference, tf-graph-cpu:" in text
    assert "jax-jit-cpu does not agree with the reference, tf-graph-cpu:" in text


def test_the_reference_is_the_markers_or_the_first_that_ran():
    runs = [skipped(TF), passed(TORCH, loss=[1.0]), passed(JAX, loss=[2.0])]
    assert "the reference, torch-eager-cpu" in disagreement(runs, ANY)
    assert "the reference, jax-jit-cpu" in disagreement(runs, AgreeRequest(reference=VariantPattern("jax")))


def test_different_sets_of_names_do_not_agree():
    text = disagreement([passed(TF, loss=[1.0], acc=[1.0]), passed(TORCH, loss=[1.0], grads=[1.0])], ANY)
    assert "acc: recorded by tf-graph-cpu, not by torch-eager-cpu" in text
    assert "grads: recorded by torch-eager-cpu, not by tf-graph-cpu" in text
    assert text.endswith("of the same structure, shape and kind of dtype in every variant.")


def test_a_variant_that_recorded_nothing_does_not_agree_with_one_that_did():
    text = disagreement([passed(TF, loss=[1.0]), passed(TORCH)], ANY)
    assert "loss: recorded by tf-graph-cpu, not by torch-eager-cpu" in text


def test_series_of_different_lengths_do_not_agree():
    text = disagreement([passed(TF, loss=[1.0, 0.5]), passed(TORCH, loss=[1.0])], ANY)
    assert "loss: recorded once by torch-eager-cpu, 2 times by tf-graph-cpu" in text
    assert "equally often" in text


def test_what_differs_in_shape_or_kind_asks_for_equal_records():
    text = disagreement([passed(TF, loss=[np.zeros((1,))]), passed(TORCH, loss=[np.zeros(())])], ANY)
    assert "loss: torch-eager-cpu float64[], tf-graph-cpu float64[1]: the shapes differ" in text
    assert "Record the same names" in text
    assert "rounding" not in text


def test_nothing_recorded_at_all_fails():
    assert "no variant recorded a value: call graphmode.agree(name=value)" in disagreement(
        [passed(TF), passed(TORCH)], ANY
    )


def test_a_failure_names_the_variants_that_were_left_out():
    text = disagreement([passed(TF, loss=[1.0]), skipped(JAX, "no jit"), passed(TORCH, loss=[2.0])], ANY)
    assert "Not compared: jax-jit-cpu was skipped (no jit)." in text


def test_failed_variants_make_the_rest_incomparable():
    reason = incomparable([failed(TF), passed(TORCH, loss=[1.0]), passed(JAX, loss=[2.0])], ANY)
    assert reason == "tf-graph-cpu failed, so the variants can't be compared: mend that first"


def test_fewer_than_two_variants_are_incomparable():
    reason = incomparable([passed(TF, loss=[1.0]), skipped(TORCH, "no torch here")], ANY)
    assert reason == (
        "fewer than two variants ran (tf-graph-cpu), so there is nothing to compare; "
        "torch-eager-cpu was skipped (no torch here): "
        "select more with --graph-backends, --graph-devices or --graph-dtypes"
    )
    assert "ran (none)" in incomparable([skipped(TF)], ANY)


def test_a_reference_that_did_not_run_makes_the_rest_incomparable():
    runs = [passed(TF, loss=[1.0]), passed(TORCH, loss=[1.0]), skipped(JAX, "no jit")]
    reason = incomparable(runs, AgreeRequest(reference=VariantPattern("jax", "jit", "gpu:0")))
    assert reason == (
        "the reference jax:jit@gpu:0 is not among the variants that ran (tf-graph-cpu, torch-eager-cpu); "
        "jax-jit-cpu was skipped (no jit): "
        "select it with --graph-backends, or name another in @pytest.mark.graph_agree(reference=...)"
    )


# Equal dtypes.

DTYPES = AgreeRequest(dtypes=True)


@pytest.mark.parametrize(
    ("one", "other"), [(np.float32, np.float64), (np.int32, np.int64), (np.complex64, np.complex128)]
)
def test_dtypes_of_one_kind_differ_only_where_equal_ones_are_asked_for(one, other):
    runs = [passed(TF, y=[np.array(1, one)]), passed(TORCH, y=[np.array(1, other)])]
    assert disagreement(runs, ANY) is None
    assert disagreement(runs, DTYPES) == (
        "torch-eager-cpu does not agree with the reference, tf-graph-cpu:\n"
        f"  y: torch-eager-cpu {other.__name__}, tf-graph-cpu {one.__name__}: the dtypes differ\n"
        "graph_agree(dtypes=True) asks for equal dtypes: cast what differs, or leave it out."
    )
    assert disagreement([passed(TF, y=[np.array(1, one)]), passed(TORCH, y=[np.array(1, one)])], DTYPES) is None


def test_equal_dtypes_are_asked_of_tensors_and_of_variants_of_one_dtype():
    assert disagreement([passed(TF, y=[1]), passed(TORCH, y=[np.int64(1)])], DTYPES) is None
    wide = Variant("tf", "graph", dtype="float64")
    assert (
        disagreement([passed(wide, y=[np.array(1, np.float64)]), passed(TF, y=[np.array(1, np.float32)])], DTYPES)
        is None
    )
    assert "the dtypes differ" in disagreement([passed(wide, y=[np.int64(1)]), passed(TF, y=[np.int32(1)])], DTYPES)


def test_bfloat16_is_told_from_the_float32_that_numpy_has_for_it():
    """Not in a recording from a file, which does not say."""

    def run(backend, dtypes):
        variant = Variant(backend, "eager", dtype="bfloat16")
        return Run(variant, "passed", recording=Recording({"y": [{"y": np.float32(1)}]}, dtypes=dtypes))

    half = {"y": "bfloat16"}
    assert disagreement([run("tf", half), run("torch", half)], DTYPES) is None
    assert "torch-eager-cpu-bfloat16 float32, tf-eager-cpu-bfloat16 bfloat16: the dtypes differ" in disagreement(
        [run("tf", half), run("torch", {})], DTYPES
    )
    assert disagreement([run("tf", half), run("torch", None)], DTYPES) is None


@pytest.mark.parametrize("value", [1.0, 2.0], ids=["agree", "differ"])
def test_a_record_is_let_go_before_the_next_is_loaded(value):
    loaded = []

    def alive():
        return [one for one in loaded if one() is not None]

    def load():
        assert not alive()
        recording = passed(JAX, loss=[value]).recording
        loaded.append(weakref.ref(recording))
        return recording

    ran = side(passed(TF, loss=[1.0]))
    records = [Side(f"record {number}", "float32", "cpu", load) for number in range(3)]
    pairs = [Pair(record, ran, Allowed()) for record in records]
    assert bool(told(pairs)) is (value != 1.0)
    worst(pairs)
    comparison_data(pairs)
    assert loaded
    assert not alive()
