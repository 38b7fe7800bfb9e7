"""Gradients of whole graphs; oracle: central differences of the original graph in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper
from tests.models.nets import attention, cnn, embedded, mlp, net, normal
from tests.oracles.reference import run

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite, Entry

STEP = 1e-7  # small enough that no ReLU of these nets changes sides
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
RNG = np.random.default_rng(11)
NETS = {"mlp": (mlp, (3, 5)), "cnn": (cnn, (3, 2, 9, 8)), "attention": (attention, (3, 4, 6))}

nets = pytest.mark.parametrize("name", NETS)


def check(model: ModelProto, feeds: dict[str, np.ndarray], wrt: str = "x", of: str = "y") -> np.ndarray:
    """The gradient, after comparing it with differences along random directions."""
    gradient = differentiate(model, wrt, of)
    v = RNG.normal(size=run(model, feeds)[of].shape)
    found = run(gradient, {**feeds, SEED: v})
    np.testing.assert_allclose(found[of], run(model, feeds)[of], rtol=1e-12, atol=1e-12)
    for u in RNG.normal(size=(3, *feeds[wrt].shape)):
        up, down = (run(model, {**feeds, wrt: feeds[wrt] + sign * STEP * u})[of] for sign in (1, -1))
        expected = np.vdot(v, (up - down) / (2 * STEP))
        assert np.vdot(found[RESULT], u) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    return found[RESULT]


@nets
@pytest.mark.parametrize("opset", [18, 21])
def test_the_gradient_of_a_net_is_its_difference_quotient(name, opset):
    """Dense, convolutional with a residual, and attention, at the oldest and newest opset."""
    build, shape = NETS[name]
    check(build(opset=opset), {"x": RNG.normal(size=shape)})


@pytest.mark.parametrize(
    ("build", "opset"), [(mlp, 9), (mlp, 13), (cnn, 9), (cnn, 15), (attention, 17), (mlp, 23)]
)
def test_other_opsets_are_converted_first(build, opset):
    """And the caller's model stays what it was, byte for byte."""
    shape = next(shape for other, shape in NETS.values() if other is build)
    model = build(opset=opset)
    before = model.SerializeToString(deterministic=True)
    check(model, {"x": RNG.normal(size=shape)})
    assert model.SerializeToString(deterministic=True) == before
    assert 18 <= differentiate(model).opset_import[0].version <= 21


@nets
def test_a_batch_is_explained_as_its_rows_are_one_by_one(name):
    """No row's gradient knows its neighbours."""
    build, shape = NETS[name]
    gradient = differentiate(build())
    x, v = RNG.normal(size=shape), RNG.normal(size=(shape[0], 3))
    together = run(gradient, {"x": x, SEED: v})[RESULT]
    alone = [run(gradient, {"x": x[i : i + 1], SEED: v[i : i + 1]})[RESULT] for i in range(len(x))]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-12, atol=1e-14)


@nets
def test_the_runtime_computes_the_same(name):
    """In float32, with all of its optimisations: 1e-5 of the largest gradient."""
    build, shape = NETS[name]
    x, v = RNG.normal(size=shape), RNG.normal(size=(shape[0], 3))
    exact = run(differentiate(build()), {"x": x, SEED: v})[RESULT]
    session = ort.InferenceSession(
        differentiate(build(np.float32)).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (single,) = session.run([RESULT], {"x": x.astype(np.float32), SEED: v.astype(np.float32)})
    np.testing.assert_allclose(single, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("name", ["mlp", "attention"])
def test_the_gradient_of_a_gradient_is_the_second_derivative(name):
    """What is emitted can be differentiated again: <u, J_grad w> against differences of the gradient."""
    build, shape = NETS[name]
    first = differentiate(build())
    x, v = RNG.normal(size=shape), RNG.normal(size=(shape[0], 3))
    second = differentiate(first, "x", RESULT)
    seed, result = second.graph.input[-1].name, second.graph.output[-1].name
    assert (seed, result) != (SEED, RESULT)
    w, u = RNG.normal(size=shape), RNG.normal(size=shape)
    found = run(second, {"x": x, SEED: v, seed: w})[result]
    up, down = (run(first, {"x": x + sign * 1e-6 * u, SEED: v})[RESULT] for sign in (1, -1))
    assert np.vdot(found, u) == pytest.approx(np.vdot(w, (up - down) / 2e-6), rel=1e-5, abs=1e-6)


def test_any_tensor_can_be_the_end_or_the_start():
    """d out / d u of the attention block equals d out / d x of the graph that begins at u."""
    model = attention()
    x, v = RNG.normal(size=(2, 4, 6)), RNG.normal(size=(2, 4, 6))
    inner = run(differentiate(model, "u", "out"), {"x": x, SEED: v})
    later = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(["u"], ["out"])
    u = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(["x"], ["u"])
    start = run(u, {"x": x})["u"]
    np.testing.assert_allclose(
        run(differentiate(later), {"u": start, SEED: v})[RESULT], inner[RESULT], atol=1e-12
    )
    assert {"y", "out"} <= inner.keys(), "the model's own outputs are still there"


def test_text_is_explained_where_it_is_looked_up():
    """Ids have no gradient: the error names the Gather's output, and that has one."""
    model, ids = embedded(), {"ids": RNG.integers(9, size=(2, 4))}
    with pytest.raises(InvalidRequest, match=r"no input holds real numbers; .* looked up as: x"):
        differentiate(model)
    with pytest.raises(InvalidRequest, match="holds no real numbers"):
        differentiate(model, "ids")
    v = RNG.normal(size=(2, 3))
    vectors = run(
        onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(["ids"], ["x"]), ids
    )
    expected = run(differentiate(attention()), {"x": vectors["x"], SEED: v})[RESULT]
    found = run(differentiate(model, "x"), {**ids, SEED: v})[RESULT]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


OPS = [
    "Relu(h)",
    "Tanh(h)",
    "MatMul(h, w)",
    "Add(h, b)",
    "Mul(h, x)",
    "Softmax(h)",
    "Sub(b, h)",
    "Mish(h)",
    "Erf(h)",
]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(OPS), min_size=1, max_size=7))
def test_any_chain_of_rules_is_the_chain_rule(ops):
    """Values that are read several times included."""
    names = ["x", *(f"h{i}" for i in range(len(ops) - 1)), "y"]
    lines = [
        f"{out} = {op.replace('(h', f'({h}').replace(', h', f', {h}')}"
        for h, op, out in zip(names, ops, names[1:], strict=False)
    ]
    model = net(" ".join(lines), {"x": ("n", 4)}, {"w": normal(4, 4), "b": normal(4)})
    check(model, {"x": RNG.normal(size=(2, 4))})


