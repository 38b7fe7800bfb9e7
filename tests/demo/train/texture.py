"""Trains `texture`: brick, grass, gravel or plain, on photographs that ship inside scikit-image.

    pip install torch==2.13.0 onnx onnxruntime scikit-image
    python -m tests.demo.train.texture          # from the root of the repository, two minutes on one core

The photographs are 512x512 and grey. Columns up to 288 are for training; the rest is held out, and
the picture of the demo is cut from it. Half of the training pictures are patchworks of two textures
with the shares of their areas as the wanted probabilities, so that the network learns to look at
every place for itself; "plain" (the moon, blurred photographs, flat grey) is what a hidden place looks like.
The network ends in GlobalAveragePool, Gemm and Softmax, as class activation maps require.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from skimage import data
from skimage.filters import gaussian
from tests.demo.train import common
from tests.models.graph import FLOAT, model, node
from torch import nn

LABELS = ("brick", "grass", "gravel", "plain")
SIDE = 224
SPLIT_COLUMN = 288  # 288 columns to train on, 224 held out
STEPS = 220
BATCH = 32
LEARNING_RATE = 4e-3
BLURS = (6.0, 10.0, 20.0)  # sigma in pixels
CROP_SIDES = (176, 286)  # a crop is scaled to SIDE: magnification 1.27 to 0.78
PATCHWORK_GRIDS = (2, 4, 7, 14)  # each divides SIDE
MIN_CONTRAST, MAX_CONTRAST = 0.6, 1.4
MAX_TINT = 0.1

# (output channels, kernel side, stride) of each convolution; 3 channels in.
LAYERS = ((12, 5, 2), (16, 3, 2), (32, 3, 2), (32, 3, 2), (48, 3, 1))


def photographs(*, training: bool) -> list[list[np.ndarray]]:
    """Grey pictures in [0, 1] for each label, cut to the columns of one side of the split."""
    columns = slice(None, SPLIT_COLUMN) if training else slice(SPLIT_COLUMN, None)
    textures = [photo()[:, columns] / 255.0 for photo in (data.brick, data.grass, data.gravel)]
    blurred = [gaussian(texture, sigma) for texture in textures for sigma in BLURS]
    moon = data.moon()[:, columns] / 255.0
    flat = [np.full_like(moon, level) for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return [*([texture] for texture in textures), [moon, *blurred, *flat]]


def crops(
    pictures: list[list[np.ndarray]], labels: np.ndarray, side: int, rng: np.random.Generator
) -> np.ndarray:
    """For each label a random square of one of its pictures, mirrored or not, (n, side, side)."""
    out = np.empty((len(labels), side, side), np.float32)
    for i, label in enumerate(labels):
        picture = pictures[label][rng.integers(len(pictures[label]))]
        top = rng.integers(picture.shape[0] - side + 1)
        left = rng.integers(picture.shape[1] - side + 1)
        out[i] = picture[top : top + side, left : left + side][:, :: rng.choice((-1, 1))]
    return out


def scaled(
    pictures: list[list[np.ndarray]], labels: np.ndarray, rng: np.random.Generator
) -> torch.Tensor:
    """Squares of SIDE at one random magnification, (n, 1, SIDE, SIDE)."""
    squares = torch.from_numpy(crops(pictures, labels, int(rng.integers(*CROP_SIDES)), rng))[:, None]
    return nn.functional.interpolate(squares, (SIDE, SIDE), mode="bilinear", antialias=True)


def patchwork(rng: np.random.Generator) -> torch.Tensor:
    """Which of two textures a pixel shows, (BATCH, 1, SIDE, SIDE) of 0 and 1; every second row is all 0."""
    cells = int(rng.choice(PATCHWORK_GRIDS))
    shares = rng.random((BATCH, 1, 1, 1))
    grid = (rng.random((BATCH, 1, cells, cells)) < shares).astype(np.float32)
    grid[::2] = 0
    return torch.from_numpy(grid).repeat_interleave(SIDE // cells, 2).repeat_interleave(SIDE // cells, 3)


def coloured(grey: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Random contrast, brightness and a slight tint, clipped to [0, 1]: (BATCH, 3, SIDE, SIDE).

    Colour and brightness must not betray the class: only the texture may.
    """
    n = len(grey)
    contrast = rng.uniform(MIN_CONTRAST, MAX_CONTRAST, (n, 1, 1, 1))
    level = rng.uniform(0.3, 0.7, (n, 1, 1, 1))
    tint = rng.uniform(1 - MAX_TINT, 1 + MAX_TINT, (n, 3, 1, 1))
    centred = grey - grey.mean(dim=(2, 3), keepdim=True)
    contrast, level, tint = (torch.from_numpy(factor).float() for factor in (contrast, level, tint))
    return ((centred * contrast + level) * tint).clamp(0, 1)


