"""Scores led back inside loaded models; oracle: the derivative of the same arithmetic, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto
from tests.models.graph import f32, model, node

import whybox
from whybox_server.api.spec import from_spec, to_spec
from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.probe import Probe
from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Samples
from whybox_server.core.rows_probed import REFERENCE, SEED, Probed
from whybox_server.core.spec import BatchAxis, GradientOutput, ModelSpec, ScoreKind
from whybox_server.core.target import Space
from whybox_server.graph.gradient import RESULT, differentiate
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx import inside
from whybox_server.serving.onnx.inside import MOST_PROBES
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel
from whybox_server.serving.onnx.session import CPU, Execution, Provider

FLOAT, INT64 = 1, 7
W = f32([[1, -2, 0.5], [0.25, 3, -1]])  # (2, 3)
X = f32([[0.5, -1], [2, 0.25], [-1, -1]])
ON_CPU = Execution(Provider.CPU)


def squares(rows: int | str = "n", rank: int = 2) -> bytes:
    """y = x^2 W, whose gradient for output k is 2 x W[:, k]."""
    batch = [rows] if rank == 2 else []
    nodes = [node("Mul", "x x", "h"), node("MatMul", "h w", "y")]
    return model(nodes, {"x": (FLOAT, [*batch, 2])}, {"y": (FLOAT, [*batch, 3])}, {"w": W})


def answers(
    loaded: OnnxModel,
    want: Want,
    probe: Probe,
    rows: dict[str, Array],
    columns: tuple[int, ...] = (),
    instance: dict[str, Array] | None = None,
    reference: Array | None = None,
) -> dict[str, Array]:
    """By field of `Reply`."""
    instance = instance or {name: array[0] for name, array in rows.items()}
    outputs = len(loaded.labels_for(instance))
    lane = loaded.lane(want, Mode.FAST, instance, probe, outputs)
    asked = Samples(rows) if not columns else Probed(Samples(rows), np.array(columns), reference)
    said = lane.runner.run([Slice(asked, np.arange(len(asked)))], lane.fixed_rows)
    return dict(zip(lane.answers, said, strict=True))


@pytest.mark.parametrize("rows", ["n", 1, 4])
def test_every_row_is_led_back_from_its_own_target(rows):
    """2 x W[:, k] with another k in every row, for any declared batch axis."""
    loaded = load(squares(rows), execution=ON_CPU)
    found = answers(loaded, Want.GRADIENT, Probe(), {"x": X}, (0, 2, 1))
    np.testing.assert_allclose(found["scores"], X**2 @ W, rtol=1e-6)
    np.testing.assert_allclose(found["gradient"], 2 * X * W[:, [0, 2, 1]].T, rtol=1e-6)
    assert set(found) == {"scores", "gradient"}


def test_a_model_without_a_batch_axis_is_led_back_row_by_row():
    loaded = load(squares(rank=1), ModelSpec(batch=BatchAxis.NONE), ON_CPU)
    found = answers(loaded, Want.GRADIENT, Probe(), {"x": X}, (0, 2, 1))
    np.testing.assert_allclose(found["gradient"], 2 * X * W[:, [0, 2, 1]].T, rtol=1e-6)


def test_inner_tensors_are_read_and_led_back_to():
    """h = x^2: its value, and the gradient there, W[:, k]."""
    loaded = load(squares(), execution=ON_CPU)
    read = answers(loaded, Want.VALUES, Probe(at="h"), {"x": X})
    np.testing.assert_allclose(read["values"], X**2, rtol=1e-6)
    led = answers(loaded, Want.GRADIENT, Probe(at="h"), {"x": X}, (1, 1, 1))
    np.testing.assert_allclose(led["gradient"], np.tile(W[:, 1], (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(led["values"], X**2, rtol=1e-6)


def test_rows_enter_where_no_input_leads():
    """h is fed: 5 in place of x^2."""
    loaded = load(squares(), execution=ON_CPU)
    five = np.full((3, 2), 5, np.float32)
    probe = Probe(at="h", enters=(2,))
    found = answers(loaded, Want.GRADIENT, probe, {"x": X, "h": five}, (1, 1, 1), {"x": X[0]})
    np.testing.assert_allclose(found["scores"], five @ W, rtol=1e-6)
    np.testing.assert_allclose(found["gradient"], np.tile(W[:, 1], (3, 1)), rtol=1e-6)


def softmax(z: Array) -> Array:
    exp = np.exp(z - z.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def classifier(last: str, columns: int = 3, kind: str = "") -> OnnxModel:
    """p = last(x w): probabilities whose logits the loader finds."""
    weights = {"w": W[:, :columns]}
    nodes = [node("MatMul", "x w", "z"), node(last, "z", "p")]
    file = model(nodes, {"x": (FLOAT, ["n", 2])}, {"p": (FLOAT, ["n", columns])}, weights)
    labels = ("no", "yes") if columns == 1 else ()
    return load(file, ModelSpec(labels=labels), ON_CPU)


def test_probabilities_and_logits_have_gradients_of_their_own():
    """The model is cut before its Softmax: W[:, k]; of the probability, p_k (W[:, k] - sum_j p_j W[:, j])."""
    loaded = classifier("Softmax")
    found = answers(loaded, Want.GRADIENT, Probe(space=Space.LOGIT), {"x": X}, (0, 2, 1))
    np.testing.assert_allclose(found["gradient"], W[:, [0, 2, 1]].T, rtol=1e-6)
    p, k = softmax(X @ W), [0, 2, 1]
    expected = p[np.arange(3), k, None] * (W[:, k].T - p @ W.T)
    found = answers(loaded, Want.GRADIENT, Probe(space=Space.PROBABILITY), {"x": X}, tuple(k))
    np.testing.assert_allclose(found["gradient"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["scores"], X @ W, rtol=1e-6)


def test_both_classes_of_a_single_number_have_a_gradient():
    """One column z speaks for "yes": "no" is -z, and its probability 1 - p."""
    loaded = classifier("Sigmoid", 1)
    w, z = W[:, 0], X @ W[:, 0]
    found = answers(loaded, Want.GRADIENT, Probe(space=Space.LOGIT), {"x": X}, (1, 0, 1))
    np.testing.assert_allclose(found["gradient"], np.outer([1, -1, 1], w), rtol=1e-6)
    np.testing.assert_allclose(found["scores"], np.stack([-z, z], axis=1), rtol=1e-6)
    p = 1 / (1 + np.exp(-z))
    found = answers(loaded, Want.GRADIENT, Probe(space=Space.PROBABILITY), {"x": X}, (1, 0, 1))
    np.testing.assert_allclose(found["gradient"], np.outer(p * (1 - p) * [1, -1, 1], w), rtol=1e-5)


def test_log_odds_are_differentiated_where_only_probabilities_are_had():
    """p = x^2 cannot be cut: d log(p / (1 - p)) / dx = 2 x / (p (1 - p))."""
    file = model([node("Mul", "x x", "p")], {"x": (FLOAT, ["n", 2])}, {"p": (FLOAT, ["n", 2])}, {})
    loaded = load(file, ModelSpec(score=ScoreKind.PROBABILITY), ON_CPU)
    x = f32([[0.5, 0.25]])
    found = answers(loaded, Want.GRADIENT, Probe(space=Space.LOGIT), {"x": x}, (1,))
    np.testing.assert_allclose(found["gradient"], [[0, 0.5 / (0.0625 * 0.9375)]], rtol=1e-4)


def embedding(extra: bool = False) -> bytes:
    """score = sum over words of (vector of the word) . w, from ids, and an attention mask of whole numbers."""
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    nodes = [
        node("Gather", "table ids", "vectors"),
        node("Cast", "keep", "kept", to=FLOAT),
        node("Unsqueeze", "kept last", "mask"),
        node("Mul", "vectors mask", "seen"),
        node("MatMul", "seen w", "words"),
        node("ReduceSum", "words places", "y", keepdims=0),
    ]
    constants = {"table": table, "w": W, "last": np.array([-1]), "places": np.array([1])}
    inputs = {"keep": (INT64, ["n", "t"]), "ids": (INT64, ["n", "t"])}
    return model(nodes, inputs, {"y": (FLOAT, ["n", 3])}, constants)


def test_whole_numbers_are_explained_where_they_are_looked_up():
    """The gradient of a word's vector is w where the mask keeps it; the mask, which comes first, is no word."""
    loaded = load(embedding(), execution=ON_CPU)
    ids, keep = np.array([[1, 5, 0]]), np.array([[1, 0, 1]])
    instance = {"keep": keep[0], "ids": ids[0]}
    site = loaded.inside(instance, 3).site(Probe())
    assert (site.name, site.inputs, site.shape) == ("vectors", ("ids",), (None, 2))
    found = answers(loaded, Want.GRADIENT, Probe(), {"ids": ids, "keep": keep}, (2,), instance)
    np.testing.assert_allclose(found["gradient"], W[:, 2] * keep[..., None], rtol=1e-6)
    assert found["values"].tolist() == [[[2, 3], [10, 11], [0, 1]]]


