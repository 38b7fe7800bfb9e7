"""Attention and embeddings as onnxruntime fuses them, without a cache of past tokens.

Packed layouts, rotary embeddings and masks of other shapes stay as they are, and are refused by name.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.table import rewrites
from whybox_server.graph.gradient.rewrite.vendor import MICROSOFT, SKIP_EPSILON

HIDDEN = -10000.0  # default of what is added to the score of a masked pair


@rewrites(MICROSOFT, "Attention")
def attention(e: Emit, node: Node) -> list[Value] | None:
    """Query, key and value by one product."""
    if node.optional(4) or any(node.outputs[1:]) or node.attr("do_rotary", 0):
        return None
    if not _maskable(e, node.optional(3), node.input):
        return None
    width = e.shape(node.inputs[1])[-1]
    sizes = node.attr("qkv_hidden_sizes", [width // 3] * 3 if isinstance(width, int) else None)
    if not sizes:
        return None
    packed = e.MatMul(node.input, node.inputs[1])
    packed = e.Add(packed, node.inputs[2]) if node.optional(2) else packed
    q, k, v = e.several("Split", 3, packed, sizes, axis=-1)
    heads = node.attr("num_heads", 1)
    return [_attended(e, node, (_split(e, q, heads), _split(e, k, heads), _split(e, v, heads)), (3, 5))]


@rewrites(MICROSOFT, "MultiHeadAttention")
def multi_head_attention(e: Emit, node: Node) -> list[Value] | None:
    """Query, key and value given apart, (n, tokens, width) or, of the last two, by heads."""
    if any(map(node.optional, range(6, 10))) or any(node.outputs[1:]):
        return None
    if not (node.optional(1) and node.optional(2)) or e.rank(node.input) != 3:
        return None
    ranks = {e.rank(x) for x in node.inputs[1:3]}
    if not ranks <= {3, 4} or (ranks != {3} and node.optional(3)):
        return None
    if not _maskable(e, node.optional(4), node.input):
        return None
    parts, heads = [*node.inputs[:3]], node.attr("num_heads", 1)
    if node.optional(3):
        sizes = e.Concat(*(e.length(x, 2, 3) for x in parts), axis=0)
        biases = e.several("Split", 3, node.inputs[3], sizes, axis=0)
        parts = [e.Add(x, bias) for x, bias in zip(parts, biases, strict=True)]
    ranked = zip(parts, node.inputs, strict=False)
    q, k, v = (x if e.rank(given) == 4 else _split(e, x, heads) for x, given in ranked)
    return [_attended(e, node, (q, k, v), (4, 5))]


def _split(e: Emit, x: Value, heads: int) -> Value:
    """(n, tokens, width) -> (n, heads, tokens, width / heads)."""
    return e.Transpose(e.Reshape(x, [0, 0, heads, -1]), perm=[0, 2, 1, 3])


def _attended(e: Emit, node: Node, parts: tuple[Value, Value, Value], masks: tuple[int, int]) -> Value:
    """softmax(Q K' scale + masks) V, its heads put side by side. masks: places of the two inputs."""
    q, k, v = parts
    scale = node.attr("scale", 0.0)
    width = e.CastLike(e.Shape(q, start=3), q)
    scores = e.MatMul(q, e.Transpose(k, perm=[0, 1, 3, 2]))
    scores = e.Mul(scores, float(scale)) if scale else e.Div(scores, e.Sqrt(width))
    mask, bias = (node.optional(place) for place in masks)
    hidden = float(node.attr("mask_filter_value", HIDDEN))
    if mask:
        scores = e.Where(_shown(e, mask, k), scores, e.Add(scores, hidden))
    if node.attr("unidirectional", 0):
        here, there = (
            e.Range(np.array(0), e.Squeeze(e.Shape(x, start=2, end=3), [0]), np.array(1)) for x in (q, k)
        )
        later = e.Greater(there, e.Unsqueeze(here, [1]))  # (tokens, tokens)
        scores = e.Where(later, hidden, scores)
    scores = e.Add(scores, bias) if bias else scores
    mixed = e.Transpose(e.MatMul(e.Softmax(scores, axis=-1), v), perm=[0, 2, 1, 3])
    return e.Reshape(mixed, [0, 0, -1])


def _maskable(e: Emit, mask: Value, x: Value) -> bool:
    """True for no mask, for one number of tokens per row, and for truth values (n, tokens[, tokens])."""
    if not mask or e.rank(mask) in (2, 3):
        return True
    return e.rank(mask) == 1 and e.shape(mask)[0] == e.shape(x)[0] is not None


def _shown(e: Emit, mask: Value, k: Value) -> Value:
    """Which keys are seen, (n, 1, 1 or tokens, tokens)."""
    if e.rank(mask) > 1:
        return e.Unsqueeze(e.Cast(mask, to=TensorProto.BOOL), [1, 2] if e.rank(mask) == 2 else [1])
    places = e.Range(np.array(0), e.Squeeze(e.Shape(k, start=2, end=3), [0]), np.array(1))
    return e.Less(places, e.Unsqueeze(e.Cast(mask, to=TensorProto.INT64), [1, 2, 3]))


@rewrites(MICROSOFT, "EmbedLayerNormalization")
def embeddings(e: Emit, node: Node) -> list[Value]:
    """Words, places and segments are looked up and added; the mask is counted."""
    ids, segments, words, places, kinds, scale, shift = node.inputs[:7]
    count = e.Squeeze(e.Shape(ids, start=1, end=2), [0])
    at = node.optional(8) or e.Range(np.array(0), count, np.array(1))
    total = e.Add(e.Gather(words, ids), e.Gather(places, at))
    total = e.Add(total, e.Gather(kinds, segments)) if kinds else total
    y = e.LayerNormalization(total, scale, shift, axis=-1, epsilon=node.attr("epsilon", SKIP_EPSILON))
    mask = node.optional(7)
    tokens = (
        e.ReduceSum(mask, [1], keepdims=0) if mask else e.Expand(np.array(0, np.int32), e.Shape(ids, end=1))
    )
    return [y, tokens, total]
