"""LSTM, GRU and RNN of torch, from both of its exporters, against torch's own gradient in float64."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import ModelProto
from tests.oracles_torch.quiet import quiet
from torch import Tensor, nn

from whybox_server.graph.gradient import RESULT, SEED, differentiate

ROWS, STEPS, WIDTH, HIDDEN, CLASSES = 3, 4, 6, 5, 3
LEGACY_OPSET = 17
KINDS = {
    "lstm": (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    "gru": (nn.GRU, {"bidirectional": True}),
    "rnn": (nn.RNN, {"nonlinearity": "tanh"}),
}
EXPORTS = [(kind, how) for kind in KINDS for how in ("dynamo", "legacy") if (kind, how) != ("rnn", "dynamo")]
# torch.export fails for nn.RNN with a dynamic batch.


class Reader(nn.Module):
    """Scores from the last state and the mean of all."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        build, given = KINDS[kind]
        self.cell = build(WIDTH, HIDDEN, batch_first=True, **given)
        self.score = nn.Linear(HIDDEN * (2 if given.get("bidirectional") else 1), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.cell(x)
        return self.score(y[:, -1] + y.mean(1))


def exported(net: nn.Module, how: str) -> ModelProto:
    args, file = (torch.zeros(ROWS, STEPS, WIDTH),), io.BytesIO()
    named = {"input_names": ["x"], "output_names": ["y"]}
    with quiet(), redirect_stdout(io.StringIO()):
        if how == "dynamo":
            shapes = ({0: torch.export.Dim("rows")},)
            return torch.onnx.export(
                net, args, dynamo=True, verbose=False, dynamic_shapes=shapes, **named
            ).model_proto
        axes = {"x": {0: "rows", 1: "steps"}, "y": {0: "rows"}}
        torch.onnx.export(
            net, args, file, dynamo=False, opset_version=LEGACY_OPSET, dynamic_axes=axes, **named
        )
    return onnx.load_from_string(file.getvalue())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "how"), EXPORTS)
def test_the_gradient_of_a_recurrence_is_the_one_that_torch_computes(kind, how):
    """Ours in float32 in onnxruntime; it keeps 1e-5 of the largest gradient."""
    torch.manual_seed(0)
    net, rng = Reader(kind).eval(), np.random.default_rng(0)
    gradient = differentiate(exported(net, how), "x")
    session = ort.InferenceSession(gradient.SerializeToString(), providers=["CPUExecutionProvider"])
    x, seed = rng.normal(size=(ROWS, STEPS, WIDTH)), rng.normal(size=(ROWS, CLASSES))
    asked = torch.from_numpy(x).requires_grad_()
    (exact,) = torch.autograd.grad((net.double()(asked) * torch.from_numpy(seed)).sum(), asked)
    (found,) = session.run([RESULT], {"x": x.astype(np.float32), SEED: seed.astype(np.float32)})
    np.testing.assert_allclose(found, exact.numpy(), atol=1e-5 * exact.abs().max().item(), rtol=0)
