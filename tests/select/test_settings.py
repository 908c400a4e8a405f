"""Flags and ini values: what they mean, which wins, and how mistakes read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.select.settings import (
    BackendChoice,
    default_backends,
    parse_backends,
    parse_devices,
    parse_dtypes,
    parse_seed,
)
from tests.project import Project


def spec(name: str, *modes: str, module: str = "json") -> BackendSpec:
    return BackendSpec(name, modes, modes[0], module, (f"{name}-dist",), "module:Class", f"pytest-graphmode[{name}]")


SPECS = {
    "tf": spec("tf", "graph", "eager", "session"),
    "torch": spec("torch", "eager", "compile"),
    "jax": spec("jax", "jit", module="no_such_framework"),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tf", [BackendChoice("tf")]),
        (" tf , torch ", [BackendChoice("tf"), BackendChoice("torch")]),
        ("torch,tf", [BackendChoice("torch"), BackendChoice("tf")]),
        ("torch:compile", [BackendChoice("torch", ("compile",))]),
        ("torch:compile+eager", [BackendChoice("torch", ("compile", "eager"))]),
        ("torch:eager,torch:compile", [BackendChoice("torch", ("eager", "compile"))]),
        ("torch:compile,torch", [BackendChoice("torch", ("compile", "eager"))]),
        ("torch,torch", [BackendChoice("torch")]),
        ("torch:eager+eager", [BackendChoice("torch", ("eager",))]),
    ],
)
def test_backends(text: str, expected: list[BackendChoice]) -> None:
    assert parse_backends(text, SPECS) == tuple(expected)


@pytest.mark.parametrize("text", ["all", " all ", "tf,all", "all,torch:compile"])
def test_all_is_every_installed_backend_in_every_mode(text: str) -> None:
    assert [str(choice) for choice in parse_backends(text, SPECS)] == ["tf:graph+eager+session", "torch:eager+compile"]


def test_of_all_those_named_beside_it_are_explicit() -> None:
    assert [choice.explicit for choice in parse_backends("all,torch:compile", SPECS)] == [False, True]


def test_the_default_is_what_is_installed_of_tf_and_torch_in_default_modes() -> None:
    assert [str(choice) for choice in default_backends(SPECS)] == ["tf", "torch"]
    assert [str(choice) for choice in default_backends({**SPECS, "tf": spec("tf", "graph", module="absent")})] == [
        "torch"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keras", "unknown backend 'keras': the backends are tf, torch, jax"),
        ("tf,", None),
        (",", "names no backend: write one of tf, torch, jax, or all"),
        ("", "names no backend: write one of tf, torch, jax, or all"),
        ("tf:jit", "unknown mode 'jit' of tf: its modes are graph, eager, session"),
        ("tf:graph+jit", "unknown mode 'jit' of tf: its modes are graph, eager, session"),
        ("tf:", "unknown mode '' of tf: its modes are graph, eager, session"),
        ("tf,jax", r"jax is not installed: pip install 'pytest-graphmode\[jax\]'"),
        ("all,bogus", "unknown backend 'bogus': the backends are tf, torch, jax"),
        ("bogus,all", "unknown backend 'bogus': the backends are tf, torch, jax"),
        ("all,tf:jit", "unknown mode 'jit' of tf: its modes are graph, eager, session"),
        ("all,jax", r"jax is not installed: pip install 'pytest-graphmode\[jax\]'"),
    ],
)
def test_wrong_backends(text: str, message: str | None) -> None:
    if message is None:
        assert parse_backends(text, SPECS)
        return
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse_backends(text, SPECS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", None),
        ("cpu,all", None),
        ("cpu", ("cpu",)),
        ("cpu:0", ("cpu",)),
        ("cpu:1", ("cpu:1",)),
        ("cuda:0", ("gpu:0",)),
        ("cuda", ("gpu:0",)),
        ("gpu,cuda:1,gpu:0", ("gpu:0", "gpu:1")),
        ("mps,cpu", ("mps", "cpu")),
        (["cpu", "gpu:0"], ("cpu", "gpu:0")),
    ],
)
def test_devices(text: str | list[str], expected: tuple[str, ...] | None) -> None:
    assert parse_devices(text) == expected


def test_dtypes_and_seeds() -> None:
    assert parse_dtypes("float64, float32,float64") == ("float64", "float32")
    assert parse_seed("0") == 0
    assert parse_seed("4294967295") == 2**32 - 1


DTYPES = "the dtypes are float16, bfloat16, float32, float64, complex64, complex128"
SEEDS = "the seed must be an integer from 0 to 4294967295"


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_devices, "gpu0", r"'gpu0' is not a device: write cpu, cpu:1, gpu:0 \(or cuda:0\), mps, xpu:0 or tpu:0"),
        (parse_devices, "cpu,GPU:0", r"'GPU:0' is not a device: .*"),
        (parse_devices, "all,bogus", r"'bogus' is not a device: .*"),
        (parse_devices, "", "names no device: write cpu, gpu:0, ... or all"),
        (parse_dtypes, "float", f"unknown dtype 'float': {DTYPES}"),
        (parse_dtypes, "float32,int32", f"unknown dtype 'int32': {DTYPES}"),
        (parse_dtypes, "", f"names no dtype: {DTYPES}"),
        *((parse_seed, text, f"{SEEDS}.*") for text in ("-1", "1.5", "x", "", "4294967296", "٣")),
    ],
)
def test_wrong_devices_dtypes_and_seeds(parse: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse(text)


# Through pytest.

SHOW = """
    def test_settings(graphmode, request):
        print("RAN", graphmode.variant.id)
