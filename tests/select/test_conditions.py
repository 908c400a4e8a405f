"""`when=` of the markers: how it reads, what it holds for, and that nothing is imported for it."""

import sys
from typing import Any

import pytest

from pytest_graphmode import BackendSpec, Variant
from pytest_graphmode.select.conditions import Clause, parse, when_holds
from tests.project import Project


def spec(name: str, *distributions: str, module: str = "json") -> BackendSpec:
    return BackendSpec(name, ("eager",), "eager", module, distributions, "module:Class")


SPECS = {
    "tf": spec("tf", "tensorflow", "tensorflow-cpu", module="json"),
    "torch": spec("torch", "torch", module="email"),
    "absent": spec("absent", "absent", module="no_such_framework"),
    "nameless": spec("nameless", "no-such-distribution", module="csv"),
}
VERSIONS = {"tensorflow-cpu": "2.21.0", "torch": "2.13.0+cpu"}


@pytest.fixture(autouse=True)
def _versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_graphmode.backends.installed._version", lambda name: VERSIONS.get(name))


GPU = Variant("torch", "compile", "gpu:1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, True),
        ("torch<2.9", False),
        ("torch>=2.9", True),
        ("torch==2.13.0", True),  # +cpu is the same version
        ("torch==2.13.*", True),
        ("torch~=2.12", True),
        ("torch!=2.13.0", False),
        (" torch >= 2.9 , torch < 2.14 ", True),
        ("torch>=2.9,<2.14", True),
        ("torch>=2.9,<2.13", False),
        ("Torch>=2.9", True),
        ("tf<2.22", True),
        ("tensorflow<2.22", True),  # by whichever distribution it is installed
        ("tensorflow-cpu<2.22", True),
        ("tensorflow_cpu<2.22", True),
        ("tf>=2.21,torch<2.9", False),
        ("absent<9", False),
        ("absent>=0", False),
        ("python>=3.10", True),
        ("python<3.10", False),
        ("python>=3.10,torch>=2.9", True),
        ("device==gpu", True),
        ("device==gpu:1", True),
        ("device==cuda:1", True),
        ("device==gpu:0", False),
        ("device!=gpu", False),
        ("device!=cpu", True),
        ("device==cpu", False),
        (f"platform=={sys.platform}", True),
        (f"platform!={sys.platform}", False),
        ("platform==linux,platform==darwin", False),
    ],
)
def test_it_holds(text: str | None, expected: bool) -> None:
    assert when_holds(text, SPECS, GPU) is expected


def test_a_test_without_variants_is_on_no_device() -> None:
    assert not when_holds("device==cpu", SPECS, None)
    assert when_holds("device!=gpu", SPECS, None)
    assert when_holds("torch>=2.9", SPECS, None)


@pytest.mark.parametrize(("version", "below"), [("2.9.0.dev20250801", False), ("2.9.0a0", False), ("2.8.1", True)])
def test_nightlies_count_as_pep_440_has_it(monkeypatch: pytest.MonkeyPatch, version: str, below: bool) -> None:
    monkeypatch.setitem(VERSIONS, "torch", version)
    assert when_holds("torch<2.9", SPECS, None) is below
    assert when_holds("torch>=2.9.0.dev0", SPECS, None) is not below


@pytest.mark.parametrize(
    ("platform", "text", "expected"),
    [("darwin", "platform==macos", True), ("win32", "platform==windows", True), ("linux", "platform!=macos", True)],
)
def test_platforms_by_the_names_people_use(
    monkeypatch: pytest.MonkeyPatch, platform: str, text: str, expected: bool
) -> None:
    parsed = parse(text, SPECS)
    monkeypatch.setattr(sys, "platform", platform)
    holds = [clause.holds(SPECS, None) for clause in parsed]
    monkeypatch.undo()
    assert holds == [expected]


def test_the_clauses_of_a_framework_have_its_backends_name() -> None:
    assert parse("tensorflow>=2.16,<2.21,device!=cuda", SPECS) == (
        Clause("tf", ">=", "2.16"),
        Clause("tf", "<", "2.21"),
        Clause("device", "!=", "gpu"),
    )


