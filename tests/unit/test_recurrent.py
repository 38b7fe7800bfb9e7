"""Gradients of recurrent networks; oracle: central differences of a slow recurrence in float64."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto
from tests.models.sequences import GATES, STEPS, sequence
from tests.oracles.reference import run

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.differentiate import PLAIN
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite
from whybox_server.graph.gradient.tables.relu import GUIDED
from whybox_server.graph.walk import nodes_in

STEP = 1e-6
RNG = np.random.default_rng(3)
OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads, OPTIONS.log_severity_level = 1, 3
LENGTHS = (5, 2, 4)
FORMS = {
    "LSTM plain": ("LSTM", {"bias": False, "initial": False}),
    "LSTM reverse": ("LSTM", {"direction": "reverse", "lengths": LENGTHS}),
    "LSTM both ways": ("LSTM", {"direction": "bidirectional", "lengths": LENGTHS, "peepholes": True}),
    "LSTM peepholes": ("LSTM", {"peepholes": True, "clip": 0.25}),
    "LSTM coupled": ("LSTM", {"input_forget": 1}),
    "LSTM functions": (
        "LSTM",
        {
            "direction": "bidirectional",
            "activations": ["HardSigmoid", "Softsign", "Elu", "Sigmoid", "LeakyRelu", "Softplus"],
            "activation_alpha": [0.25, 0.75],
            "activation_beta": [0.375],
        },
    ),
    "GRU": ("GRU", {}),
    "GRU linear": ("GRU", {"linear_before_reset": 1, "direction": "bidirectional", "lengths": LENGTHS}),
    "GRU clip": ("GRU", {"clip": 0.625, "direction": "reverse"}),
    "GRU functions": (
        "GRU",
        {
            "activations": ["HardSigmoid", "ScaledTanh"],
            "activation_alpha": [0.25, 0.75],
            "activation_beta": [0.5, 0.625],
        },
    ),
    "RNN": ("RNN", {"direction": "bidirectional", "lengths": LENGTHS}),
    "RNN affine": ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.125]}),
    "RNN threshold": ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.25], "bias": False}),
    "RNN relu": ("RNN", {"activations": ["Relu"], "clip": 0.875}),
}
BATCH_FIRST = {
    "LSTM batch first": ("LSTM", {"layout": 1, "direction": "bidirectional", "lengths": LENGTHS}),
    "GRU batch first": ("GRU", {"layout": 1, "direction": "reverse"}),
}
forms = pytest.mark.parametrize("form", FORMS)


def session(model: ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])


def joined(model: ModelProto, feeds: dict[str, np.ndarray]) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """With all real inputs, and all outputs, in one vector each."""
    node, value, graph = onnx.helper.make_node, onnx.helper.make_tensor_value_info, model.graph
    real = {name: array for name, array in feeds.items() if array.dtype.kind == "f"}
    flat = {name: np.array(array.shape) for name, array in real.items()}
    flat |= {"sizes": np.array([array.size for array in real.values()]), "line": np.array([-1])}
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, f"{name}_to") for name, array in flat.items()
    )
    before = [node("Split", ["every", "sizes_to"], [f"{name}_in" for name in real], axis=0)]
    before += [node("Reshape", [f"{name}_in", f"{name}_to"], [name]) for name in real]
    outputs = [entry.name for entry in graph.output]
    after = [node("Reshape", [name, "line_to"], [f"{name}_out"]) for name in outputs]
    after += [node("Concat", [f"{name}_out" for name in outputs], ["all"], axis=0)]
    nodes = [*before, *graph.node, *after]
    others = [entry for entry in graph.input if entry.name not in real]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend([value("every", TensorProto.DOUBLE, [int(flat["sizes"].sum())]), *others])
    graph.output.append(value("all", TensorProto.DOUBLE, None))
    rest = {name: array for name, array in feeds.items() if name not in real}
    return model, rest | {"every": np.concatenate([array.ravel() for array in real.values()])}


@pytest.mark.parametrize("form", FORMS | BATCH_FIRST)
def test_all_outputs_have_their_gradient_with_respect_to_all_inputs_and_weights(form):
    """And what is asked with the same numbers gives the recurrence's very scores."""
    op, given = (FORMS | BATCH_FIRST)[form]
    model, feeds = joined(*sequence(op, weights=True, **given))
    exact = run(model, feeds)["all"]
    v, u = RNG.normal(size=exact.shape), RNG.normal(size=(3, *feeds["every"].shape))
    found = run(differentiate(model), {**feeds, SEED: v})
    np.testing.assert_allclose(found["all"], exact, atol=1e-12)
    for one in u:
        up, down = (
            run(model, {**feeds, "every": feeds["every"] + sign * STEP * one})["all"] for sign in (1, -1)
        )
        expected = np.vdot(v, (up - down) / (2 * STEP))
        assert np.vdot(found[RESULT], one) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@forms
