"""Trains `events`: nothing, a pulse or a ripple, somewhere in one of three noisy channels.

    pip install torch==2.13.0 onnx onnxruntime
    python -m tests.demo.train.events           # from the root of the repository, half a minute on one core

No series ship inside a wheel, so they are made: coloured noise in every channel, and an event in one
of them at a random time. Which channel and when is no evidence; the shape is. A small convolutional
network with a global maximum reads them. The series of the demo has a pulse in channel "b" at steps 70 to 85.
"""

from __future__ import annotations

import numpy as np
import torch
from tests.demo.train import common
from tests.models.graph import FLOAT, model, node
from torch import nn

LABELS = ("nothing", "pulse", "ripple")
CHANNELS = ("a", "b", "c")
STEPS_OF_TIME = 128
EVENT_STEPS = 16
AMPLITUDE = 4.0
NOISE_MEMORY = 0.8  # of the autoregressive noise
BACKGROUND_ROWS = 60
DEMO_CHANNEL, DEMO_START = 1, 70
BATCH, ROUNDS, LEARNING_RATE = 64, 1000, 5e-3
LAYERS = ((16, 9), (24, 9))  # output channels, kernel


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """First-order autoregressive noise of unit variance, (count, channels, time)."""
    white = rng.normal(size=(count, len(CHANNELS), STEPS_OF_TIME)) * np.sqrt(1 - NOISE_MEMORY**2)
    for step in range(1, STEPS_OF_TIME):
        white[..., step] += NOISE_MEMORY * white[..., step - 1]
    return white.astype(np.float32)


def shape_of(label: int) -> np.ndarray:
    """(EVENT_STEPS,): flat, one bump, or a fast oscillation under the same bump."""
    time = np.linspace(0, 1, EVENT_STEPS, dtype=np.float32)
    bump = AMPLITUDE * np.sin(np.pi * time)
    return (0 * bump, bump, bump * np.cos(np.pi * np.arange(EVENT_STEPS)))[label].astype(np.float32)


def series(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Series (count, channels, time) and their labels' indices (count,)."""
    rows, labels = noise(count, rng), rng.integers(len(LABELS), size=count)
    starts = rng.integers(STEPS_OF_TIME - EVENT_STEPS, size=count)
    for row, label, channel, start in zip(rows, labels, rng.integers(len(CHANNELS), size=count), starts, strict=True):
        row[channel, start : start + EVENT_STEPS] += shape_of(label)
    return rows, labels


class Events(nn.Module):
    """Each channel alone through the same convolutions, the strongest response anywhere, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, LAYERS[0][0], (1, LAYERS[0][1]), padding=(0, LAYERS[0][1] // 2))
        self.second = nn.Conv2d(LAYERS[0][0], LAYERS[1][0], (1, LAYERS[1][1]), padding=(0, LAYERS[1][1] // 2))
        self.head = nn.Linear(LAYERS[1][0], len(LABELS))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        found = torch.relu(self.second(torch.relu(self.first(rows[:, None]))))
        return self.head(found.amax(dim=(2, 3)))


def train(rng: np.random.Generator) -> Events:
    net = Events()
    optimiser = torch.optim.Adam(net.parameters(), LEARNING_RATE)
    for _ in range(ROUNDS):
        rows, labels = series(BATCH, rng)
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(torch.from_numpy(rows)), torch.from_numpy(labels)).backward()
        optimiser.step()
    return net.eval()


def to_onnx(net: Events) -> bytes:
    """(N, channels, time) to probabilities."""
    weights = {"axis": np.array([1], np.int64)}
    for name, layer in (("first", net.first), ("second", net.second), ("head", net.head)):
        weights[f"{name}_w"], weights[f"{name}_b"] = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    nodes = [
        node("Unsqueeze", "series axis", "planes"),
        node("Conv", "planes first_w first_b", "c1", pads=[0, LAYERS[0][1] // 2] * 2),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 second_w second_b", "c2", pads=[0, LAYERS[1][1] // 2] * 2),
        node("Relu", "c2", "r2"),
        node("GlobalMaxPool", "r2", "strongest"),
        node("Flatten", "strongest", "flat"),
        node("Gemm", "flat head_w head_b", "logits", transB=1),
        node("Softmax", "logits", "probabilities", axis=1),
    ]
    return model(
        nodes,
        {"series": (FLOAT, ("N", len(CHANNELS), STEPS_OF_TIME))},
        {"probabilities": (FLOAT, ("N", len(LABELS)))},
        weights,
    )


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = to_onnx(train(np.random.default_rng(0)))
    rows, labels = series(2000, np.random.default_rng(1))
    common.report("events", common.save("events", data), accuracy=common.accuracy(data, rows, labels))
    common.save_background("events", series(BACKGROUND_ROWS, np.random.default_rng(3))[0])
    shown = noise(1, np.random.default_rng(2))[0]
    shown[DEMO_CHANNEL, DEMO_START : DEMO_START + EVENT_STEPS] += shape_of(LABELS.index("pulse"))
    np.save(common.INPUTS / "event.npy", shown)


if __name__ == "__main__":
    main()
