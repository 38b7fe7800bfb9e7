"""Batches of rows on real sessions; oracle: the same arithmetic in numpy, row by row."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto
from tests.models.graph import f32, model, node

from whybox_server.core.errors import ModelFailed, ModelOutputInvalid
from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Masked, Part, Rows, Samples, Texts
from whybox_server.core.spec import BatchAxis, ModelSpec, ScoreKind
from whybox_server.core.target import Link
from whybox_server.serving.lane import Lane, Mode, Slice
from whybox_server.serving.onnx import runner as runner_module
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel
from whybox_server.serving.onnx.runner import as_rows, split
from whybox_server.serving.onnx.session import Execution, Provider

FLOAT = TensorProto.FLOAT
W = f32([[1, -2, 0.5], [0.25, 3, -1]])  # (2, 3)
POOL = np.arange(40, dtype=np.float32).reshape(20, 2)  # rows to ask for
CPU = Execution(Provider.CPU, cores=2)


def linear(rows: int | str = "n", kind: int = FLOAT, dtype: type = np.float32) -> bytes:
    """y = x W for a batch axis of this length."""
    weights = {"w": W.astype(dtype)}
    return model([node("MatMul", "x w", "y")], {"x": (kind, [rows, 2])}, {"y": (kind, [rows, 3])}, weights)


def lane_of(loaded: OnnxModel, inputs: dict[str, Array], mode: Mode = Mode.FAST) -> Lane:
    return loaded.lane(Want.SCORES, mode, inputs)


def ask(loaded: OnnxModel, rows: Rows, instance: dict[str, Array], pad_to: int | None = None) -> Array:
    (scores,) = lane_of(loaded, instance).runner.run([Slice(rows, np.arange(len(rows)))], pad_to)
    return scores


@pytest.mark.parametrize("rows", ["n", 1, 4, 20, 32], ids=str)
@pytest.mark.parametrize("pad_to", [None, 8, 64])
def test_every_row_is_answered_in_order_whatever_the_batch_axis(rows, pad_to):
    """Padding and splitting leave no trace: the answers are x W, as many as rows were asked."""
    loaded = load(linear(rows), execution=CPU)
    said = ask(loaded, Samples({"x": POOL}), {"x": POOL[0]}, pad_to)
    np.testing.assert_allclose(said, POOL @ W, rtol=1e-6)  # float32


def test_padding_repeats_the_last_row_and_not_what_an_earlier_batch_left():
    """A model that sees its whole batch, x + max over all rows, is the witness."""
    nodes = [node("ReduceMax", "x", "top", keepdims=0), node("Add", "x top", "y")]
    loaded = load(model(nodes, {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])}, {}), execution=CPU)
    ask(loaded, Samples({"x": 1000 + POOL[:8]}), {"x": POOL[0]}, 8)
    said = ask(loaded, Samples({"x": POOL[:3]}), {"x": POOL[0]}, 8)
    np.testing.assert_array_equal(said, POOL[:3] + POOL[:3].max())


def test_without_a_batch_axis_rows_are_asked_one_by_one():
    """A model of a single row answers (3,); many rows make (n, 3)."""
    data = model([node("MatMul", "x w", "y")], {"x": (FLOAT, [2])}, {"y": (FLOAT, [3])}, {"w": W})
    loaded = load(data, execution=CPU)
    assert loaded.spec.batch is BatchAxis.NONE
    np.testing.assert_allclose(ask(loaded, Samples({"x": POOL}), {"x": POOL[0]}, 8), POOL @ W, rtol=1e-6)


def test_rows_of_several_explanations_share_a_call():
    """Slices of different descriptions, any rows of each, in the order they were handed over."""
    loaded = load(linear(), execution=CPU)
    part = Part("x", POOL[3], np.zeros((1, 2), np.float32), np.array([0, 1], np.int32))
    masks = np.array([[True, False], [False, True], [True, True]])
    slices = [
        Slice(Samples({"x": POOL}), np.array([5, 1])),
        Slice(Masked((part,), masks), np.array([2, 0])),
        Slice(Samples({"x": POOL}), np.array([0])),
    ]
    (said,) = lane_of(loaded, {"x": POOL[0]}).runner.run(slices, 16)
    rows = np.stack([POOL[5], POOL[1], POOL[3], POOL[3] * [1, 0], POOL[0]])
    np.testing.assert_allclose(said, rows @ W, rtol=1e-6)


def test_more_rows_than_the_buffers_hold_are_split(monkeypatch):
    """With room for three rows the answers are the same, and no buffer is larger."""
    loaded = load(linear(), execution=CPU)
    monkeypatch.setattr(runner_module, "BUFFER_BYTES", 3 * 2 * 4)
    for pad_to in (None, 2, 50):
        np.testing.assert_allclose(
            ask(loaded, Samples({"x": POOL}), {"x": POOL[0]}, pad_to), POOL @ W, rtol=1e-6
        )
    assert lane_of(loaded, {"x": POOL[0]}).max_rows == 3


def test_threads_share_a_session_and_not_a_buffer():
    """Eight threads at once, each with rows of its own, all get their own answers."""
    loaded = load(linear(), execution=CPU)
    runner = lane_of(loaded, {"x": POOL[0]}).runner
    start = threading.Barrier(8)

    def work(number: int) -> bool:
        mine = POOL + number
        start.wait()
        rounds = [runner.run([Slice(Samples({"x": mine}), np.arange(20))], None)[0] for _ in range(30)]
        return all(np.allclose(said, mine @ W, rtol=1e-5) for said in rounds)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.parametrize(
    ("kind", "dtype", "answer"),
    [
        (TensorProto.FLOAT16, np.float16, np.float32),
        (TensorProto.FLOAT, np.float32, np.float32),
        (TensorProto.DOUBLE, np.float64, np.float64),
    ],
)
def test_scores_are_float32_or_better(kind, dtype, answer):
    """A model in double says double; half precision is widened."""
    loaded = load(linear("n", kind, dtype), execution=CPU)
    said = ask(loaded, Samples({"x": POOL.astype(dtype)}), {"x": POOL[0].astype(dtype)})
    assert said.dtype == answer
    np.testing.assert_allclose(said, POOL @ W, rtol=1e-3)  # half precision


def test_a_model_of_token_ids_takes_integers():
    """Gather of a weight per token, summed: [[0, 2], [1, 1]] asks for w0 + w2 and 2 w1."""
    data = model(
        [node("Gather", "w ids", "e"), node("ReduceSum", "e axes", "y", keepdims=1)],
        {"ids": (TensorProto.INT64, ["n", 2])},
        {"y": (FLOAT, ["n", 1])},
        {"w": f32([1, 10, 100]), "axes": np.array([1])},
    )
    loaded = load(data, execution=CPU)
    ids = np.array([[0, 2], [1, 1]])
    assert ask(loaded, Samples({"ids": ids}), {"ids": ids[0]}).tolist() == [[101.0], [20.0]]


def test_texts_become_rows_of_strings():
    """Equal to "b" or not, of texts that lose their words one at a time."""
    data = model(
        [
            node(
                "LabelEncoder",
                "t",
                "y",
                keys_strings=["a b", "b"],
                values_floats=[1.0, 2.0],
                domain="ai.onnx.ml",
            )
        ],
        {"t": (TensorProto.STRING, ["n", 1])},
        {"y": (FLOAT, ["n", 1])},
        {},
        {"ai.onnx.ml": 3},
    )
    loaded = load(data, execution=CPU)
    masks = np.array([[True, True], [False, True], [True, False]])
    rows = Texts("t", ("a", " ", "b"), np.array([0, 0, 1]), masks, "")
    instance = {"t": np.array(["a b"], dtype=object)}
    assert ask(loaded, rows, instance, 8)[:2].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("labels", [(), ("no", "yes")])
def test_a_single_sigmoid_speaks_for_two_classes(labels):
    """z of the second class is -z of the first; each has its Sigmoid."""
    data = model(
        [node("MatMul", "x w", "z"), node("Sigmoid", "z", "y")],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 1])},
        {"w": W[:, :1]},
    )
    loaded = load(data, ModelSpec(labels=labels), CPU)
    assert (loaded.columns, loaded.link, loaded.kind) == (2, Link.SIGMOID, ScoreKind.LOGIT)
    assert loaded.labels == (labels or ("0", "1"))
    z = POOL @ W[:, :1]
    np.testing.assert_allclose(
        ask(loaded, Samples({"x": POOL}), {"x": POOL[0]}), np.hstack([-z, z]), rtol=1e-6
    )


def test_a_model_that_drops_rows_is_caught():
    """Its answers belong to nobody knows which rows."""
    with pytest.raises(ModelOutputInvalid, match="answered 3 rows to 4"):
        as_rows(np.zeros((3, 2)), 4, 4)


def test_padded_rows_of_a_lane_are_reproducible_and_models_with_one_shape_need_no_padding():
    """REPRODUCIBLE fixes the number of rows per call where it could vary."""
    free, fixed = load(linear("n"), execution=CPU), load(linear(4), execution=CPU)
    instance = {"x": POOL[0]}
    assert lane_of(free, instance, Mode.REPRODUCIBLE).fixed_rows == CPU.reproducible_rows
    assert lane_of(free, instance).fixed_rows is None
    assert lane_of(fixed, instance, Mode.REPRODUCIBLE).fixed_rows is None


def test_a_closed_model_refuses_and_lets_its_buffers_go():
    """Runners that lanes still hold answer with a reason, not with a crash."""
    loaded = load(linear(), execution=CPU)
    runner = lane_of(loaded, {"x": POOL[0]}).runner
    slices = [Slice(Samples({"x": POOL}), np.arange(3))]
    runner.run(slices, None)
    loaded.close()
    loaded.close()
    with pytest.raises(ModelFailed, match="closed"):
        runner.run(slices, None)
    with pytest.raises(ModelFailed, match="unloaded"):
        loaded.predict({"": POOL})


def test_splitting_keeps_every_row_in_order():
    """Groups of four over slices of 3, 0, 6 and 1 rows."""
    rows = Samples({"x": POOL})
    slices = [Slice(rows, np.arange(*ends)) for ends in ((0, 3), (3, 3), (3, 9), (9, 10))]
    groups = list(split(slices, 4))
    assert [sum(len(one.at) for one in group) for group in groups] == [4, 4, 2]
    assert np.concatenate([one.at for group in groups for one in group]).tolist() == list(range(10))