def test_columns_that_are_joined_are_explained_together():
    """Two inputs, one Concat: its output stands for both."""
    nodes = [node("Concat", "a b", "x", axis=1), node("MatMul", "x w", "y")]
    file = model(nodes, {"a": (FLOAT, ["n", 1]), "b": (FLOAT, ["n", 1])}, {"y": (FLOAT, ["n", 3])}, {"w": W})
    loaded = load(file, execution=ON_CPU)
    rows = {"a": X[:, :1], "b": X[:, 1:]}
    assert loaded.inside({name: array[0] for name, array in rows.items()}, 3).site(Probe()).inputs == (
        "a",
        "b",
    )
    found = answers(loaded, Want.GRADIENT, Probe(), rows, (0, 1, 2))
    np.testing.assert_allclose(found["gradient"], W.T, rtol=1e-6)


def test_inputs_that_could_all_be_meant_are_named():
    """a and b meet in a Mul, so that neither goes without saying; either may be named."""
    file = model(
        [node("Mul", "a b", "y")],
        {"a": (FLOAT, ["n", 2]), "b": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2])},
        {},
    )
    loaded = load(file, execution=ON_CPU)
    inside = loaded.inside({"a": X[0], "b": X[0]}, 2)
    with pytest.raises(InvalidRequest, match="name one of a, b"):
        inside.site(Probe())
    assert inside.site(Probe(at="b")).shape == (2,)
    with pytest.raises(InvalidRequest, match="did you mean"):
        inside.site(Probe(at="bb"))


