"""Loading as a whole: batch axes that are tried out, specs that do not fit, identity and prediction."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto
from tests.models.graph import f32, model, node

from whybox_server.core.errors import InputMismatch, InvalidRequest, ModelFailed, ModelRejected
from whybox_server.core.query import Want
from whybox_server.core.rows import Samples
from whybox_server.core.spec import BatchAxis, ModelSpec, ScoreKind, TabularSpec
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel, execution_key
from whybox_server.serving.onnx.session import Execution, Provider, open_session, providers

FLOAT = TensorProto.FLOAT
W = f32([[1, -2, 0.5], [0.25, 3, -1]])  # (2, 3)
X = f32([[1, 2], [3, -4], [0, 0.5]])  # (3, 2)
CPU = Execution(Provider.CPU)


def classifier(rows: int | str = "n") -> bytes:
    """softmax(x W), and the index of the highest."""
    return model(
        [
            node("MatMul", "x w", "z"),
            node("Softmax", "z", "p"),
            node("ArgMax", "p", "label", axis=1, keepdims=0),
        ],
        {"x": (FLOAT, [rows, 2])},
        {"label": (TensorProto.INT64, [rows]), "p": (FLOAT, [rows, 3])},
        {"w": W},
    )


def ask(loaded: OnnxModel, rows: np.ndarray) -> np.ndarray:
    runner = loaded.lane(Want.SCORES, Mode.FAST, {"x": rows[0]}).runner
    return runner.run([Slice(Samples({"x": rows}), np.arange(len(rows)))], None)[0]


def test_a_classifier_is_understood_without_any_spec():
    """Logits are explained, probabilities are what the output holds, and every guess is told."""
    loaded = load(classifier(), execution=CPU)
    assert (loaded.kind, loaded.spec.score, loaded.spec.output) == (
        ScoreKind.LOGIT,
        ScoreKind.PROBABILITY,
        "p",
    )
    assert (loaded.columns, loaded.labels, loaded.provider) == (3, ("0", "1", "2"), "CPUExecutionProvider")
    assert [guess.split()[0] for guess in loaded.guesses] == [
        "score",
        "output",
        "modality",
        "feature",
        "batch",
    ]
    np.testing.assert_allclose(ask(loaded, X), X @ W, rtol=1e-6)


def test_a_model_is_known_by_its_bytes():
    """The digest is the file's SHA-256, whatever was cut."""
    data = classifier()
    loaded = load(data, execution=CPU)
    assert loaded.digest == f"sha256-{hashlib.sha256(data).hexdigest()}"
    assert loaded.size_bytes == len(data)


def test_predict_gives_the_models_own_outputs():
    """Labels and probabilities, though explanations run on the cut graph."""
    said = load(classifier(), execution=CPU).predict({"": X})
    exp = np.exp(X @ W)
    np.testing.assert_allclose(said["p"], exp / exp.sum(axis=1, keepdims=True), rtol=1e-5)
    assert said["label"].tolist() == (X @ W).argmax(axis=1).tolist()


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_predict_pads_and_splits_for_a_fixed_batch_axis(rows):
    """Three rows through batches of 1, 2 and 8 are the same three answers."""
    said = load(classifier(rows), execution=CPU).predict({"x": X})
    assert said["label"].tolist() == (X @ W).argmax(axis=1).tolist()


def test_predict_refuses_what_does_not_fit():
    """A row without batch axis is no batch of rows."""
    with pytest.raises(InputMismatch):
        load(classifier(), execution=CPU).predict({"x": X[0]})


def test_a_batch_axis_that_only_takes_one_row_is_found_out():
    """Declared free, but a Reshape insists on one row: rows are then asked one by one, and it is said."""
    data = model(
        [node("Reshape", "x shape", "r"), node("MatMul", "r w", "y")],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 3])},
        {"w": W, "shape": np.array([1, 2])},
    )
    loaded = load(data, execution=CPU)
    assert (loaded.spec.batch, loaded.signature.rows) == (BatchAxis.FIXED, 1)
    assert any("fails on two" in guess for guess in loaded.guesses)
    np.testing.assert_allclose(ask(loaded, X), X @ W, rtol=1e-6)
    with pytest.raises(InvalidRequest, match=r"spec\.batch: the model fails on two rows"):
        load(data, ModelSpec(batch=BatchAxis.DYNAMIC), CPU)


