"""Variants: ids, keys, the patterns that match them, which of the selected ones are left, and the reason for none."""

import pytest

from pytest_graphmode import Variant
from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.select.markers import GraphmodeRequest
from pytest_graphmode.select.registry import Registry
from pytest_graphmode.select.settings import BackendChoice, Settings
from pytest_graphmode.select.variants import VariantPattern, reason_for_none, select


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


SPECS = {
    "tf": BackendSpec("tf", ("graph", "eager"), "graph", "json", ("tf",), "m:C", "pytest-graphmode[tf]"),
    "torch": BackendSpec("torch", ("eager", "compile"), "eager", "json", ("torch",), "m:C", "pytest-graphmode[torch]"),
    "jax": BackendSpec("jax", ("jit",), "jit", "no_such_framework", ("jax",), "m:C", "pytest-graphmode[jax]"),
}
INSTALL = "pip install 'pytest-graphmode[jax]'"
TF, TORCH = BackendChoice("tf"), BackendChoice("torch")
EAGER, COMPILE = BackendChoice("torch", ("eager",)), BackendChoice("torch", ("compile",))
EAGER_AND_COMPILE = BackendChoice("torch", ("eager", "compile"))


@pytest.fixture(autouse=True)
def _no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_graphmode.select.registry.accelerator_present", lambda: False)


def registry(*backends: BackendChoice, **settings: object) -> Registry:
    return Registry(Settings(backends=backends, **settings), SPECS)  # type: ignore[arg-type]


def ids(registry: Registry, request: GraphmodeRequest) -> list[str]:
    return [variant.id for variant in select(registry, request)]


def asked(*choices: BackendChoice, **fields: tuple[str, ...]) -> GraphmodeRequest:
    return GraphmodeRequest(choices or None, **fields)


@pytest.mark.parametrize(
    ("selected", "request_", "expected"),
    [
        ([TF, TORCH], asked(), ["tf-graph-cpu", "torch-eager-cpu"]),
        ([TORCH, TF], asked(), ["torch-eager-cpu", "tf-graph-cpu"]),
        ([TF, TORCH], asked(TORCH), ["torch-eager-cpu"]),
        ([TF, TORCH], asked(TORCH, TF), ["tf-graph-cpu", "torch-eager-cpu"]),
        # No mode named for the run: the marker's, else the default.
        ([TORCH], asked(COMPILE), ["torch-compile-cpu"]),
        ([TORCH], asked(BackendChoice("torch", ("compile", "eager"))), ["torch-compile-cpu", "torch-eager-cpu"]),
        # Modes named for the run are narrowed by the marker's.
        ([EAGER_AND_COMPILE], asked(), ["torch-eager-cpu", "torch-compile-cpu"]),
        ([EAGER_AND_COMPILE], asked(TORCH), ["torch-eager-cpu", "torch-compile-cpu"]),
        ([EAGER_AND_COMPILE], asked(COMPILE), ["torch-compile-cpu"]),
        ([EAGER], asked(COMPILE), []),
        ([TF], asked(TORCH), []),
        ([], asked(), []),
        ([TF], asked(devices=("cpu", "gpu:0")), ["tf-graph-cpu"]),
        ([TF], asked(devices=("gpu:0",)), []),
        ([TF], asked(dtypes=("float32",)), ["tf-graph-cpu"]),
        ([TF], asked(dtypes=("float64",)), []),
    ],
)
def test_selection(selected: list[BackendChoice], request_: GraphmodeRequest, expected: list[str]) -> None:
    assert ids(registry(*selected), request_) == expected


def test_the_order_is_backend_mode_device_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "devices", lambda self, name: ("cpu", "gpu:0"))
    made = registry(TF, BackendChoice("torch", ("compile", "eager")), dtypes=("float64", "float32"))
    assert ids(made, asked(devices=("gpu:0",))) == [
        "tf-graph-gpu:0-float64",
        "tf-graph-gpu:0",
        "torch-compile-gpu:0-float64",
        "torch-compile-gpu:0",
        "torch-eager-gpu:0-float64",
        "torch-eager-gpu:0",
    ]
    assert ids(registry(TF, devices=("cpu",)), asked()) == ["tf-graph-cpu"]


@pytest.mark.parametrize(
    ("registry_", "request_", "reason"),
    [
        (
            registry(TF),
            asked(COMPILE),
            "its marker asks for backends torch:compile, not tf; run with --graph-backends=torch:compile",
        ),
        (
            registry(TF, EAGER),
            asked(COMPILE),
            "its marker asks for backends torch:compile, not tf,torch:eager; run with --graph-backends=torch:compile",
        ),
        (
            registry(TF),
            asked(BackendChoice("jax")),
            f"its marker asks for backends jax, not tf; {INSTALL} and run with --graph-backends=jax",
        ),
        (
            registry(TF),
            asked(dtypes=("float64",)),
            "its marker asks for dtypes float64, not float32; run with --graph-dtypes=float64",
        ),
        (registry(TF, TORCH), asked(TF, devices=("gpu:0",)), "its marker asks for devices gpu:0 (tf has cpu)"),
        (
            registry(BackendChoice("tf", explicit=False), devices=("gpu:0",)),
            asked(),
            "tf has cpu, --graph-devices=gpu:0",
        ),
    ],
)
def test_the_reason_for_none_says_what_to_do(registry_: Registry, request_: GraphmodeRequest, reason: str) -> None:
    assert select(registry_, request_) == []
    assert reason_for_none(registry_, request_) == f"no variant is left of the selected ones: {reason}"


@pytest.mark.parametrize(
    ("installed", "rest"), [((), ""), (("numpy",), ""), (("jax", "numpy"), " or run with --graph-backends=jax")]
)
def test_without_tensorflow_and_pytorch_others_that_are_there_are_named(
    installed: tuple[str, ...], rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BackendSpec, "installed", property(lambda spec: spec.name in installed))
    assert reason_for_none(registry(), asked()) == (
        "neither TensorFlow nor PyTorch is installed: "
        f"pip install 'pytest-graphmode[tf]' or pip install 'pytest-graphmode[torch]'{rest}"
    )