def test_operators_that_onnx_defines_by_others_need_no_rule():
    """Selu, Mish and the like are expanded first, with what their attributes are by default."""
    body = "a = Selu(x) b = Mish(a) c = Softsign(b) d = Shrink<lambd=0.1>(c) y = ReduceSumSquare(d)"
    model = net(body, {"x": (2, 4, 3)}, {}, opset=21)
    assert ("Selu", 6) not in GRADIENT
    check(model, {"x": RNG.normal(size=(2, 4, 3))})


def test_constants_shapes_and_names_for_names_are_folded():
    """As legacy exporters write it: a weight behind an Identity, a reshape to a computed shape."""
    body = """
      w2 = Identity(w) c = Conv(x, w2) s = Shape(c) z = Constant<value_int = 0>() n = Gather(s, z)
      a = Constant<value_ints = [0]>() n1 = Unsqueeze(n, a) rest = Constant<value_ints = [-1]>()
      to = Concat<axis=0>(n1, rest) f = Reshape(c, to) y = MatMul(f, v)
    """
    model = net(body, {"x": (2, 3, 4, 4)}, {"w": normal(2, 3, 3, 3), "v": normal(8, 2)})
    check(model, {"x": RNG.normal(size=(2, 3, 4, 4))})
    ops = {node.op_type for node in differentiate(model).graph.node}
    assert not ops & {"Shape", "Constant", "Gather", "Unsqueeze", "Concat"}


def test_large_weights_keep_their_names_and_numbers():
    """They are set aside while the graph is worked on."""
    model = net("y = MatMul(x, w)", {"x": ("n", 40)}, {"w": normal(40, 50)})
    gradient = differentiate(model)
    assert [entry.name for entry in gradient.graph.input] == ["x", SEED]
    (kept,) = [tensor for tensor in gradient.graph.initializer if tensor.name == "w"]
    assert kept == model.graph.initializer[0]
    check(model, {"x": RNG.normal(size=(2, 40))})


def test_every_node_in_the_way_is_named_at_once():
    """With what is wrong and what still works."""
    body = "a = GridSample(x, g) b = Relu(a) c = Det(b) y = Mul(c, a)"
    with pytest.raises(MethodUnsupported) as refused:
        differentiate(net(body, {"x": (1, 1, 3, 3)}, {"g": normal(1, 3, 3, 2)}))
    said = str(refused.value)
    assert "node 'a': there is no gradient rule for GridSample-16" in said
    assert "node 'c': there is no gradient rule for Det-11" in said
    assert "kernel_shap" in said
    assert refused.value.details["nodes"] == "a, c"