def test_what_has_no_gradient_says_so_and_what_to_do():
    """Whole numbers that are not looked up; a score that only counts."""
    counted = model(
        [node("Cast", "x", "y", to=FLOAT)], {"x": (INT64, ["n", 2])}, {"y": (FLOAT, ["n", 2])}, {}
    )
    with pytest.raises(MethodUnsupported, match="lime, kernel_shap and occlusion"):
        load(counted, execution=ON_CPU).inside({"x": np.array([1, 2])}, 2).site(Probe())
    floored = model([node("Floor", "x", "y")], {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])}, {})
    with pytest.raises(MethodUnsupported, match="Floor"):
        load(floored, execution=ON_CPU).inside({"x": X[0]}, 2).site(Probe())


def test_probes_have_lanes_and_sessions_of_their_own():
    """Equal probes share a runner; another place, unit or rule is another lane. The model's own is none of them."""
    loaded = load(squares(), execution=ON_CPU)
    instance = {"x": X[0]}

    def lane(want: Want, probe: Probe, mode: Mode = Mode.FAST):
        return loaded.lane(want, mode, instance, probe, 3)

    first = lane(Want.GRADIENT, Probe())
    assert lane(Want.GRADIENT, Probe(at="x")).runner is first.runner
    assert lane(Want.GRADIENT, Probe(at="x")).fingerprint == first.fingerprint
    others = [
        lane(Want.SCORES, Probe()),
        lane(Want.VALUES, Probe(at="h")),
        lane(Want.GRADIENT, Probe(at="h")),
        lane(Want.GRADIENT, Probe(rules="guided_backprop")),
    ]
    assert len({one.fingerprint for one in (first, *others)}) == 5
    assert first.max_rows == ON_CPU.max_probed_rows
    assert first.answers == ("scores", "gradient")
    assert lane(Want.GRADIENT, Probe(), Mode.REPRODUCIBLE).fixed_rows == ON_CPU.reproducible_rows


