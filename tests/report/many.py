"""Reports of made-up tests, as large as a test wants them: valid by the schema, and made without a framework."""

import math
from typing import Any

Data = dict[str, Any]
STRETCH = {"first_call_seconds": None, "steady_call_seconds": None}
PAYBACK = {
    "against": "tf-eager-cpu",
    "measured": False,
    "build": 0.3,
    "warm_up": 0.0,
    "graph_call": 0.01,
    "eager_call": 0.02,
    "calls": 30,
}
# Where the first of its tests is in a page.
FIRST = "#test=tests/test_0.py::test_net%5B0%5D"
MODES = ("tf-graph", "tf-eager", "torch-compile", "torch-eager")


def report(tests: int = 1, steps: int = 30, nodes: int = 12, name: str = "test_net", text: str = "it failed") -> Data:
    """`tests` tests of four variants, the third of which fails, was built again, and differs from step 11 on."""
    return {
        "schema": 1,
        "run": {"started": 1.7e9, "seconds": 12.5, "finished": True, "exit": 1},
        "environment": {
            "plugin": "0.1.0",
            "pytest": "9.2.0",
            "python": "3.11.2",
            "implementation": "CPython",
            "platform": "linux-x86_64",
            "frameworks": {"torch": {"package": "torch", "version": "2.13.0"}},
            "backends": ["tf:graph+eager", "torch:compile+eager"],
            "devices": None,
            "dtypes": ["float32"],
            "logical_cpus": 1,
            "compiler": None,
            "seed": 0,
        },
        "tests": [_test(f"tests/test_{index // 50}.py::{name}[{index}]", steps, text) for index in range(tests)],
        "graphs": [graph(nodes)],
        "graphs_left_out": 0,
    }


def _test(test: str, steps: int, text: str) -> Data:
    variants = [_variant(test, mode, index, steps, text) for index, mode in enumerate(MODES)]
    pairs = [_pair(f"{mode}-cpu", differs=index == 2) for index, mode in enumerate(MODES) if index]
    agreement = {
        "node": f"{test}[agreement]",
        "outcome": "failed",
        "text": text,
        "failed_at": {"file": "tests/test_0.py", "line": 7},
        "seconds": 0.1,
        "tolerance": {"rtol": None, "atol": None, "by_dtype": {"float32": [1.3e-6, 1e-5]}},
        "verdict": "disagree",
        "pairs": pairs,
    }
    return {"test": test, "file": "tests/test_0.py", "line": 7, "variants": variants, "agreement": agreement}


def _variant(test: str, mode: str, index: int, steps: int, text: str) -> Data:
    backend, _, name = mode.partition("-")
    counts = {"builds": 2, "rebuilds": 1, "breaks": 0, "fallbacks": 0, "nodes": 24, "operations": 12}
    return {
        "shown": f"{mode}-cpu",
        "node": f"{test}[{mode}-cpu]",
        "variant": {"id": f"{mode}-cpu", "backend": backend, "mode": name, "device": "cpu", "dtype": "float32"},
        "outcome": "failed" if index == 2 else "passed",
        "text": text if index == 2 else None,
        "failed_at": {"file": "tests/test_0.py", "line": 9} if index == 2 else None,
        "failed_by": None,
        "seconds": 0.5,
        "counts": {**counts, "builds": 2 + index, "calls": 10, "calls_known": True},
        "modes": {f"{backend}:{name}": counts},
        "build_seconds": 0.3,
        "call_seconds": 0.01 * (index + 1),
        "static": index % 2 == 0,
        "steady_call_seconds": None,
        "warm_up_seconds": None,
        "payback_seconds": PAYBACK if index == 0 else None,
        "events": [_build(f"{backend}:{name}", number) for number in (1, 2)],
        "events_left_out": 0,
        "stretches": [
            {**STRETCH, "begun_seconds": 0.2, "ended_seconds": 0.5, "calls": {"step": 9}, "call_seconds": 0.03},
            {**STRETCH, "begun_seconds": 0.6, "ended_seconds": 0.7, "calls": {"step": 1}, "call_seconds": 0.1},
        ],
        "machinery": 0,
        "breaks": [],
        "fallbacks": [],
        "notes": [],
        "series": [_series("loss", "value", steps, index)],
        "taps": [_series(layer, "rms", 1, index) for layer in ("conv1", "conv2", "dense")],
    }