def training_batch(
    pictures: list[list[np.ndarray]], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (BATCH, 3, SIDE, SIDE) and wanted probabilities (BATCH, labels)."""
    first, second = rng.integers(len(LABELS), size=(2, BATCH))
    mask = patchwork(rng)
    one, other = (coloured(scaled(pictures, labels, rng), rng) for labels in (first, second))
    share = mask.mean(dim=(1, 2, 3))[:, None]
    hot = torch.eye(len(LABELS))
    return one * (1 - mask) + other * mask, hot[first] * (1 - share) + hot[second] * share


class Texture(nn.Module):
    """Convolutions with batch normalisation, global average, one linear layer: logits (n, labels)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, kernel, stride in LAYERS:
            layers += [nn.Conv2d(channels, width, kernel, stride, kernel // 2), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, len(LABELS))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(pictures).mean(dim=(2, 3)))


def train(rng: np.random.Generator) -> Texture:
    """Cross-entropy against the shares of area, Adam, one learning-rate cycle."""
    pictures = photographs(training=True)
    net = Texture()
    optimiser = torch.optim.Adam(net.parameters())
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS)
    for _ in range(STEPS):
        rows, wanted = training_batch(pictures, rng)
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(rows), wanted).backward()
        optimiser.step()
        cycle.step()
    return net.eval()


def to_onnx(net: Texture) -> bytes:
    """The network with batch normalisation folded into the convolutions, ending in Softmax."""
    nodes, weights, at = [], {}, "image"
    for i, (_, kernel, stride) in enumerate(LAYERS):
        conv, norm = net.features[3 * i], net.features[3 * i + 1]
        fused = nn.utils.fuse_conv_bn_eval(conv, norm)
        weights[f"w{i}"], weights[f"b{i}"] = fused.weight.detach().numpy(), fused.bias.detach().numpy()
        nodes += [
            node("Conv", f"{at} w{i} b{i}", f"conv{i}", strides=[stride] * 2, pads=[kernel // 2] * 4),
            node("Relu", f"conv{i}", f"relu{i}"),
        ]
        at = f"relu{i}"
    weights["w"], weights["b"] = net.head.weight.detach().numpy(), net.head.bias.detach().numpy()
    nodes += [
        node("GlobalAveragePool", at, "average"),
        node("Flatten", "average", "flat"),
        node("Gemm", "flat w b", "logits", transB=1),
        node("Softmax", "logits", "probabilities", axis=1),
    ]
    image = {"image": (FLOAT, ("N", 3, SIDE, SIDE))}
    return model(nodes, image, {"probabilities": (FLOAT, ("N", len(LABELS)))}, weights)


def held_out(rng: np.random.Generator, per_label: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Natural-size crops of the held-out columns, (n, 3, SIDE, SIDE), and their labels' indices."""
    labels = np.repeat(np.arange(len(LABELS)), per_label)
    grey = crops(photographs(training=False), labels, SIDE, rng)[:, None]
    return np.repeat(grey, 3, axis=1), labels


def compose() -> None:
    """The picture of the demo: left half brick, right half grass, natural size, held-out columns."""
    half = SIDE // 2
    columns = slice(SPLIT_COLUMN, SPLIT_COLUMN + half)
    halves = [photo()[:SIDE, columns] for photo in (data.brick, data.grass)]
    Image.fromarray(np.hstack(halves)).convert("RGB").save(common.INPUTS / "brick_and_grass.png", optimize=True)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data_bytes = to_onnx(train(np.random.default_rng(0)))
    rows, classes = held_out(np.random.default_rng(1))
    common.report("texture", common.save("texture", data_bytes), accuracy=common.accuracy(data_bytes, rows, classes))
    compose()


if __name__ == "__main__":
    main()