def test_a_session_says_where_its_nodes_run():
    loaded = load(squares(), execution=ON_CPU)
    ready = loaded.resident.whitebox.probed(Want.GRADIENT, Probe(at="x"))
    assert list(ready.plan.nodes) == [CPU]
    assert ready.plan.nodes[CPU] > 0


def test_rows_with_a_seed_are_the_same_rows_however_they_are_taken():
    """Keys and buffers do not depend on how rows are cut up; another target or reference is another row."""
    rows = Samples({"x": X})
    probed = Probed(rows, np.array([0, 2, 2]), X + 1)
    taken = probed.take(np.array([2, 0]))
    assert taken.keys() == [probed.keys()[2], probed.keys()[0]]
    out = {"x": np.zeros((2, 2), np.float32), SEED: np.ones((2, 3)), REFERENCE: np.zeros((2, 2))}
    taken.write(np.arange(2), out)
    assert out["x"].tolist() == X[[2, 0]].tolist()
    assert out[SEED].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert out[REFERENCE].tolist() == (X[[2, 0]] + 1).tolist()
    others = [Probed(rows, np.array([1, 2, 2]), X + 1), Probed(rows, np.array([0, 2, 2]), X + 2)]
    assert all(probed.keys()[0] != one.keys()[0] for one in others)
    once = Probed(rows, np.array([0, 0, 0]), X[:1])
    assert once.take(np.array([1])).keys() == [once.keys()[1]]


def test_a_graph_that_says_something_else_is_not_differentiated(monkeypatch):
    """The graph on the way to its gradient is compared with the model; here a conversion goes wrong."""
    loaded = load(squares(), execution=ON_CPU)
    source = loaded.resident.whitebox._source
    spoilt = source()
    spoilt.graph.node[0].op_type = "Add"  # 2 x in place of x^2
    monkeypatch.setattr(loaded.resident.whitebox, "_source", lambda: spoilt)
    with pytest.raises(MethodUnsupported, match="says other scores than the model"):
        loaded.inside({"x": X[0]}, 3).site(Probe())
    monkeypatch.setattr(loaded.resident.whitebox, "_source", source)


# Gradients that the author supplies.


def with_gradient(kind: str) -> tuple[bytes, GradientOutput]:
    """y = x^2 W and, wrongly but recognisably, 10 times its gradient: by a seed, or one per score."""
    nodes = [node("Mul", "x x", "h"), node("MatMul", "h w", "y"), node("Mul", "x twenty", "scaled")]
    weights = {"w": W, "twenty": f32(20)}
    inputs, outputs = {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 3])}
    if kind == "seed":
        nodes += [node("MatMul", "seed wt", "pulled"), node("Mul", "pulled scaled", "g")]
        inputs["seed"], outputs["g"] = (FLOAT, ["n", 3]), (FLOAT, ["n", 2])
        weights["wt"] = W.T
    else:
        nodes += [node("Unsqueeze", "scaled one", "row"), node("Mul", "row wt", "g")]
        outputs["g"] = (FLOAT, ["n", 3, 2])
        weights |= {"wt": W.T, "one": np.array([1])}
    return model(nodes, inputs, outputs, weights), GradientOutput("g", "seed" if kind == "seed" else "")


