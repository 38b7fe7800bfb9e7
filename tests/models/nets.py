"""Small nets of the kinds that people explain, with random weights, in any real type.

Written as ONNX text; nothing here knows the gradients that are tested on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, helper, numpy_helper, parser

SEED = 4


def net(
    body: str,
    inputs: Mapping[str, Sequence[int | str]],
    weights: Mapping[str, np.ndarray],
    *,
    opset: int = 18,
    dtype: type = np.float64,
    ids: Sequence[str] = (),
    outputs: Sequence[str] = ("y",),
) -> ModelProto:
    """The text as a model. ids: names of inputs that hold whole numbers."""
    graph = parser.parse_graph(f"g () => ({', '.join(f'double {name}' for name in outputs)}) {{ {body} }}")
    real = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    whole = helper.np_dtype_to_tensor_dtype(np.dtype(np.int64))
    for output in graph.output:
        output.type.tensor_type.elem_type = real
        output.type.tensor_type.ClearField("shape")
    for name, shape in inputs.items():
        kind = whole if name in ids else real
        graph.input.append(helper.make_tensor_value_info(name, kind, list(shape)))
    for name, array in weights.items():
        cast = array.astype(dtype) if array.dtype.kind == "f" else array
        graph.initializer.append(numpy_helper.from_array(cast, name))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def normal(*shape: int, scale: float = 0.5) -> np.ndarray:
    """The same numbers for the same shape."""
    return np.random.default_rng(sum(shape) + SEED).normal(scale=scale, size=shape)


def mlp(dtype: type = np.float64, opset: int = 18) -> ModelProto:
    """(n, 5) -> (n, 3)."""
    body = "a = Gemm(x, w1, b1) h = Relu(a) z = Gemm<transB=1>(h, w2, b2) y = Softmax(z)"
    weights = {"w1": normal(5, 7), "b1": normal(7), "w2": normal(3, 7), "b2": normal(3)}
    return net(body, {"x": ("n", 5)}, weights, opset=opset, dtype=dtype)


def cnn(dtype: type = np.float64, opset: int = 18) -> ModelProto:
    """Convolutions, batch normalisation, overlapping max pooling, a residual block: (n, 2, 9, 8) -> (n, 3)."""
    body = """
      c1 = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(x, w1, b1)
      n1 = BatchNormalization(c1, s, b, m, v)
      r1 = Relu(n1)
      p1 = MaxPool<kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]>(r1)
      c2 = Conv<pads=[1, 1, 1, 1], group=2>(p1, w2)
      r2 = Relu(c2)
      sum = Add(r2, p1)
      p2 = AveragePool<kernel_shape=[2, 2]>(sum)
      p3 = GlobalAveragePool(p2)
      f = Flatten(p3)
      y = Gemm(f, w3, b3)
    """
    weights = {
        "w1": normal(4, 2, 3, 3),
        "b1": normal(4),
        "s": 1 + normal(4) ** 2,
        "b": normal(4),
        "m": normal(4),
        "v": 0.5 + normal(4) ** 2,
        "w2": normal(4, 2, 3, 3),
        "w3": normal(4, 3),
        "b3": normal(3),
    }
    return net(body, {"x": ("n", 2, 9, 8)}, weights, opset=opset, dtype=dtype)


TOKENS, WIDTH, HEADS = 4, 6, 2

BLOCK = """
  u = LayerNormalization(x, s1, o1)
  qkv = MatMul(u, wqkv)
  split = Reshape(qkv, to_heads)
  t = Transpose<perm=[2, 0, 3, 1, 4]>(split)
  q = Gather(t, zero)
  k = Gather(t, one)
  v = Gather(t, two)
  kt = Transpose<perm=[0, 1, 3, 2]>(k)
  a = MatMul(q, kt)
  scaled = Mul(a, scale)
  p = Softmax(scaled)
  lost = IsNaN(p)
  safe = Where(lost, nothing, p)
  mixed = MatMul(safe, v)
  back = Transpose<perm=[0, 2, 1, 3]>(mixed)
  joined = Reshape(back, to_tokens)
  out = MatMul(joined, wo)
  res = Add(x, out)
  u2 = LayerNormalization(res, s2, o2)
  h = MatMul(u2, w1)
  h1 = Div(h, root)
  h2 = Erf(h1)
  h3 = Add(h2, whole)
  h4 = Mul(h, h3)
  h5 = Mul(h4, half)
  m = MatMul(h5, w2)
  z = Add(res, m)
  cls = Gather<axis=1>(z, zero)
  y = Gemm(cls, wy)
"""


def block_weights() -> dict[str, np.ndarray]:
    return {
        "s1": 1 + normal(WIDTH),
        "o1": normal(WIDTH),
        "s2": 1 + normal(WIDTH),
        "o2": normal(WIDTH),
        "wqkv": normal(WIDTH, 3 * WIDTH),
        "wo": normal(WIDTH, WIDTH),
        "w1": normal(WIDTH, 8),
        "w2": normal(8, WIDTH),
        "wy": normal(WIDTH, 3),
        "to_heads": np.array([0, TOKENS, 3, HEADS, WIDTH // HEADS]),
        "to_tokens": np.array([0, TOKENS, WIDTH]),
        "zero": np.array(0),
        "one": np.array(1),
        "two": np.array(2),
        "scale": np.array((WIDTH / HEADS) ** -0.5),
        "nothing": np.array(0.0),
        "root": np.array(2**0.5),
        "whole": np.array(1.0),
        "half": np.array(0.5),
    }


def attention(dtype: type = np.float64, opset: int = 18) -> ModelProto:
    """A transformer block as exporters write it, read at its first token: (n, 4, 6) -> (n, 3)."""
    return net(BLOCK, {"x": ("n", TOKENS, WIDTH)}, block_weights(), opset=opset, dtype=dtype)


def embedded(dtype: type = np.float64, opset: int = 18) -> ModelProto:
    """The same behind a table of word vectors: whole numbers (n, 4) -> (n, 3)."""
    weights = block_weights() | {"table": normal(9, WIDTH)}
    body = "x = Gather(table, ids)" + BLOCK
    return net(body, {"ids": ("n", TOKENS)}, weights, opset=opset, dtype=dtype, ids=["ids"])
