"""Torch's networks at their real sizes with random weights, exported once and kept in the temporary folder."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import torch
from tests.oracles_torch.quiet import quiet
from torch import nn

with quiet():
    from torchvision import models

SIDE, CLASSES = 224, 1000
FOLDER = Path(tempfile.gettempdir()) / f"whybox-bench-torch-{torch.__version__}"
VIT_SMALL = {
    "num_layers": 12,
    "num_heads": 6,
    "hidden_dim": 384,
    "mlp_dim": 1536,
}  # Touvron et al. 2021, table 1

BUILD: dict[str, Callable[[], nn.Module]] = {
    "ResNet-18": models.resnet18,
    "MobileNet v2": models.mobilenet_v2,
    "ConvNeXt-tiny": models.convnext_tiny,
    "ViT-small": lambda: models.VisionTransformer(image_size=SIDE, patch_size=16, **VIT_SMALL),
    "ResNet-50": models.resnet50,
    "ViT-base": models.vit_b_16,
}


def network(name: str) -> nn.Module:
    """In evaluation mode, weights frozen: what an explanation asks of torch."""
    torch.manual_seed(0)
    net = BUILD[name]().eval()
    with torch.no_grad():
        for key, tensor in net.named_parameters():
            if key == "heads.head.weight":  # zero at first, and every gradient with it
                tensor.normal_(std=0.02)
    return net.requires_grad_(False)


def exported(name: str) -> Path:
    """For any number of rows, by the exporter that torch takes by default."""
    path = FOLDER / f"{name}.onnx"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        row = torch.zeros(2, 3, SIDE, SIDE)
        shapes = ({0: torch.export.Dim("rows")},)
        with quiet(), redirect_stdout(io.StringIO()):
            program = torch.onnx.export(
                network(name), (row,), dynamo=True, dynamic_shapes=shapes, verbose=False
            )
            program.save(path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    return path


def gradient(net: nn.Module, pictures: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Autograd, forwards and back."""
    leaf = pictures.detach().clone().requires_grad_()
    net(leaf).backward(seed)
    assert leaf.grad is not None
    return leaf.grad
