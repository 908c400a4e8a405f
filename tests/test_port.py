"""The port in `examples/`: each of the faults that it can have planted is found by name."""

import re
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "test_keras_to_torch.py"


@pytest.mark.slow
def test_each_planted_fault_is_found_by_name(frameworks, project):
    shutil.copy(EXAMPLE, project.path)
    test = project.write("""
        from test_keras_to_torch import FAULTS, run

        @pytest.mark.graphmode(backends="tf:graph,torch:eager")
        @pytest.mark.graph_agree(rtol=1e-5, atol=1e-6, triage=False)
        @pytest.mark.parametrize("fault", [None, *FAULTS])
        def test_fault(graphmode, fault):
            print(FAULTS)
            run(graphmode, fault)
    """)
    result = project.run(test, "-p", "no:cacheprovider", backends="tf,torch", passed=11, failed=4)
    first = re.findall(
        r"^  `(\w+)`(?:, in step \d+,)? is the first tap that differs", result.stdout.str(), re.MULTILINE
    )
    assert first == ["conv1", "bn1", "cell", "softmax"]