def test_the_scores_are_those_of_the_operator_itself(form):
    """In the runtime, that has kernels of its own for LSTM, GRU and RNN: clips and defaults are the same."""
    op, given = FORMS[form]
    model, feeds = sequence(op, dtype=np.float32, **given)
    names = [entry.name for entry in model.graph.output]
    expected = dict(zip(names, session(model).run(names, feeds), strict=True))
    gradient = session(differentiate(model, "x"))
    seed = np.zeros_like(expected["y"])
    for name, found in zip(names, gradient.run(names, {**feeds, SEED: seed}), strict=True):
        np.testing.assert_allclose(found, expected[name], atol=2e-6)


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize("op", GATES)
def test_the_runtime_computes_the_same_gradient(op, opset):
    """With weights large enough to be set aside; float32 keeps 1e-5 of the largest gradient."""
    given = {"hidden": 20, "lengths": LENGTHS, "direction": "bidirectional", "opset": opset}
    model, feeds = sequence(op, **given)
    v = RNG.normal(size=run(model, feeds)["y"].shape)
    exact = run(differentiate(model, "x"), {**feeds, SEED: v})[RESULT]
    model, feeds = sequence(op, dtype=np.float32, **given)
    (single,) = session(differentiate(model, "x")).run([RESULT], {**feeds, SEED: v.astype(np.float32)})
    np.testing.assert_allclose(single, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("op", GATES)
def test_a_row_knows_neither_its_neighbours_nor_what_comes_after_its_end(op):
    """Explained alone, cut to its length, a row has the same gradient; after its end it is 0."""
    model, feeds = sequence(op, direction="bidirectional", lengths=LENGTHS)
    gradient = differentiate(model, "x")
    v = RNG.normal(size=run(model, feeds)["y"].shape)
    together = run(gradient, {**feeds, SEED: v})[RESULT]
    for row, length in enumerate(LENGTHS):
        one = {name: each[..., row : row + 1, :] for name, each in feeds.items() if name != "lengths"}
        one |= {"x": one["x"][:length], "lengths": np.array([length], np.int32)}
        alone = run(gradient, {**one, SEED: v[:length, :, row : row + 1]})[RESULT]
        np.testing.assert_allclose(together[:length, row], alone[:, 0], rtol=1e-12, atol=1e-14)
        assert not together[length:, row].any()
    assert max(LENGTHS) == STEPS


@pytest.mark.parametrize("op", GATES)
def test_the_gradient_of_the_gradient_is_the_second_derivative(op):
    """A Scan's gradient is made of Scans, that have one themselves."""
    model, feeds = sequence(op, direction="bidirectional", lengths=LENGTHS)
    first = differentiate(model, "x", "h")
    second = differentiate(first, "x", RESULT)
    seed, result = second.graph.input[-1].name, second.graph.output[-1].name
    v, (w, u) = RNG.normal(size=run(model, feeds)["h"].shape), RNG.normal(size=(2, *feeds["x"].shape))
    found = run(second, {**feeds, SEED: v, seed: w})[result]
    up, down = (run(first, {**feeds, "x": feeds["x"] + sign * STEP * u, SEED: v})[RESULT] for sign in (1, -1))
    assert np.vdot(found, u) == pytest.approx(np.vdot(w, (up - down) / (2 * STEP)), rel=1e-6, abs=1e-7)


def test_a_function_that_runtimes_take_differently_is_refused():
    """Without an alpha, ThresholdedRelu's is 1 by the specification and 0 in onnxruntime."""
    for name in ("ThresholdedRelu", "Wavelet"):
        model, _ = sequence("RNN", activations=[name])
        with pytest.raises(MethodUnsupported, match="node 'cell': there is no gradient rule for RNN-14"):
            differentiate(model, "x")


def test_what_has_no_rule_is_named_inside_too():
    """In a body, in a branch inside of it, and beside them, all at once."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        g (double[n, 3] h, double[t, n, 3] x, bool c) => (double[n, 3] y) {
          a = Scan<num_scan_inputs=1, body = f (p, q) => (o) {
            k = Sin(p)
            m = If<then_branch = t () => (r) { r = Mul(q, k) }, else_branch = e () => (s) { s = Cos(k) }>(c)
            beside = Cos(q)
            o = Add(m, beside)
          }>(h, x)
          y = Cos(a)
        }"""
    )
    few = {key: entry for key, entry in GRADIENT.items() if key[0] not in {"Sin", "Cos"}}
    with pytest.raises(MethodUnsupported) as refused:
        differentiate(model, "h", rules=Composite(few))
    assert refused.value.details["nodes"] == "k, s, y"
    assert differentiate(model, "h").graph.output[-1].name == RESULT


