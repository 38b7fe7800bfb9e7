"""Which rule each operator follows.

What is linear in all that may depend on the explained tensor keeps the gradient's rule. What is neither
here nor defined by ONNX through operators that are, is refused by name.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from whybox_server.core.errors import InvalidRequest
from whybox_server.graph.gradient.facts import Facts
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.path import Path
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite, Layer, Table, Test
from whybox_server.graph.gradient.tables.deeplift import elementwise, line, norms, products, winners
from whybox_server.graph.gradient.tables.deeplift.difference import RULES, entries
from whybox_server.graph.gradient.tables.deeplift.reveal_cancel import rectified

SUMS = ("Add", "CumSum", "Mean", "Neg", "ReduceMean", "ReduceSum", "Sub", "Sum")
SCALES = ("AveragePool", "BatchNormalization", "Cast", "CastLike", "GlobalAveragePool", "Resize")
SHAPES = ("DepthToSpace", "Dropout", "Expand", "Flatten", "Identity", "Reshape", "SpaceToDepth", "Squeeze")
MOVES = ("Compress", "Concat", "Gather", "GatherElements", "GatherND", "Pad", "ReverseSequence", "Slice")
MORE_MOVES = ("ScatterElements", "ScatterND", "Split", "Tile", "Transpose", "Trilu", "Unsqueeze")
LINEAR = frozenset({*SUMS, *SCALES, *SHAPES, *MOVES, *MORE_MOVES})
# Kept with the gradient at the instance, which leaves a gap that the answer shows: what is picked may not
# be what is picked on the reference; rounding to whole numbers is passed straight through.
APPROXIMATE = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "MaxUnpool", "QuantizeLinear", "TopK"})

KINDS = (elementwise, line, norms, products, winners)  # importing them fills RULES
KEPT: Table = {key: entry for key, entry in GRADIENT.items() if key[0] in LINEAR | APPROXIMATE}
TABLE: Table = {**KEPT, **entries(RULES)}

PARAMETRIC = frozenset(
    {"BatchNormalization", "Clip", "InstanceNormalization", "LayerNormalization", "PRelu", "Pow"}
)
DENSE, CONVOLUTIONS = ("Gemm", "MatMul"), ("Conv", "ConvTranspose")
LAYERS = {"rescale": (), "genomics": rectified(*DENSE), "reveal_cancel": rectified(*DENSE, *CONVOLUTIONS)}
RULE_NAMES = tuple(LAYERS)


def _triple(facts: Facts, node: Node, path: Path) -> bool:
    """True for a product of three or more values that depend on what is explained."""
    return sum(x in path.values for x in node.inputs) > 2


def _parametric(facts: Facts, node: Node, path: Path) -> bool:
    """True if not only the first input depends on what is explained."""
    return any(x in path.values for x in node.inputs[1:])


def _combines(facts: Facts, node: Node, path: Path) -> bool:
    """True for an operator that multiplies, or takes the larger of, what is there and what is written."""
    return node.attr("reduction", "none") not in {"none", "add"}


def _refusal(picks: Test, reason: str, *ops: str) -> Layer:
    """These operators are refused where the test picks them."""
    refused = {key: replace(entry, refuses=lambda facts, node: reason) for key, entry in TABLE.items()}
    return Layer(picks, {key: entry for key, entry in refused.items() if key[0] in ops})


REFUSALS = (
    _refusal(_parametric, "DeepLIFT has no rule for parameters that are explained", *PARAMETRIC),
    _refusal(_triple, "DeepLIFT has no rule for three factors; multiply them in turn", "Einsum"),
    _refusal(_combines, "DeepLIFT has no rule for its reduction", "ScatterElements", "ScatterND"),
)


def DEEPLIFT(rule: str = "rescale") -> Composite:  # noqa: N802  a table, as the others
    """rescale: dy / dx everywhere (section 3.5.2). reveal_cancel: positive and negative parts apart where
    a rectifier alone reads a linear layer (3.5.3). genomics: that after dense layers, rescale after
    convolutions, as the authors advise for convolutional nets.

    Raises InvalidRequest for another rule.
    """
    if rule not in LAYERS:
        near = get_close_matches(rule, LAYERS, n=3, cutoff=0)
        raise InvalidRequest.of("rule", f"DeepLIFT has no rule {rule!r}; did you mean {' or '.join(near)}?")
    return Composite(TABLE, (*LAYERS[rule], *REFUSALS), twin=True, title="DeepLIFT multiplier")
