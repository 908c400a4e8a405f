"""The contract about a backend as a whole: what it says of itself, devices, global state, seeds."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_graphmode.backends.names import parse_device
from pytest_graphmode.testing.contract import Contract, backend_of, mode_of, supported

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle


class EnvironmentContract(Contract):
    def test_it_is_what_its_spec_says(self, graphmode: Handle) -> None:
        backend, mode = backend_of(graphmode), mode_of(graphmode)
        assert (backend.name, mode.name) == (self.spec.name, graphmode.mode)
        assert [backend.mode(name, graphmode.device).name for name in self.spec.modes] == list(self.spec.modes)
        assert not mode.inside(), "at top level nothing is inside of a function"
        assert isinstance(backend.gradients, bool)
        assert isinstance(backend.traces_python, bool)
        assert isinstance(mode.static, bool)
        assert graphmode.lib.__name__.partition(".")[0] == self.spec.module

    def test_the_id_names_the_variant(self, graphmode: Handle, request: pytest.FixtureRequest) -> None:
        parts = [graphmode.backend, graphmode.mode, graphmode.device]
        assert graphmode.variant.id in ("-".join(parts), "-".join([*parts, graphmode.dtype]))
        assert graphmode.variant.id in request.node.name

    def test_devices_have_the_names_of_the_plugin(self, graphmode: Handle) -> None:
        devices = list(backend_of(graphmode).devices())
        assert graphmode.device in devices
        assert [parse_device(device) for device in devices] == devices
        assert len(set(devices)) == len(devices)

    def test_global_state_is_given_back(self, graphmode: Handle) -> None:
        """After an error too."""
        before = self.state(graphmode)
        for raised in (None, KeyError):
            with suppress(KeyError), backend_of(graphmode).isolate():
                self.disturb(graphmode)
                assert self.state(graphmode) != before, "Contract.disturb changed nothing that Contract.state looks at"
                if raised is not None:
                    raise raised
            assert self.state(graphmode) == before

    def test_a_seed_repeats_random_numbers(self, graphmode: Handle) -> None:
        backend = backend_of(graphmode)
        drawn = []
        for seed in (7, 7, 2**31 - 1):
            backend.seed(seed)
            drawn.append(np.asarray(graphmode.numpy(self.random(graphmode))))
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert not np.array_equal(drawn[0], drawn[2]), "another seed gave the same random numbers"

    def test_float64_is_there_or_refused(self, graphmode: Handle) -> None:
        with supported(), graphmode.runtime.using_dtype("float64"):
            made = graphmode.numpy(graphmode.tensor(0.1))
        assert made.dtype == np.float64
        assert float(made) == 0.1, "precision was lost on the way"