def test_a_batch_of_one_can_be_freed_by_the_spec():
    """Exported with one row, but nothing inside depends on it: all rows go in one call, predictions too."""
    loaded = load(classifier(1), ModelSpec(batch=BatchAxis.DYNAMIC), CPU)
    assert loaded.spec.batch is BatchAxis.DYNAMIC
    np.testing.assert_allclose(ask(loaded, X), X @ W, rtol=1e-6)
    assert loaded.predict({"x": X})["label"].shape == (3,)


def test_a_model_that_refuses_zeros_is_loaded_all_the_same():
    """Token 0 is unknown to it; the number of its outputs is then taken from the declaration."""
    data = model(
        [node("Sub", "ids one", "at"), node("Gather", "w at", "y")],
        {"ids": (TensorProto.INT64, ["n"])},
        {"y": (FLOAT, ["n", 3])},
        {"w": W, "one": np.array(3)},
    )
    loaded = load(data, execution=CPU)
    assert loaded.columns == 3
    assert loaded.seen.failure


def test_outputs_that_depend_on_the_instance_are_counted_when_it_is_known():
    """One score per element: five elements, five labels."""
    data = model([node("Neg", "x", "y")], {"x": (FLOAT, ["n", "m"])}, {"y": (FLOAT, ["n", "m"])}, {})
    loaded = load(data, execution=CPU)
    assert loaded.columns is None
    assert loaded.labels_for({"x": np.zeros(5, np.float32)}) == ("0", "1", "2", "3", "4")


def test_a_model_that_fails_on_the_instance_itself_says_so():
    """Five columns cannot be multiplied with these weights."""
    nodes = [node("MatMul", "x w", "z"), node("Concat", "x z", "y", axis=1)]
    data = model(nodes, {"x": (FLOAT, ["n", "m"])}, {"y": (FLOAT, ["n", "k"])}, {"w": W})
    with pytest.raises(ModelFailed, match="failed on the instance itself"):
        load(data, execution=CPU).labels_for({"x": np.zeros(5, np.float32)})


def test_another_spec_reads_the_same_session_otherwise():
    """New names, same runner; a spec that does not fit is refused."""
    loaded = load(classifier(), execution=CPU)
    given = ModelSpec(details=TabularSpec(("length", "width")))
    assert execution_key(given) == execution_key(ModelSpec())
    again = loaded.read_as(given)
    assert again.spec.details.feature_names == ("length", "width")
    instance = {"x": X[0]}
    assert (
        again.lane(Want.SCORES, Mode.FAST, instance).runner
        is loaded.lane(Want.SCORES, Mode.FAST, instance).runner
    )
    with pytest.raises(InvalidRequest, match="must be 2 names"):
        loaded.read_as(ModelSpec(details=TabularSpec(("length",))))


def test_the_fingerprint_tells_apart_what_may_answer_differently():
    """Content, cut, shapes, mode and threads; but not which object asks."""
    first, again = load(classifier(), execution=CPU), load(classifier(), execution=CPU)
    instance = {"x": X[0]}

    def prints(loaded: OnnxModel, mode: Mode = Mode.FAST) -> bytes:
        return loaded.fingerprint(Want.SCORES, mode, instance)

    others = [
        prints(load(classifier(4), execution=CPU)),
        prints(load(classifier(), ModelSpec(score=ScoreKind.VALUE), CPU)),
        prints(load(classifier(), execution=replace(CPU, threads=2))),
        prints(first, Mode.REPRODUCIBLE),
        first.fingerprint(Want.GRADIENT, Mode.FAST, instance),
    ]
    assert prints(first) == prints(again)
    assert len(prints(first)) == 32
    assert len({prints(first), *others}) == 6


def test_a_graph_the_runtime_cannot_load_is_refused_in_its_words():
    """A MatMul whose shapes cannot match; the message has no path and no stack."""
    data = classifier().replace(b"MatMul", b"MatMux")
    with pytest.raises(ModelRejected, match="MatMux") as caught:
        load(data, execution=CPU)
    assert caught.value.details["rule"] == "RUNTIME"


def test_without_a_gpu_there_is_one_clear_line():
    """AUTO says nothing, CUDA says why not; both run on the CPU."""
    for provider in (Provider.AUTO, Provider.CUDA):
        wanted, note = providers(provider)
        opened = open_session(classifier(), Execution(provider))
        if opened.provider == "CPUExecutionProvider":
            assert bool(opened.note) is (provider is Provider.CUDA)
            assert "\n" not in note
        else:
            assert wanted[0] != "CPUExecutionProvider"
