"""The backends of a run: what a third party may offer, and where devices come from."""

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import pytest_graphmode
from pytest_graphmode import BackendSpec
from pytest_graphmode.backends.base import SourceSpec
from pytest_graphmode.backends.names import parse_device
from pytest_graphmode.backends.specs import BACKENDS
from pytest_graphmode.select.registry import Registry, accelerator_present, gather
from pytest_graphmode.select.settings import BackendChoice, Settings
from tests.project import Project

PROJECT = Path(__file__).parents[2]  # the checkout, also where the package itself is installed elsewhere
GOOD = {
    "name": "mine",
    "modes": ("eager", "fast_math"),
    "default_mode": "eager",
    "module": "json",
    "distributions": ("mine-dist",),
    "target": "mine:Mine",
}


def targets(spec: BackendSpec) -> list[str]:
    return [spec.target, *(source.target for source in spec.sources)]


def test_a_spec_says_what_installs_it() -> None:
    assert BackendSpec(**GOOD).hint == "pip install mine-dist"
    assert BackendSpec(**GOOD, requires="pytest-graphmode[mine]").hint == "pip install 'pytest-graphmode[mine]'"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "my_rt"}, r"BackendSpec\('my_rt'\): name must be a letter followed by letters and digits"),
        ({"name": "my-rt"}, "name must be a letter followed by letters and digits"),
        ({"name": ""}, "name must be a letter followed by letters and digits"),
        ({"name": "all"}, "and not 'all'"),
        ({"modes": ["eager"]}, r"modes must be a tuple, not \['eager'\]"),
        ({"modes": "eager"}, "modes must be a tuple, not 'eager'"),
        ({"modes": ()}, "modes must be different names"),
        ({"modes": ("eager", "eager")}, "modes must be different names"),
        ({"modes": ("eager", "a-b")}, "modes must be different names"),
        ({"default_mode": "jit"}, r"default_mode 'jit' is not one of its modes \(eager, fast_math\)"),
        ({"module": "a.b"}, "module must be a top-level module, not 'a.b'"),
        ({"distributions": ()}, "distributions must name what to install"),
        ({"target": "mine.Mine"}, "target must read 'package.module:Class', not 'mine.Mine'"),
        ({"sources": (SourceSpec(("mine",), "mine"),)}, "target must read 'package.module:Class', not 'mine'"),
        ({"tested": ["2.4", "2.5"]}, "tested must be a tuple"),
        ({"tested": ("2.4",)}, r"tested must be the oldest and the newest version, not \('2.4',\)"),
        ({"tested": ("2.10", "2.9")}, "tested must be the oldest and the newest version"),
        ({"sources": [SourceSpec(("mine",), "mine:A")]}, "sources must be a tuple"),
    ],
)
def test_a_spec_that_could_not_work_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        BackendSpec(**{**GOOD, **changed})  # type: ignore[arg-type]


def test_installed_is_found_out_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "framework_file.py").write_text("raise SystemExit")
    (tmp_path / "framework_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert BackendSpec(**{**GOOD, "module": "framework_file"}).installed
    assert not BackendSpec(**{**GOOD, "module": "framework_folder"}).installed
    assert not BackendSpec(**{**GOOD, "module": "framework_nowhere"}).installed
    assert "framework_file" not in sys.modules


def test_a_blocked_framework_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "json", None)
    assert not BackendSpec(**GOOD).installed


def test_the_version_is_that_of_the_first_distribution_there_is() -> None:
    installed = BackendSpec(**{**GOOD, "distributions": ("no-such-dist", "pytest")})
    assert installed.version == pytest.__version__
    assert BackendSpec(**GOOD).version == "unknown"


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("2.4.0", "2.4.0"),
        ("2.9.1+cpu", "2.9.1+cpu"),
        ("2.15.3", "2.15.3"),
        ("2.15.0.dev20261101", "2.15.0.dev20261101"),
        ("2.16.0", "2.16.0 (newer than the tested 2.15)"),
        ("2.16.0a0+git1", "2.16.0a0+git1 (newer than the tested 2.15)"),
        ("3.0", "3.0 (newer than the tested 2.15)"),
        ("2.3.1", "2.3.1 (older than 2.4, the oldest tested)"),
        ("unknown", "unknown"),
    ],
)
def test_a_version_that_was_not_tested_is_shown_as_such(
    monkeypatch: pytest.MonkeyPatch, version: str, shown: str
) -> None:
    monkeypatch.setattr("pytest_graphmode.backends.installed._version", lambda name: version)
    assert BackendSpec(**GOOD, tested=("2.4", "2.15")).version_shown == shown
    assert BackendSpec(**GOOD).version_shown == version


@pytest.mark.parametrize(
    ("version", "fine"), [("0.4.30", True), ("0.4.29", False), ("0.12.0.1", True), ("0.13", False)]
)
def test_versions_are_compared_as_far_as_they_are_told(
    monkeypatch: pytest.MonkeyPatch, version: str, fine: bool
) -> None:
    monkeypatch.setattr("pytest_graphmode.backends.installed._version", lambda name: version)
    assert (BackendSpec(**GOOD, tested=("0.4.30", "0.12")).version_shown == version) is fine


def test_every_framework_says_which_versions_were_tested() -> None:
    extras = (PROJECT / "pyproject.toml").read_text()
    readme = (PROJECT / "README.md").read_text()
    for spec in BACKENDS[:3]:
        assert f'>={spec.tested[0]}"' in extras
        assert f"{spec.tested[0]} to {spec.tested[1]}" in readme


