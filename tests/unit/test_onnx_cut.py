"""Finding the tensor to explain; oracle: the algebra of the link that was taken off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator
from tests.models.graph import f32, model, node

from whybox_server.core.errors import InvalidRequest, ModelRejected
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import Link
from whybox_server.graph.cut import Cut, explained

FLOAT = TensorProto.FLOAT
X = f32([[1, 2], [3, -4], [0, 0.5]])  # (3, 2)
W = f32([[1, 0, -1], [0.5, 2, 0]])  # (2, 3)


def linear(*tail: NodeProto, outputs: Sequence[str] = ("y",)) -> ModelProto:
    """z = x W, then these nodes."""
    data = model(
        [node("MatMul", "x w", "z"), *tail],
        {"x": (FLOAT, ["n", 2])},
        {name: (FLOAT, ["n", "m"]) for name in outputs},
        {"w": W},
    )
    return ModelProto.FromString(data)


def scores(cut: Cut) -> np.ndarray:
    """What the cut graph says of X."""
    (said,) = ReferenceEvaluator(cut.model).run(None, {"x": X})
    return np.asarray(said)


@pytest.mark.parametrize(
    "tail",
    [
        [node("Softmax", "z", "y")],
        [node("LogSoftmax", "z", "y", axis=1)],
        [node("Softmax", "z", "p"), node("Identity", "p", "y")],
        [node("Softmax", "z", "p"), node("Cast", "p", "q", to=FLOAT), node("Flatten", "q", "y")],
    ],
    ids=["softmax", "log-softmax", "identity behind", "cast and flatten behind"],
)
def test_a_trailing_softmax_is_cut_off(tail):
    """What is left is x W itself."""
    cut = explained(linear(*tail))
    assert (cut.kind, cut.link, cut.changed) == (ScoreKind.LOGIT, Link.SOFTMAX, True)
    np.testing.assert_array_equal(scores(cut), X @ W)
    assert "Softmax" in cut.note


def test_a_trailing_sigmoid_is_cut_off():
    """Each output has its own link then."""
    cut = explained(linear(node("Sigmoid", "z", "y")))
    assert (cut.kind, cut.link) == (ScoreKind.LOGIT, Link.SIGMOID)
    np.testing.assert_array_equal(scores(cut), X @ W)


def test_a_softmax_per_position_is_left_alone():
    """(n, 2, 3) with one Softmax per position: its logits are no logits of all six outputs."""
    data = model(
        [node("MatMul", "x w", "z"), node("Softmax", "z", "y", axis=2)],
        {"x": (FLOAT, ["n", 2, 2])},
        {"y": (FLOAT, ["n", 2, 3])},
        {"w": W},
    )
    proto = ModelProto.FromString(data)
    cut = explained(proto)
    assert (cut.kind, cut.note, cut.changed) == (ScoreKind.PROBABILITY, "", False)


@pytest.mark.parametrize("columns", [1, 3])
def test_a_softmax_over_the_batch_is_left_alone(columns):
    """Axis 0 mixes rows: no row has logits of its own, not even a single one."""
    data = model(
        [node("MatMul", "x w", "z"), node("Softmax", "z", "y", axis=0)],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", columns])},
        {"w": W[:, :columns]},
    )
    assert explained(ModelProto.FromString(data)).kind is ScoreKind.PROBABILITY


def test_without_batch_axis_axis_0_holds_the_classes():
    """The same Softmax is cut once axis 0 is known to count classes."""
    data = model(
        [node("MatMul", "x w", "z"), node("Softmax", "z", "y", axis=0)],
        {"x": (FLOAT, [2])},
        {"y": (FLOAT, [3])},
        {"w": W},
    )
    cut = explained(ModelProto.FromString(data), batched=False)
    assert (cut.kind, cut.tensor) == (ScoreKind.LOGIT, "z")


def test_a_cast_to_integers_is_a_decision_and_hides_no_logits():
    """Rounded probabilities are another function than probabilities."""
    tail = [
        node("Softmax", "z", "p"),
        node("Cast", "p", "i", to=TensorProto.INT64),
        node("Cast", "i", "y", to=FLOAT),
    ]
    assert explained(linear(*tail)).kind is None


def test_logits_can_be_declined():
    """For whoever says that the output is a value of its own."""
    cut = explained(linear(node("Sigmoid", "z", "y")), logits=False)
    assert (cut.tensor, cut.note) == ("y", "")


def test_the_callers_model_is_not_changed():
    """Byte for byte, though the copy lost nodes."""
    proto = linear(node("Softmax", "z", "y"), node("ArgMax", "y", "label"), outputs=["y"])
    before = proto.SerializeToString(deterministic=True)
    cut = explained(proto)
    assert proto.SerializeToString(deterministic=True) == before
    assert [entry.op_type for entry in cut.model.graph.node] == ["MatMul"]


def test_what_only_other_outputs_need_is_removed():
    """A second head and its weights do not travel along."""
    proto = linear(node("Relu", "z", "y"), node("Exp", "z", "other"), outputs=["y", "other"])
    cut = explained(proto, "y")
    assert [entry.op_type for entry in cut.model.graph.node] == ["MatMul", "Relu"]
    np.testing.assert_array_equal(scores(cut), np.maximum(X @ W, 0))


def test_values_read_by_a_branch_are_kept():
    """An If takes z from outside; pruning must not cut that thread."""
    branch = helper.make_graph(
        [helper.make_node("Neg", ["z"], ["t"])], "b", [], [helper.make_tensor_value_info("t", FLOAT, None)]
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["z"], ["f"])],
        "c",
        [],
        [helper.make_tensor_value_info("f", FLOAT, None)],
    )
    yes = helper.make_node(
        "Constant", [], ["yes"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True])
    )
    choose = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=other)
    proto = linear(yes, choose, node("Exp", "z", "other"), outputs=["y", "other"])
    np.testing.assert_array_equal(scores(explained(proto, "y")), -(X @ W))


def test_probabilities_are_preferred_among_outputs():
    """By name, before the first floating output."""
    proto = linear(
        node("Relu", "z", "features"),
        node("Identity", "z", "class_probs"),
        outputs=["features", "class_probs"],
    )
    assert explained(proto).source == "class_probs"


def test_an_unknown_output_is_refused_with_the_nearest():
    """The message names what the caller most likely meant."""
    with pytest.raises(InvalidRequest, match="did you mean 'logits'"):
        explained(linear(node("Identity", "z", "logits"), outputs=["logits"]), "logit")


def test_a_model_that_answers_only_in_strings_is_refused():
    """There is no number to explain."""
    data = model(
        [node("Identity", "x", "y")],
        {"x": (TensorProto.STRING, ["n"])},
        {"y": (TensorProto.STRING, ["n"])},
        {},
    )
    with pytest.raises(ModelRejected) as caught:
        explained(ModelProto.FromString(data))
    assert caught.value.details["rule"] == "NO_NUMERIC_OUTPUT"
