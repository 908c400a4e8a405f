"""PyTorch: eager, where every forward pass records a new autograd graph, and torch.compile."""

from pytest_graphmode.backends.torch.backend import Torch

__all__ = ["Torch"]