def test_a_loop_is_refused_by_name():
    """Its body is not looked into."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (double[2] x) => (double[2] y) <int64 n = {3}, bool go = {1}>'
        "{ y = Loop<body = b (int64 i, bool c, double[2] h) => (bool d, double[2] k) { d = Identity(c) k = Tanh(h) }>(n, go, x) }"
    )
    with pytest.raises(MethodUnsupported, match="node 'y': there is no gradient rule for Loop-16"):
        differentiate(model)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("i = ArgMax(x) y = Cast<to=11>(i)", r"only through what has no derivative: ArgMax \(node 'i'\)"),
        ("a = Floor(x) y = Mul(a, b)", r"only through what has no derivative: Floor \(node 'a'\)"),
        ("y = Mul(b, b)", "'y' does not depend on 'x'"),
        ("y, m, v = BatchNormalization<training_mode=1>(x, b, b, b, b)", "training mode"),
        ("y, m = Dropout(x, r, t)", "training mode"),
        (
            'y = Resize<keep_aspect_ratio_policy="not_larger">(x, "", "", f)',
            "Resize: keep_aspect_ratio_policy rounds lengths",
        ),
    ],
)
def test_what_has_no_gradient_says_why(body, said):
    """And names the node."""
    weights = {"b": normal(3), "r": np.array(0.5), "t": np.array(True), "f": np.array([3, 4])}
    with pytest.raises(MethodUnsupported, match=said):
        differentiate(net(body, {"x": (2, 3)}, weights))


@pytest.mark.parametrize("opset", [15, 18])
def test_operators_of_other_domains_are_named_with_their_domain(opset):
    """On the path they are refused; beside it they do not matter."""
    model = net("a = MatMul(x, w) y = Relu(a)", {"x": ("n", 3)}, {"w": normal(3, 2)}, opset=opset)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("QuickGelu", ["x"], ["beside"], domain="com.microsoft"))
    assert [node.op_type for node in differentiate(model).graph.node[:2]] == ["MatMul", "Relu"]
    model.graph.node[0].op_type, model.graph.node[0].domain = "MoE", "com.microsoft"
    with pytest.raises(
        MethodUnsupported, match=r"no gradient rule for com\.microsoft\.MoE; use the model as"
    ):
        differentiate(model)


@pytest.mark.parametrize("op", ["Gelu", "NoSuchThing"])
def test_an_operator_that_its_opset_lacks_is_named(op):
    """Such a file is not valid; which node it is helps most."""
    model = net("y = Relu(x)", {"x": ("n", 3)}, {})
    model.graph.node[0].op_type = op
    with pytest.raises(
        MethodUnsupported, match=f"node 'y': there is no gradient rule for {op}, which ONNX lacks"
    ):
        differentiate(model)


def test_branches_beside_the_path_keep_the_weights_they_read():
    """Subgraphs read from outside by name; w is large enough to be set aside."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[n, 40] x, bool c) => (float[n, 40] y, float[40, 50] z) {'
        "y = Tanh(x) z = If<then_branch = t () => (float[40, 50] q) { q = Identity(w) },"
        " else_branch = e () => (float[40, 50] r) { r = Neg(w) }>(c) }"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(normal(40, 50).astype(np.float32), "w"))
    gradient = differentiate(model)
    assert [entry.name for entry in gradient.graph.input] == ["x", "c", SEED]
    session = ort.InferenceSession(gradient.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.zeros((2, 40), np.float32)
    z, dx = session.run(["z", RESULT], {"x": x, "c": np.array(False), SEED: x + 3})
    np.testing.assert_array_equal(z, -normal(40, 50).astype(np.float32))
    np.testing.assert_array_equal(dx, x + 3)


def test_trees_are_piecewise_constant():
    """Whatever the attributes say: the name is enough."""
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1)
    value = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [value("x", 1, ["n", 2])], [value("y", 1, ["n", 1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    with pytest.raises(MethodUnsupported, match="constant between its thresholds"):
        differentiate(model)


def test_names_that_are_not_there_get_the_nearest():
    """And several inputs are listed."""
    with pytest.raises(InvalidRequest, match="did you mean h"):
        differentiate(mlp(), "hh")
    with pytest.raises(InvalidRequest, match="of: the graph has no tensor 'logit'"):
        differentiate(mlp(), of="logit")
    with pytest.raises(InvalidRequest, match="is the tensor that is differentiated"):
        differentiate(mlp(), "y", "y")
    with pytest.raises(InvalidRequest, match="name one of x, b"):
        differentiate(net("y = Mul(x, b)", {"x": (2,), "b": (2,)}, {}))


def test_a_table_can_be_swapped_in_part():
    """Guided backpropagation is one entry: negative gradients stop too."""

    def guided(e, node, dy):
        return [e.Where(e.Greater(node.output, 0.0), e.Relu(dy), 0.0)]

    table = GRADIENT | {("Relu", 14): Entry(guided)}
    model = net("h = Relu(x) y = MatMul(h, w)", {"x": (1, 3)}, {"w": np.array([[1.0], [-1.0], [1.0]])})
    feeds = {"x": np.array([[1.0, 1.0, -1.0]]), SEED: np.ones((1, 1))}
    assert run(differentiate(model), feeds)[RESULT].tolist() == [[1, -1, 0]]
    assert run(differentiate(model, rules=Composite(table)), feeds)[RESULT].tolist() == [[1, 0, 0]]


def test_half_precision_stays_half_precision():
    """Constants are written in the type that each node works in."""
    gradient = differentiate(mlp(np.float16))
    kinds = {tensor.data_type for tensor in gradient.graph.initializer}
    assert kinds <= {TensorProto.FLOAT16, TensorProto.INT64}
    assert gradient.graph.output[-1].type.tensor_type.elem_type == TensorProto.FLOAT16
