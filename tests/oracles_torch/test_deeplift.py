"""DeepLIFT on real exports: completeness for every family, and captum where captum is right.

captum 0.9 is not complete where a maximum pool overlaps its windows or stands beside a rectifier, and its
softmax looks at the whole batch (issues 1104 and 1276); such nets are left to completeness.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto
from tests.models.runtime import single
from tests.oracles.reference import run
from tests.oracles_torch.exports import EXPORTS, exported
from tests.oracles_torch.families import CLASSES, FAMILIES, inputs
from tests.oracles_torch.quiet import quiet
from torch import Tensor, nn

from whybox_server.core.rows_probed import REFERENCE
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables.deeplift import DEEPLIFT
from whybox_server.graph.gradient.twin import REFERENCE_SCORE

EXPORTER = dict(EXPORTS)  # the last one listed: legacy but for ViT
PICTURES = [name for name, family in FAMILIES.items() if not family.words]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "rule"), [*((name, "rescale") for name in PICTURES), ("resnet", "reveal_cancel")]
)
def test_contributions_of_every_family_sum_to_the_difference_of_scores(name, rule):
    """From a black picture, in float32: 1e-4 of the difference, and a few ulps of scores that hardly differ."""
    rng, (x,) = np.random.default_rng(3), inputs(name, 5)
    seed = rng.normal(size=(len(x), CLASSES))
    model = differentiate(exported(name, EXPORTER[name]), "x", rules=DEEPLIFT(rule))
    found = single(model, {"x": x.numpy(), REFERENCE: np.zeros_like(x), SEED: seed})
    given = (found[RESULT].astype(float) * x.numpy()).reshape(len(x), -1).sum(axis=1)
    expected = (seed * (found["y"].astype(float) - found[REFERENCE_SCORE])).sum(axis=1)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(seed * found["y"]).sum(axis=1).max()
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-4 * np.abs(expected).max() + rounding)


class Residual(nn.Module):
    """Convolutions, a batch normalisation, a residual, several nonlinearities."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()
        self.second, self.norm, self.tanh = (
            nn.Conv2d(6, 6, 3, padding=1, groups=2),
            nn.BatchNorm2d(6),
            nn.Tanh(),
        )
        self.pool, self.dense, self.sigmoid = nn.AvgPool2d(2), nn.Linear(96, 5), nn.Sigmoid()
        self.last = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.first(x))
        h = h + self.tanh(self.norm(self.second(h)))
        return self.last(self.sigmoid(self.dense(self.pool(h).flatten(1))))


def dense() -> nn.Module:
    layers = [nn.Linear(6, 9), nn.Softplus(), nn.Linear(9, 9), nn.LeakyReLU(0.1), nn.Linear(9, 9), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(9, 4))


def model_of(net: nn.Module, x: Tensor) -> ModelProto:
    file = io.BytesIO()
    with quiet(), redirect_stdout(io.StringIO()):
        torch.onnx.export(
            net, (x,), file, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"]
        )
    return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize(("build", "shape"), [(Residual, (4, 3, 8, 8)), (dense, (5, 6))])
def test_captum_gives_the_same_multipliers(build, shape):
    """Both in float64: 1e-6 of the largest contribution."""
    captum = pytest.importorskip("captum.attr")
    torch.manual_seed(2)
    net, x, reference = (
        build().double().eval(),
        torch.randn(shape).double(),
        torch.randn(shape).double() * 0.3,
    )
    with quiet():
        expected = captum.DeepLift(net).attribute(x, reference, target=2).detach().numpy()
    feeds = {"x": x.numpy(), REFERENCE: reference.numpy(), SEED: np.eye(4)[[2] * len(x)]}
    found = run(differentiate(model_of(net, x), rules=DEEPLIFT()), feeds)[RESULT]
    np.testing.assert_allclose(found * (x - reference).numpy(), expected, atol=1e-6 * np.abs(expected).max())
