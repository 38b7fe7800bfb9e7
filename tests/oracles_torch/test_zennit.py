"""Relevance, guided backpropagation and deconvnet against zennit, on the module that was exported.

zennit is an oracle only: its results are compared, its code (GPL) is not read into ours. It runs in
float64, ours in float32 in onnxruntime: 1e-5 of the largest relevance is asked.
"""

from __future__ import annotations

import copy
import io
from contextlib import redirect_stdout
from functools import cache

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables import composite

torch = pytest.importorskip("torch")
quiet = pytest.importorskip("tests.oracles_torch.quiet").quiet
with quiet():
    pytest.importorskip("torchvision")
    zennit = pytest.importorskip("zennit")
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    from zennit import composites
    from zennit.attribution import Gradient
    from zennit.layer import Sum

BOX = {"low": -3.0, "high": 3.0}
TABLES = {
    "epsilon_plus": (composites.EpsilonPlus, {}),
    "epsilon_plus_flat": (composites.EpsilonPlusFlat, {}),
    "epsilon_alpha2_beta1": (composites.EpsilonAlpha2Beta1, {}),
    "epsilon_alpha2_beta1_flat": (composites.EpsilonAlpha2Beta1Flat, {}),
    "epsilon_gamma_box": (composites.EpsilonGammaBox, BOX),
    "excitation_backprop": (composites.ExcitationBackprop, {}),
}
GATES = {"guided_backprop": composites.GuidedBackprop, "deconvnet": composites.DeconvNet}


class Plain(nn.Sequential):
    """Overlapping and average pools, strides, groups, a GELU."""

    def __init__(self, activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(6, 8, 3, stride=2, groups=2),
            activation(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8, 7),
            nn.ReLU(),
            nn.Linear(7, 5),
        )


class Residual(nn.Module):
    """Batch normalisation behind convolutions, a shortcut, a dilation, global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8)
        self.relu1, self.pool1 = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8)
        self.sum, self.relu2 = Sum(), nn.ReLU()
        self.conv3, self.relu3 = nn.Conv2d(8, 12, 3, padding=2, dilation=2, bias=False), nn.ReLU()
        self.pool3, self.mean = nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)
        self.flat, self.head = nn.Flatten(), nn.Linear(12, 5)

    def forward(self, x):
        x = self.pool1(self.relu1(self.norm1(self.conv1(x))))
        x = self.relu2(self.sum(torch.stack([self.norm2(self.conv2(x)), x], -1)))
        return self.head(self.flat(self.mean(self.pool3(self.relu3(self.conv3(x))))))


class Tokens(nn.Module):
    """Dense layers on three axes, which exporters write as MatMul and Add; a SiLU, a Tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 9), nn.Linear(9, 4), nn.Linear(4, 5)
        self.silu, self.tanh = nn.SiLU(), nn.Tanh()

    def forward(self, x):
        return self.c(self.tanh(self.b(self.silu(self.a(x)))))[:, 0]


NETS = {
    "plain": (Plain, (4, 3, 14, 14)),
    "residual": (Residual, (4, 3, 24, 24)),
    "tokens": (Tokens, (4, 3, 6)),
}


def network(name):
    """With numbers that are not those of initialisation, where means are zero and scales one."""
    torch.manual_seed(4)
    net = NETS[name][0]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
        if getattr(module, "bias", None) is not None:
            nn.init.normal_(module.bias, std=0.3)
    return net.eval()


def canonical(net):
    """Batch normalisations merged into convolutions, without zennit's own way, which rounds a little."""
    net = copy.deepcopy(net).double()
    for number in (1, 2):
        if hasattr(net, f"norm{number}"):
            conv, norm = getattr(net, f"conv{number}"), getattr(net, f"norm{number}")
            setattr(net, f"conv{number}", fuse_conv_bn_eval(conv, norm))
            setattr(net, f"norm{number}", nn.Identity())
    return net


@cache
def exported(name, how):
    net, x = network(name), torch.zeros(*NETS[name][1])
    file = io.BytesIO()
    with quiet(), redirect_stdout(io.StringIO()):
        if how == "dynamo":
            shapes = ({0: torch.export.Dim("rows")},)
            return torch.onnx.export(net, (x,), dynamo=True, verbose=False, dynamic_shapes=shapes).model_proto
        names = {"input_names": ["x"], "output_names": ["y"]}
        axes = {"x": {0: "rows"}, "y": {0: "rows"}}
        torch.onnx.export(net, (x,), file, dynamo=False, opset_version=17, dynamic_axes=axes, **names)
    return onnx.load_from_string(file.getvalue())


def ours(model, x, seed, rules):
    graph = differentiate(model, rules=rules)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (name, *_) = [entry.name for entry in session.get_inputs() if entry.name != SEED]
    feeds = {name: x.float().numpy(), SEED: seed.float().numpy()}
    return session.run([RESULT], feeds)[0]


def theirs(net, x, seed, rules):
    with quiet(), Gradient(net, rules) as attributor:
        return attributor(x, seed)[1].detach().numpy()


def compare(name, how, table, rules, relevance):
    twin = canonical(network(name))
    x = torch.randn(*NETS[name][1], dtype=torch.float64).clamp(-3, 3)
    with torch.no_grad():
        scores = twin(x)
    seed = nn.functional.one_hot(scores.argmax(1), 5).double()
    expected = theirs(twin, x, seed * scores if relevance else seed, rules)
    found = ours(exported(name, how), x, seed, table)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


CASES = [
    (net, table, how)
    for net in NETS
    for table in TABLES
    for how in ("legacy", "dynamo")
    if table != "excitation_backprop" or net == "residual"
]


@pytest.mark.parametrize(("net", "table", "how"), CASES)
def test_relevance_is_that_of_zennit(net, table, how):
    """Excitation backpropagation where it is defined: with other activations than rectifiers, zennit falls
    back to their gradient, and we pass relevance on.
    """
    rules, options = TABLES[table]
    compare(net, how, composite("lrp", {"composite": table, **options}), rules(**options), relevance=True)


@pytest.mark.parametrize("table", GATES)
@pytest.mark.parametrize("net", ["plain", "residual"])
def test_gated_gradients_are_those_of_zennit(net, table):
    """Other activations than rectifiers keep their gradient."""
    compare(net, "legacy", composite(table), GATES[table](), relevance=False)