"""


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--graph-backends=keras", "unknown backend 'keras': the backends are tf, *toy*"),
        ("--graph-backends=toy:jit", "unknown mode 'jit' of toy: its modes are graph, eager"),
        ("--graph-backends=absent", "absent is not installed: pip install no-such-framework"),
        ("--graph-backends=", "names no backend: write one of tf, *"),
        ("--graph-devices=gpux", "'gpux' is not a device: write cpu, *"),
        ("--graph-dtypes=int8", "unknown dtype 'int8': the dtypes are float16, *"),
        ("--graph-logical-cpus=0", "the number of logical CPUs must be an integer from 1 to 64"),
        ("--graph-logical-cpus=two", "the number of logical CPUs must be an integer from 1 to 64"),
        ("--graph-logical-cpus=65", "the number of logical CPUs must be an integer from 1 to 64"),
        ("--graph-seed=abc", SEEDS),
        ("--graph-label=", "names no environment: write a name like cuda-12, or leave it out"),
        (
            "--graph-compiler=",
            "names no compiler backend: write eager, aot_eager, inductor or another one that torch has",
        ),
    ],
)
def test_a_wrong_option_is_a_usage_error_without_a_traceback(toy: Project, option: str, message: str) -> None:
    toy.run(option).refuses(f"{option}: {message}")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("graph_backends = keras", "graph_backends (in *tox.ini)=keras: unknown backend 'keras': *"),
        ("graph_devices = gpux", "graph_devices (in *tox.ini)=gpux: 'gpux' is not a device: *"),
        (
            "graph_backends = numpy\ngraph_devices = gpu:7",
            "graph_devices (in *tox.ini)=gpu:7: there is no gpu:7 here: *",
        ),
        ("graph_seed = -1", "graph_seed (in *tox.ini)=-1: the seed must be an integer from 0 to 4294967295"),
        ("graph_watch = maybe", "graph_watch (in *tox.ini): invalid truth value 'maybe'"),
        ("graph_report = maybe", "graph_report (in *tox.ini): invalid truth value 'maybe'"),
        ("graph_per_object = 2", "graph_per_object (in *tox.ini): invalid truth value '2'"),
        ("graph_within = a b", "graph_within (in *tox.ini, line 2) 'a b': 'a b' is not a package: *mypackage.models"),
        (
            "graph_tolerances =\n    float32: rtol=1e-4\n    float33: rtol=1e-4",
            "graph_tolerances (in *tox.ini, line 4) 'float33: rtol=1e-4': unknown dtype 'float33': the dtypes are *",
        ),
        (
            "graph_tolerances =\n    float32: rtol=1e-4\n    float32: atol=1e-4",
            "graph_tolerances (in *tox.ini, line 4) 'float32: atol=1e-4': float32 has a line already",
        ),
    ],
)
def test_a_wrong_ini_value_names_its_key_and_file(toy: Project, value: str, message: str) -> None:
    toy.makeini(f"[pytest]\n{value}\n")
    toy.run().refuses(f"{message}")


def test_a_wrong_override_of_an_ini_value_names_it(toy: Project) -> None:
    toy.run("-o", "graph_seed=x").refuses("-o graph_seed=x: the seed must be an integer from 0 to 4294967295")


@pytest.mark.parametrize(
    ("written", "shown"), [("cuda", "cuda (gpu:0)"), ("cpu, cuda:1", "cuda:1 (gpu:1)"), ("cpu,gpu:1", "gpu:1")]
)
def test_a_device_that_is_not_there_is_named_as_it_was_written(toy: Project, written: str, shown: str) -> None:
    toy.run("--graph-backends=toy", f"--graph-devices={written}").refuses(
        f"--graph-devices={written}: there is no {shown} here: toy has cpu"
    )


@pytest.mark.usefixtures("accelerator")
def test_devices_are_enumerated_where_there_is_an_accelerator(toy: Project) -> None:
    toy.write(SHOW)
    result = toy.run("--graph-backends=toy", "--collect-only", "-q")
    result.says("*::test_settings[[]toy-graph-cpu]", "*::test_settings[[]toy-graph-gpu:0]")
    result = toy.run("--graph-backends=toy", "--graph-devices=cuda:0", "--collect-only", "-q")
    result.says("*::test_settings[[]toy-graph-gpu:0]")
    result.omits("*toy-graph-cpu*")


@pytest.mark.usefixtures("accelerator")
def test_a_named_backend_without_any_of_the_named_devices_is_a_usage_error(toy: Project) -> None:
    result = toy.run("--graph-backends=toy,numpy", "--graph-devices=gpu:0")
    result.refuses("--graph-devices=gpu:0: numpy has none of these devices, *: toy has cpu, gpu:0; numpy has cpu")


def test_the_command_line_beats_ini_beats_the_default(toy: Project) -> None:
    toy.write(SHOW)
    toy.makeini("[pytest]\ngraph_backends = toy:eager\ngraph_dtypes = float64\n")
    toy.run("-v", passed=1).says("*::test_settings[[]toy-eager-cpu-float64] PASSED*")
    toy.run("-v", "--graph-backends=numpy", passed=1).says("*::test_settings[[]numpy-eager-cpu-float64] PASSED*")


def test_the_seed_decides_the_random_numbers(toy: Project) -> None:
    toy.write("def test_draw(graphmode):\n    print('DREW', graphmode.rng.random())\n")

    def drawn(*args: str) -> str:
        result = toy.run("-s", "--graph-backends=numpy", *args)
        return next(line for line in result.outlines if "DREW" in line)

    assert drawn() == drawn("--graph-seed=0")
    assert drawn() != drawn("--graph-seed=1")


def test_the_options_are_shown_in_one_group_of_help(project: Project) -> None:
    text = project.run("--help").stdout.str()
    group = text[text.index("graphmode: TensorFlow, PyTorch and JAX variants of tests") :]
    group = group[: group.index("\n\n")]
    options = "backends=SPEC devices=LIST dtypes=LIST seed=N compiler=NAME records=DIR label=NAME watch"
    assert [option for option in options.split() if f"--graph-{option}" not in group] == []
    assert group.count("\n  --graph-") == text.count("\n  --graph-")
    keys = {"string": "backends devices dtypes seed compiler", "bool": "watch report per_object"}
    for kind, names in (keys | {"linelist": "within tolerances"}).items():
        assert [name for name in names.split() if f"  graph_{name} ({kind}):" not in text] == []


def test_the_header_names_backends_versions_devices_and_seed(toy: Project) -> None:
    result = toy.run("--graph-backends=numpy,toy:eager", "--graph-seed=7")
    result.says(f"graphmode: numpy {np.__version__}, toy:eager unknown; devices: cpu; seed: 7")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_header_warns_of_a_version_that_was_not_tested(toy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_graphmode.backends.installed._version", lambda name: "9.9")
    toy.makeconftest("""
        import dataclasses, toybackend

        def pytest_graphmode_backends():
            return [dataclasses.replace(toybackend.SPEC, tested=("1.0", "2.14"))]
    """)
    toy.run("--graph-backends=toy").says("graphmode: toy 9.9 (newer than the tested 2.14); devices: *")


def test_the_header_says_that_no_framework_is_installed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_graphmode.backends.installed.accelerator_present", lambda: True)
    for framework in ("tensorflow", "torch"):
        monkeypatch.setitem(__import__("sys").modules, framework, None)
    result = project.run()
    result.says(
        "graphmode: neither TensorFlow nor PyTorch is installed (*[[]tf]' or *[[]torch]'); devices: all; seed: 0"
    )