def test_every_extra_installs_what_a_backend_asks_for() -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    table = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = re.findall(r"^(\w+) =", table, re.MULTILINE)
    for other in ("clock", "html"):  # for check_not_frozen and --graph-html, on any backend
        extras.remove(other)
    assert [f"pytest-graphmode[{extra}]" for extra in extras] == [spec.requires for spec in BACKENDS if spec.requires]


def test_the_builtin_backends() -> None:
    assert [spec.name for spec in BACKENDS] == ["tf", "torch", "jax", "numpy"]


@pytest.mark.parametrize("target", [target for spec in BACKENDS for target in targets(spec)])
def test_what_a_builtin_backend_names_is_there(target: str) -> None:
    # Read, not imported: most of it needs a framework.
    module, _, name = target.partition(":")
    path = Path(pytest_graphmode.__file__).parent.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert re.search(rf"^(class {name}\b|from .* import .*\b{name}\b)", file.read_text(), re.MULTILINE)


# gather


def test_gathered_in_order() -> None:
    mine = BackendSpec(**GOOD)
    assert list(gather([BACKENDS, [mine]])) == [*(spec.name for spec in BACKENDS), "mine"]


@pytest.mark.parametrize("group", [BackendSpec(**GOOD), [BackendSpec], ["mine"], "mine", 3])
def test_anything_but_specs_is_refused(group: object) -> None:
    with pytest.raises(TypeError, match=r"it must return a list of pytest_graphmode\.BackendSpec, not"):
        gather([group])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("toybackend.SPEC", "it must return a list of pytest_graphmode.BackendSpec, not BackendSpec(name='toy', *"),
        (
            "[dataclasses.replace(toybackend.SPEC, name='tf')]",
            "two backends are named 'tf': pytest_graphmode* and toy*:Toy; *a name of its own*",
        ),
        ("[dataclasses.replace(toybackend.SPEC, default_mode='x')]", "*default_mode 'x' is not one of its modes *"),
    ],
)
def test_a_wrong_third_party_is_a_usage_error(toy: Project, returned: str, message: str) -> None:
    toy.makeconftest(f"import dataclasses, toybackend\ndef pytest_graphmode_backends():\n    return {returned}\n")
    toy.run().refuses(f"the hook pytest_graphmode_backends: {message}")


# Devices


class Two:
    def devices(self) -> list[str]:
        return ["cpu", "gpu:0"]


def registry(monkeypatch: pytest.MonkeyPatch, *, accelerator: bool, devices: tuple[str, ...] | None = None) -> Registry:
    monkeypatch.setattr("pytest_graphmode.select.registry.accelerator_present", lambda: accelerator)
    monkeypatch.setattr(BackendSpec, "load", lambda self: Two())
    settings = Settings(backends=(BackendChoice("mine"),), devices=devices)
    return Registry(settings, {"mine": BackendSpec(**GOOD)})


def test_without_an_accelerator_there_is_only_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    made = registry(monkeypatch, accelerator=False)
    assert made.devices("mine") == ("cpu",)
    assert made._loaded == {}


def test_with_an_accelerator_the_backend_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry(monkeypatch, accelerator=True).devices("mine") == ("cpu", "gpu:0")


def test_nothing_is_loaded_where_only_cpu_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = registry(monkeypatch, accelerator=True, devices=("cpu",))
    assert made.devices("mine") == ("cpu",)
    assert made._loaded == {}


def test_an_intel_gpu_that_is_named_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = registry(monkeypatch, accelerator=False, devices=("xpu:0",))
    assert made.devices("mine") == ("cpu", "gpu:0")
    with pytest.raises(ValueError, match=r"there is no xpu:0 here: mine has cpu, gpu:0"):
        made.check_devices()


def test_the_device_of_an_extension_of_torch_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch tells of one once it is imported, and the extension with it."""
    core = SimpleNamespace(_get_privateuse1_backend_name=lambda: "npu")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(_C=core))
    assert registry(monkeypatch, accelerator=False).devices("mine") == ("cpu",)
    with pytest.raises(ValueError, match=r"'npu' is not a device: write cpu, .*, xpu:0 or tpu:0$"):
        parse_device("npu")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(_C=core, npu=object()))
    assert parse_device("npu") == "npu:0"
    assert registry(monkeypatch, accelerator=False).devices("mine") == ("cpu", "gpu:0")
    with pytest.raises(ValueError, match=r"'npx' is not a device: write cpu, .*, xpu:0 or tpu:0, or npu:0$"):
        parse_device("npx")


@pytest.mark.parametrize(
    ("platform", "machine", "nodes", "expected"),
    [
        ("linux", "x86_64", (), False),
        ("linux", "x86_64", ("/dev/nvidiactl",), True),
        ("linux", "x86_64", ("/dev/kfd",), True),
        ("darwin", "arm64", (), True),
        ("darwin", "x86_64", (), False),
        ("win32", "AMD64", (), True),
    ],
)
def test_where_an_accelerator_can_be(
    monkeypatch: pytest.MonkeyPatch, platform: str, machine: str, nodes: tuple[str, ...], expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(os.path, "exists", nodes.__contains__)
    found = accelerator_present()
    monkeypatch.undo()
    assert found is expected