NAMES = "the names are tf, tensorflow, torch, absent, nameless, no-such-distribution, python, platform, device"
PLATFORMS = "the platforms are linux, darwin, macos, win32, windows"
FORM = "write NAME<VERSION, several with commas, like 'torch>=2.4,torch<2.9' or 'platform==linux'"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (2.9, TypeError, "when must be a string like 'torch<2.9', not 2.9"),
        ("keras<3", ValueError, f"when='keras<3': unknown name 'keras': {NAMES}"),
        ("", ValueError, f"when='': '' is no comparison: {FORM}"),
        ("torch", ValueError, f"when='torch': 'torch' is no comparison: {FORM}"),
        ("torch=2.9", ValueError, f"when='torch=2.9': 'torch=2.9' is no comparison: {FORM}"),
        ("torch<", ValueError, f"when='torch<': 'torch<' is no comparison: {FORM}"),
        ("<2.9", ValueError, f"when='<2.9': '<2.9' is no comparison: {FORM}"),
        ("torch<2.9,", ValueError, f"when='torch<2.9,': '' is no comparison: {FORM}"),
        ("torch<2.9 or tf<3", ValueError, f"when='torch<2.9 or tf<3': 'torch<2.9 or tf<3' is no comparison: {FORM}"),
        ("torch<new", ValueError, f"when='torch<new': <new is no version specifier of PEP 440: {FORM}"),
        ("torch<2.9.*", ValueError, f"when='torch<2.9.*': <2.9.* is no version specifier of PEP 440: {FORM}"),
        ("python==three", ValueError, f"when='python==three': ==three is no version specifier of PEP 440: {FORM}"),
        ("platform<linux", ValueError, "when='platform<linux': a platform is == or != another, not <"),
        ("platform==ubuntu", ValueError, f"when='platform==ubuntu': unknown platform 'ubuntu': {PLATFORMS}"),
        ("device>=gpu", ValueError, "when='device>=gpu': a device is == or != another, not >="),
        ("device==npu", ValueError, "'npu' is not a device: write cpu, cpu:1, gpu:0 (or cuda:0), mps, xpu:0 or tpu:0"),
    ],
)
def test_wrong_ones_are_told_with_the_legal_names_or_form(text: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        parse(text, SPECS)
    assert str(caught.value) == message


def test_a_version_that_nobody_knows_is_an_error_and_no_guess() -> None:
    with pytest.raises(ValueError, match="the version of csv is unknown: none of no-such-distribution is installed"):
        when_holds("nameless<3", SPECS, None)


def test_nothing_is_imported_for_it() -> None:
    for framework in ("tensorflow", "torch", "jax"):
        if framework in sys.modules:
            pytest.skip(f"{framework} is imported already")
    from pytest_graphmode.backends.specs import BACKENDS

    when_holds("torch<2.9,tf<3,jax<1", {spec.name: spec for spec in BACKENDS}, None)
    assert not {"tensorflow", "torch", "jax"} & sys.modules.keys()


# On each marker, through pytest. Both conditions are those of the machine at hand.

HERE, ELSEWHERE = "python>=3.10", "python<3.10"


@pytest.mark.parametrize(
    ("marker", "here", "elsewhere"),
    [
        ("graph_skip('numpy', reason='why', when={!r})", {"skipped": 1}, {"failed": 1}),
        ("graph_xfail('numpy', reason='why', when={!r})", {"xfailed": 1}, {"failed": 1}),
        ("graph_skip('toy', reason='why', when={!r})", {"failed": 1}, {"failed": 1}),
    ],
)
def test_skip_and_xfail_apply_when_it_holds(
    toy: Project, marker: str, here: dict[str, int], elsewhere: dict[str, int]
) -> None:
    for when, expected in ((HERE, here), (ELSEWHERE, elsewhere)):
        toy.write(f"""
            @pytest.mark.{marker.format(when)}
            def test_net(graphmode):
                assert graphmode.dtype == "other", {when!r}
        """)
        toy.run("--graph-backends=numpy", **expected)


@pytest.mark.usefixtures("accelerator")
def test_a_device_decides_by_variant(toy: Project) -> None:
    toy.write("""
        @pytest.mark.graph_skip("toy", reason="why", when="device==gpu")
        def test_net(graphmode):
            graphmode.function(lambda x: x)(1)
    """)
    result = toy.run("--graph-backends=toy", "-v", passed=1, skipped=1)
    result.says("*toy-graph-cpu] PASSED*", "*toy-graph-gpu:0] SKIPPED*")


@pytest.mark.parametrize("marker", ["graph_rebuilds(0, when={!r})", "graph_budget(builds=1, when={!r})"])
@pytest.mark.parametrize("argument", ["", "graphmode"])
def test_limits_apply_when_it_holds(toy: Project, marker: str, argument: str) -> None:
    for when, expected in ((HERE, {"failed": 1}), (ELSEWHERE, {"passed": 1})):
        toy.write(f"""
            import toylib

            @pytest.mark.{marker.format(when)}
            def test_net({argument}):
                {f"{argument}.mode" if argument else "None"}
                run = toylib.jit(lambda value: value)
                run(1), run(1.0), {when!r}
        """)
        toy.run("--graph-backends=toy", **expected)


def test_the_closest_limit_that_applies_counts(toy: Project) -> None:
    toy.write(f"""
        import toylib

        @pytest.mark.graph_rebuilds(0)
        class TestNet:
            @pytest.mark.graph_rebuilds(1, when={HERE!r})
            def test_here(self):
                run = toylib.jit(lambda value: value)
                run(1), run(1.0)

            @pytest.mark.graph_rebuilds(1, when={ELSEWHERE!r})
            def test_elsewhere(self):
                run = toylib.jit(lambda value: value)
                run(1), run(1.0)
    """)
    toy.run(passed=1, failed=1).says("FAILED *::test_elsewhere*")


def test_an_agreement_item_is_there_when_it_holds(toy: Project) -> None:
    for when, expected in ((HERE, {"passed": 3}), (ELSEWHERE, {"passed": 2})):
        toy.write(f"""
            @pytest.mark.graph_agree(when={when!r})
            def test_net(graphmode):
                graphmode.agree(value=graphmode.tensor(1.0))
        """)
        toy.run("--graph-backends=numpy,toy:eager", **expected)


@pytest.mark.usefixtures("accelerator")
def test_an_agreement_item_compares_the_variants_it_holds_for(toy: Project) -> None:
    toy.write("""
        @pytest.mark.graph_agree(when="device==cpu")
        def test_net(graphmode):
            graphmode.agree(value=graphmode.tensor(1.0 if graphmode.device == "cpu" else 2.0))
    """)
    toy.run("--graph-backends=numpy,toy:eager", passed=4)


@pytest.mark.parametrize(
    "marker",
    [
        "graph_skip('numpy', reason='why', when='keras<3')",
        "graph_xfail('toy', reason='why', when='keras<3')",
        "graph_rebuilds(0, when='keras<3')",
        "graph_budget(builds=1, when='keras<3')",
        "graph_agree(when='keras<3')",
    ],
)
def test_a_wrong_one_fails_collection(toy: Project, marker: str) -> None:
    toy.write(f"@pytest.mark.{marker}\ndef test_net(graphmode): pass\n")
    result = toy.run("--graph-backends=numpy")
    result.fails_collection(f"*::test_net: @pytest.mark.{marker}: when='keras<3': unknown name 'keras': *")


def test_graphmode_itself_takes_none(toy: Project) -> None:
    toy.write("@pytest.mark.graphmode('numpy', when='torch<2')\ndef test_net(graphmode): pass\n")
    toy.run("--graph-backends=numpy").says("*it has no argument when: it takes backends, devices, dtypes")