def _series(name: str, of: str, steps: int, index: int) -> Data:
    values = [math.exp(-step / 20) + 0.1 * (index == 2 and step > 10) for step in range(steps)]
    shape = [] if of == "value" else [8, 8]
    described = {"name": name, "path": name, "dtype": "float32", "shape": shape, "of": of}
    return {**described, "steps": steps, "every": 1, "values": values}


def _pair(shown: str, *, differs: bool) -> Data:
    difference = {
        "name": "loss",
        "step": 11,
        "path": "loss",
        "at": [],
        "kind": "value",
        "difference": 0.1,
        "relative": 0.2,
        "rtol": 1.3e-6,
        "atol": 1e-5,
        "text": f"loss: {shown} 0.68, tf-graph-cpu 0.58: they differ by 0.1",
    }
    errors = {"conv1": 3e-8, "conv2": 0.12 if differs else 2e-8, "dense": 0.4 if differs else 0.0}
    taps = [{"name": name, "error": error, "at": [0, 3], "first_step": 0} for name, error in errors.items()]
    found = {"differences": [difference] if differs else [], "first_tap": "conv2" if differs else None}
    return {"variant": shown, "reference": "tf-graph-cpu", "agrees": not differs, "taps": taps, **found}


def _build(mode: str, number: int) -> Data:
    cause = {
        "kind": "shape",
        "argument": "x",
        "before": "[32, 3]",
        "after": "[7, 3]",
        "hint": "an input_signature with None",
        "text": "x changed shape [32, 3] -> [7, 3]",
    }
    size = 32 if number == 1 else 7
    return {
        "function": "step",
        "location": "tests/test_0.py:3",
        "mode": mode,
        "group": 1,
        "number": number,
        "call_site": "tests/test_0.py:12",
        "signature": f"x: float32[{size}, 3]",
        "arguments": [{"name": "x", "text": f"float32[{size}, 3]", "dtype": "float32", "shape": [size, 3]}],
        "nodes": 12,
        "operations": {"MatMul": number, "Relu": 1},
        "control_flow": {"while": 1},
        "build_seconds": 0.1 * number,
        "causes": [cause] if number > 1 else [],
        "rebuild": number > 1,
        "recorded": False,
        "resumed": False,
        "failed": False,
        "graphless": False,
        "begun_seconds": 0.05 + 0.45 * (number - 1),
        "ended_seconds": 0.15 * number + 0.3 * (number - 1),
        "conditions": {"closes over scale": f"{number}.0", "grad mode": "on"},
        "graph": 0,
    }


def graph(nodes: int) -> Data:
    """A chain whose last node is a loop, with a branch in its body."""
    chain = [
        _node(index, "MatMul" if index else "Placeholder", [index - 1][: bool(index)]) for index in range(nodes - 1)
    ]
    branch = {"true": _body("Relu"), "false": _body("Neg")}
    inner = {"nodes": [_node(0, "Arg", []), {**_node(1, "If", [0]), "bodies": branch}]}
    loop = {**_node(nodes - 1, "While", [nodes - 2]), "bodies": {"cond": _body("Less"), "body": inner}}
    return {"nodes": [*chain, loop]}


def _body(operation: str) -> Data:
    return {"nodes": [_node(0, "Arg", []), _node(1, operation, [0])]}


def _node(index: int, operation: str, inputs: list[int]) -> Data:
    kind = "operation" if inputs else "input"
    named = {"id": index, "operation": operation, "name": f"{operation.lower()}_{index}", "kind": kind}
    return {**named, "inputs": inputs, "dtype": "float32", "shape": [None, 3]}
