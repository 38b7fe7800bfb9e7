"""Exports of the families by both of torch's exporters, and their gradients, by torch and by us."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import ModelProto
from tests.oracles_torch.families import FAMILIES, WORDS, inputs, network
from tests.oracles_torch.quiet import quiet
from torch import Tensor, nn

from whybox_server.graph.gradient import RESULT, SEED, differentiate

LEGACY_OPSET = 17
EXPORTERS = ("dynamo", "legacy")
# aten::_native_multi_head_attention, the fast path of torch's own attention, has no legacy export.
EXPORTS = [(name, how) for name in FAMILIES for how in EXPORTERS if (name, how) != ("vit", "legacy")]


@cache
def exported(name: str, how: str) -> ModelProto:
    """For any number of rows. how: an exporter; or "unmerged", with batch normalisations as they were."""
    net, args = network(name), inputs(name, 0)
    names = ["ids", "mask"] if FAMILIES[name].words else ["x"]
    file = io.BytesIO()
    with quiet(), redirect_stdout(io.StringIO()):
        if how == "dynamo":
            shapes = tuple({0: torch.export.Dim("rows")} for _ in args)
            program = torch.onnx.export(
                net,
                args,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=["y"],
                dynamic_shapes=shapes,
            )
            return program.model_proto
        kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
        torch.onnx.export(
            net,
            args,
            file,
            **(kept if how == "unmerged" else {}),
            dynamo=False,
            opset_version=LEGACY_OPSET,
            input_names=names,
            output_names=["y"],
            dynamic_axes={key: {0: "rows"} for key in [*names, "y"]},
        )
    return onnx.load_from_string(file.getvalue())


def start_of(model: ModelProto) -> str:
    """What is differentiated by: the picture, or the words as they are looked up."""
    tables = {tensor.name for tensor in model.graph.initializer if list(tensor.dims)[:1] == [WORDS]}
    lookups = [node for node in model.graph.node if node.op_type == "Gather" and node.input[0] in tables]
    return lookups[0].output[0] if lookups else "x"


class Gradient:
    """The gradient of a model, in onnxruntime."""

    def __init__(self, model: ModelProto, level: str = "ORT_ENABLE_ALL") -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        gradient = differentiate(model, start_of(model))
        self.session = ort.InferenceSession(
            gradient.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, args: Sequence[Tensor], seed: np.ndarray) -> np.ndarray:
        names = [entry.name for entry in self.session.get_inputs() if entry.name != SEED]
        feeds = {key: arg.numpy() for key, arg in zip(names, args, strict=True)}
        return self.session.run([RESULT], {**feeds, SEED: seed.astype(np.float32)})[0]


@cache
def gradient(name: str, how: str) -> Gradient:
    return Gradient(exported(name, how))


def by_torch(name: str, args: Sequence[Tensor], seed: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Autograd, by the picture or by the output of the word embedding."""
    net, kept = network(name).to(dtype), []
    args = [arg.to(dtype, copy=True).requires_grad_() if arg.is_floating_point() else arg for arg in args]
    for module in net.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == WORDS:
            module.requires_grad_(True)
            module.register_forward_hook(lambda module, args, y: kept.append(y) or y.retain_grad())
    with quiet():
        net(*args).backward(torch.from_numpy(seed).to(dtype))
    return (kept[0] if kept else args[0]).grad.numpy()
