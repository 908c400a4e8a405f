"""A port from Keras to torch, layer by layer: a convolutional network with batch norm, and an LSTM over its rows.

`tap_layers` records what every layer of either model returns, under names that both have. While the outputs agree that
decides nothing; when they don't, the agreement item says at which layer it begins. `FAULTS` are four mistakes that
such ports are known for, each with the layer it is in: put one in the place of None below to see it found.
"""

import pytest

FAULTS = {"padding": "conv1", "epsilon": "bn1", "gate order": "cell", "axis": "softmax"}
CHANNELS, UNITS, CLASSES = 4, 3, 5


def weights(rng):
    """For each layer those of Keras, in Keras' layout."""

    def normal(*shape):
        return rng.standard_normal(shape).astype("float32") / 2

    def batch_norm():
        return [1 + normal(CHANNELS), normal(CHANNELS), normal(CHANNELS), 1 + normal(CHANNELS) ** 2]

    return {
        "conv1": [normal(3, 3, 1, CHANNELS), normal(CHANNELS)],
        "bn1": batch_norm(),
        "conv2": [normal(3, 3, CHANNELS, CHANNELS), normal(CHANNELS)],
        "bn2": batch_norm(),
        "cell": [normal(CHANNELS, 4 * UNITS), normal(UNITS, 4 * UNITS), normal(4 * UNITS)],
        "head": [normal(UNITS, CLASSES), normal(CLASSES)],
    }


def keras_model(weights):
    import keras
    from keras import layers, ops

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv1 = layers.Conv2D(CHANNELS, 3, strides=2, padding="same")
            self.bn1 = layers.BatchNormalization()
            self.conv2 = layers.Conv2D(CHANNELS, 3, padding="same")
            self.bn2 = layers.BatchNormalization()
            self.cell = layers.LSTMCell(UNITS)
            self.head = layers.Dense(CLASSES)
            self.softmax = layers.Softmax()

        def call(self, image):
            x = ops.relu(self.bn1(self.conv1(image)))
            x = ops.relu(self.bn2(self.conv2(x)))
            rows = ops.mean(x, axis=2)
            state = [ops.zeros((image.shape[0], UNITS))] * 2
            for row in range(rows.shape[1]):
                _, state = self.cell(rows[:, row], state)
            return self.softmax(self.head(state[0]))

    net = Net()
    net(ops.zeros((1, 8, 8, 1)))
    for name, values in weights.items():
        getattr(net, name).set_weights(values)
    return net


def torch_model(weights, fault=None):
    import torch
    from torch import nn

    class ChannelsLast:
        """Layers that get and give the channels as the last axis, so that their outputs are those of Keras' layers."""

        def forward(self, x):
            return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    class Conv2d(ChannelsLast, nn.Conv2d):
        pass

    class SameConv2d(Conv2d):
        """Keras' padding="same" of an even length in steps of two: nothing before, one behind."""

        def forward(self, x):
            return super().forward(nn.functional.pad(x, (0, 0, 0, 1, 0, 1)))

    class BatchNorm2d(ChannelsLast, nn.BatchNorm2d):
        pass

    class LSTMCell(nn.LSTMCell):
        def forward(self, x, state):
            h, c = super().forward(x, state)
            return h, [h, c]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            epsilon = 1e-5 if fault == "epsilon" else 1e-3
            if fault == "padding":
                self.conv1 = Conv2d(1, CHANNELS, 3, stride=2, padding=1)
            else:
                self.conv1 = SameConv2d(1, CHANNELS, 3, stride=2)
            self.norm1 = BatchNorm2d(CHANNELS, epsilon)
            self.conv2 = Conv2d(CHANNELS, CHANNELS, 3, padding="same")
            self.norm2 = BatchNorm2d(CHANNELS, epsilon)
            self.cell = LSTMCell(CHANNELS, UNITS)
            self.head = nn.Linear(UNITS, CLASSES)
            self.softmax = nn.Softmax(dim=0 if fault == "axis" else -1)

        def forward(self, image):
            x = torch.relu(self.norm1(self.conv1(image)))
            x = torch.relu(self.norm2(self.conv2(x)))
            rows = x.mean(2)
            state = [image.new_zeros(len(image), UNITS)] * 2
            for row in rows.unbind(1):
                _, state = self.cell(row, state)
            return self.softmax(self.head(state[0]))

    def gates(values):
        """Keras has the gates in the order input, forget, cell, output; torch has them so too."""
        parts = torch.tensor(values).chunk(4, -1)
        return torch.cat([parts[0], parts[2], parts[1], parts[3]] if fault == "gate order" else parts, -1)

    net = Net().eval()
    with torch.no_grad():
        for layer, values in ((net.conv1, weights["conv1"]), (net.conv2, weights["conv2"])):
            layer.weight.copy_(torch.tensor(values[0]).permute(3, 2, 0, 1))
            layer.bias.copy_(torch.tensor(values[1]))
        for layer, values in ((net.norm1, weights["bn1"]), (net.norm2, weights["bn2"])):
            parts = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
            for part, value in zip(parts, values, strict=True):
                part.copy_(torch.tensor(value))
        net.cell.weight_ih.copy_(gates(weights["cell"][0]).T)
        net.cell.weight_hh.copy_(gates(weights["cell"][1]).T)
        net.cell.bias_ih.copy_(gates(weights["cell"][2]))
        net.cell.bias_hh.zero_()
        net.head.weight.copy_(torch.tensor(weights["head"][0]).T)
        net.head.bias.copy_(torch.tensor(weights["head"][1]))
    return net


def run(graphmode, fault=None):
    make, names = graphmode.pick(
        tf=(keras_model, None),
        torch=(lambda values: torch_model(values, fault).to(graphmode.native_device), {"norm1": "bn1", "norm2": "bn2"}),
    )
    net = make(weights(graphmode.rng))
    graphmode.tap_layers(net, names)
    image = graphmode.rng.standard_normal((2, 8, 8, 1))

    def loss(image):
        return -graphmode.xp.sum(graphmode.xp.log(net(image)[:, 0]))

    value, gradient = graphmode.value_and_grad(loss)(image)
    graphmode.agree(loss=value, gradient=gradient)


@pytest.mark.graphmode(backends="tf:graph+eager+xla,torch:eager+compile")
@pytest.mark.graph_agree(rtol=1e-5, atol=1e-6)
def test_port(graphmode):
    run(graphmode, None)