@pytest.mark.parametrize("kind", ["seed", "jacobian"])
def test_an_authors_gradient_is_used_as_it_is(kind):
    """Ten times too large, so that it cannot be ours; without a seed among the inputs."""
    file, gradient = with_gradient(kind)
    loaded = load(file, ModelSpec(gradient=gradient), ON_CPU)
    assert [row.name for row in loaded.rows] == ["x"]
    found = answers(loaded, Want.GRADIENT, Probe(), {"x": X}, (0, 2, 1))
    np.testing.assert_allclose(found["gradient"], 20 * X * W[:, [0, 2, 1]].T, rtol=1e-6)
    np.testing.assert_allclose(found["scores"], X**2 @ W, rtol=1e-6)
    assert loaded.inside({"x": X[0]}, 3).site(Probe()).name == "x"
    inner = answers(loaded, Want.GRADIENT, Probe(at="h"), {"x": X}, (1, 1, 1))
    np.testing.assert_allclose(inner["gradient"], np.tile(W[:, 1], (3, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (GradientOutput("gg", "seed"), "no such output 'gg'; did you mean 'g'"),
        (GradientOutput("g", "sed"), "no such seed 'sed'; did you mean 'seed'"),
        (GradientOutput("g", "x"), "the scores depend on 'x', so it is no seed"),
        (GradientOutput("g", "seed", "xx"), "no such input 'xx'"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(gradient, message):
    with pytest.raises(InvalidRequest, match=message):
        load(with_gradient("seed")[0], ModelSpec(gradient=gradient), ON_CPU)


def test_a_file_of_ours_can_be_declared():
    """What `whybox differentiate` wrote is served as any author's."""
    ours = differentiate(ModelProto.FromString(squares()))
    spec = ModelSpec(gradient=GradientOutput(RESULT, SEED))
    loaded = load(ours.SerializeToString(), spec, ON_CPU)
    found = answers(loaded, Want.GRADIENT, Probe(), {"x": X}, (0, 2, 1))
    np.testing.assert_allclose(found["gradient"], 2 * X * W[:, [0, 2, 1]].T, rtol=1e-6)


def test_a_declared_gradient_travels_with_the_spec():
    """From the client's builder to the core and back."""
    gradient = {"output": "g", "seed": "s", "input": "x"}
    message = whybox.ModelSpec.tensor(gradient=gradient).message
    spec = to_spec(message, "spec")
    assert spec.gradient == GradientOutput("g", "s", "x")
    assert from_spec(spec).gradient == message.gradient
    with pytest.raises(InvalidRequest, match=r"spec\.gradient\.output: required"):
        to_spec(whybox.ModelSpec.tensor(gradient={"seed": "s"}).message, "spec")


def test_sessions_that_were_let_go_are_never_taken_for_others():
    """More probes than are kept, each with a stabiliser of its own: x_i w_ik z / (z + epsilon) every time."""
    file = model([node("MatMul", "x w", "y")], {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 3])}, {"w": W})
    loaded = load(file, execution=ON_CPU)
    x, z = X[:1], (X[:1] @ W)[0, 2]
    for number in range(4 * MOST_PROBES):
        epsilon = 0.1 * (1 + number)
        probe = Probe("lrp", (("composite", "epsilon"), ("epsilon", epsilon)))
        loaded.inside({"x": x[0]}, 3).site(probe)
        found = answers(loaded, Want.GRADIENT, probe, {"x": x}, (2,))
        stabilised = z + np.sign(z) * epsilon
        np.testing.assert_allclose(found["gradient"][0], x[0] * W[:, 2] * z / stabilised, rtol=1e-5)
    assert len(loaded.resident.whitebox._agreed) <= MOST_PROBES
    # A runner keeps what it was made for: an address alone would soon be somebody else's.
    assert all(isinstance(owner, inside.Probed) for owner, _ in loaded.resident._runners)
