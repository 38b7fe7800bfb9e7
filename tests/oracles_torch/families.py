"""One network per family, small and with random weights: built from configurations, nothing downloaded.

The classes are torchvision's and transformers' own; only widths, depths and image sizes are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tests.oracles_torch.quiet import quiet
from torch import Tensor, nn

with quiet():
    import transformers
    from torchvision import models
    from torchvision.models.convnext import CNBlockConfig
    from torchvision.models.efficientnet import MBConvConfig
    from torchvision.models.mobilenetv3 import InvertedResidualConfig
    from torchvision.models.regnet import BlockParams
    from torchvision.models.resnet import BasicBlock
    from torchvision.models.vgg import make_layers

CLASSES, SIDE, TOKENS, WORDS, WIDTH = 10, 32, 6, 99, 16
SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {**SMALL, "vocab_size": WORDS, "num_labels": CLASSES}


@dataclass(frozen=True)
class Family:
    """build: the network. words: whether it reads ids and a mask, not a picture."""

    build: Callable[[], nn.Module]
    words: bool = False


class Logits(nn.Module):
    """A classifier of transformers that answers with a plain tensor."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.net(input_ids=ids, attention_mask=mask).logits


def vgg() -> nn.Module:
    """Without the 400 MB of its usual head."""
    head = nn.Sequential(nn.Linear(16 * 4, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, CLASSES))
    layers = make_layers([8, "M", 16, 16, "M"], batch_norm=True)
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), head)


def mobilenet_v2() -> nn.Module:
    """The first two of its seven settings: with and without expansion, stride and shortcut."""
    return models.MobileNetV2(CLASSES, 0.25, [[1, 16, 1, 1], [6, 24, 2, 2]])


def mobilenet_v3() -> nn.Module:
    """Blocks of every kind: rectified or hard swish, with squeeze and excitation or without, with a shortcut or not."""
    blocks = [
        InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 0.5),
        InvertedResidualConfig(16, 3, 48, 24, False, "RE", 2, 1, 0.5),
        InvertedResidualConfig(24, 3, 48, 24, False, "RE", 1, 1, 0.5),
        InvertedResidualConfig(24, 5, 96, 40, True, "HS", 2, 1, 0.5),
        InvertedResidualConfig(40, 5, 96, 40, True, "HS", 1, 1, 0.5),
    ]
    return models.MobileNetV3(blocks, last_channel=64, num_classes=CLASSES)


def efficientnet() -> nn.Module:
    blocks = [
        MBConvConfig(1, 3, 1, 8, 8, 1, 1.0, 1.0),
        MBConvConfig(4, 5, 2, 8, 16, 2, 1.0, 1.0),
    ]
    return models.EfficientNet(blocks, dropout=0.2, last_channel=32, num_classes=CLASSES)


def convnext() -> nn.Module:
    return models.ConvNeXt([CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 2)], num_classes=CLASSES)


def regnet() -> nn.Module:
    blocks = BlockParams.from_init_params(depth=4, w_0=16, w_a=16.0, w_m=2.0, group_width=8, se_ratio=0.25)
    return models.RegNet(blocks, num_classes=CLASSES)


def vit() -> nn.Module:
    return models.VisionTransformer(
        image_size=SIDE,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=CLASSES,
    )


def swin() -> nn.Module:
    """Windows of 4 on 8 x 8 patches, shifted in the second block, and on 4 x 4, where there is nothing to shift."""
    return models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=8,
        depths=[2, 1],
        num_heads=[2, 2],
        window_size=[4, 4],
        num_classes=CLASSES,
    )


def bert() -> nn.Module:
    return Logits(transformers.BertForSequenceClassification(transformers.BertConfig(**TEXT)))


def roberta() -> nn.Module:
    return Logits(transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**TEXT)))


def distilbert() -> nn.Module:
    config = transformers.DistilBertConfig(
        vocab_size=WORDS, dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=32, num_labels=CLASSES
    )
    return Logits(transformers.DistilBertForSequenceClassification(config))


FAMILIES = {
    "resnet": Family(lambda: models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)),
    "vgg_bn": Family(vgg),
    "densenet": Family(lambda: models.DenseNet(8, (2, 2, 2), 16, num_classes=CLASSES)),
    "mobilenet_v2": Family(mobilenet_v2),
    "mobilenet_v3": Family(mobilenet_v3),
    "efficientnet": Family(efficientnet),
    "convnext": Family(convnext),
    "regnet": Family(regnet),
    "vit": Family(vit),
    "swin": Family(swin),
    "bert": Family(bert, words=True),
    "distilbert": Family(distilbert, words=True),
    "roberta": Family(roberta, words=True),
}


def network(name: str) -> nn.Module:
    """In evaluation mode, its numbers drawn anew: as they are initialised, heads and means are zero."""
    torch.manual_seed(0)
    net = FAMILIES[name].build().eval()
    with torch.no_grad():
        for key, tensor in net.state_dict().items():
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif key.endswith(("running_mean", "bias", "layer_scale", "class_token", "pos_embedding")):
                tensor.normal_(std=0.2)
            elif "head" in key or "classifier" in key:
                tensor.normal_(std=0.1)
    return net.requires_grad_(False)


def inputs(name: str, seed: int, rows: int = 3) -> tuple[Tensor, ...]:
    """A picture; or ids and a mask, whose last token is hidden in the first row."""
    torch.manual_seed(seed)
    if not FAMILIES[name].words:
        return (torch.randn(rows, 3, SIDE, SIDE),)
    mask = torch.ones(rows, TOKENS, dtype=torch.int64)
    mask[0, -1] = 0
    return torch.randint(2, WORDS, (rows, TOKENS)), mask