def test_a_gradient_of_zero_is_said_so():
    """A path outside, but none inside: the state is overwritten by what stops gradients."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        g (double[n, 3] h, double[t, n, 3] x) => (double[n, 3] y) {
          y = Scan<num_scan_inputs=1, body = f (p, q) => (o) { k = Sign(p) o = Mul(k, k) }>(h, x)
        }"""
    )
    feeds = {"h": RNG.normal(size=(2, 3)), "x": RNG.normal(size=(4, 2, 3)), SEED: np.ones((2, 3))}
    for name in ("h", "x"):
        assert not run(differentiate(model, name), feeds)[RESULT].any()


def test_operators_inside_are_expanded_and_constants_found():
    """As outside: Mish has no rule of its own, and a Slice wants to see its bounds."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        g (double[n, 3] h, double[t, n, 3] x) => (double[n, 3] y) <int64[1] last = {2}> {
          first = Constant<value_ints=[0]>()
          y = Scan<num_scan_inputs=1, body = f (p, q) => (o) {
            axis = Constant<value_ints=[1]>()
            three = Constant<value_ints=[3]>()
            k = Mish(p)
            m = Slice(k, first, last, axis)
            r = Slice(q, first, last, axis)
            s = Slice(q, last, three, axis)
            a = Mul(m, r)
            o = Concat<axis=1>(a, s)
          }>(h, x)
        }"""
    )
    feeds = {"h": RNG.normal(size=(2, 3)), "x": RNG.normal(size=(4, 2, 3))}
    gradient = differentiate(model, "x")
    v, u = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 2, 3))
    up, down = (run(model, {**feeds, "x": feeds["x"] + sign * STEP * u})["y"] for sign in (1, -1))
    found = run(gradient, {**feeds, SEED: v})[RESULT]
    assert np.vdot(found, u) == pytest.approx(np.vdot(v, (up - down) / (2 * STEP)), rel=1e-6, abs=1e-7)
    assert "Range" not in {node.op_type for node in nodes_in(gradient.graph)}, "positions are not followed"


def test_another_table_holds_inside_too():
    """Guided backpropagation in a recurrence: negative gradients stop at its Relu."""
    model, feeds = sequence("RNN", activations=["Relu"])
    v = RNG.normal(size=run(model, feeds)["y"].shape)
    plain, guided = (
        run(differentiate(model, "x", rules=one), {**feeds, SEED: v})[RESULT] for one in (PLAIN, GUIDED)
    )
    assert np.abs(plain - guided).max() > 0.01
    ways = run(differentiate(model, "x", rules=GUIDED), {**feeds, SEED: -np.abs(v)})[RESULT]
    assert not ways.any()


def test_of_what_only_its_shape_is_needed_only_the_shape_is_kept():
    """A mean's gradient is spread over what there was: how much that was is kept, not its numbers."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        g (double[n, 1] h, double[t, n, m] x) => (double[n, 1] y) <int64[1] last = {1}> {
          y = Scan<num_scan_inputs=1, body = f (p, q) => (o) {
            wide = Add(p, q)
            mean = ReduceMean(wide, last)
            o = Neg(mean)
          }>(h, x)
        }"""
    )
    feeds = {"h": RNG.normal(size=(2, 1)), "x": RNG.normal(size=(4, 2, 5)), SEED: RNG.normal(size=(2, 1))}
    gradient = differentiate(model, "x")
    forward = gradient.graph.node[0]
    gradient.graph.output.extend(onnx.ValueInfoProto(name=name) for name in forward.output[1:])
    found = run(gradient, feeds)
    assert {found[name].shape for name in forward.output[1:]} == {(4,), (4, 2)}, "sizes and shapes of steps"
    expected = [(-1 / 5) * feeds[SEED] * (-1) ** back for back in (3, 2, 1, 0)]
    np.testing.assert_allclose(found[RESULT], np.stack(expected) + np.zeros((4, 2, 5)), atol=1e-12)
