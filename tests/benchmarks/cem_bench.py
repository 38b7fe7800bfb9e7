"""CEM: sizes on seven segments against enumeration, and rows to a negative of a thirty-column table.

Driven on onnxruntime without a server: what counts here is which rows are asked. The peers need
TensorFlow 1 (alibi) or 1.14 (AIX360) and do not run on Python 3.11, so the row count to beat is the one
of alibi's source: 10 weights x 1000 iterations x (4 x 30 + 3) rows = 1.23 million.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.answering import materialise
from tests.benchmarks.row import Row, at_least, at_most
from tests.models import seven_segments
from tests.oracles import cem as oracle

from whybox_server.core.explanation import Contrast, Counterpart
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply
from whybox_server.core.spec import Modality, ModelSpec, ScoreKind, TabularSpec
from whybox_server.core.target import Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.cem import CEM, CemParams, Contrasts

ALIBI_ROWS = 10 * 1000 * (4 * 30 + 3)
PATIENTS = range(0, 569, 57)  # ten of the table's rows
BACKGROUND_ROWS = 100
BATCH = 256


def contrast(model: bytes, instance: Instance, outputs: int, params: CemParams) -> tuple[Contrast, int]:
    """A contrast and the rows it took, repetitions included; the model's last output holds probabilities."""
    session = ort.InferenceSession(model)
    (entry,), output = session.get_inputs(), session.get_outputs()[-1].name
    asked = 0

    def answer(query: Query) -> Reply:
        nonlocal asked
        asked += len(query.rows)
        batches = np.split(np.arange(len(query.rows)), range(BATCH, len(query.rows), BATCH))
        rows = (materialise(query.rows, instance, at)["x"] for at in batches)
        return Reply(np.concatenate([session.run([output], {entry.name: batch})[0] for batch in rows]))

    targets = Targets((), tuple(map(str, range(outputs))), ScoreKind.PROBABILITY, Space.LOGIT)
    rng = np.random.default_rng(0)
    task = CEM.prepare(Subject(instance, targets), params, rng)
    found = run(CEM.run(task, params, rng), answer)
    assert isinstance(found, Contrast)
    return found, asked


def rows() -> list[Row]:
    return [*digits(), *tables()]


def digits() -> list[Row]:
    """Ten digits: valid, of minimal size, and "none" for the 8."""
    minimal, none, near, valid = 0, False, 0, 0
    for number, lit in enumerate(seven_segments.TEMPLATES):
        instance = Instance({"x": lit}, ModelSpec(modality=Modality.TENSOR))
        found, _ = contrast(seven_segments.onnx(), instance, 10, CemParams())
        state = lit.astype(int).tolist()
        fewest = oracle.fewest_added(state, scores)
        if fewest is None:
            none = found.negative is None and bool(found.negative_reason)
        minimal += fewest is not None and lamps_changed(found.negative, lit) == fewest
        kept = lamps_changed(found.positive, np.zeros(7))
        near += kept is not None and kept <= oracle.fewest_kept(state, scores) + 1
        valid += says(found.positive, number, True) and (number == 8 or says(found.negative, number, False))
    return [
        at_least("CEM, seven segments: negatives of minimal size, of 9", minimal, 9, digits=0),
        Row('    "none" for 8', str(none), "True", none),
        at_least("    positives within 1 of the minimum, of 10", near, 9, digits=0),
        at_least("    valid, of 10", valid, 10, digits=0),
    ]


def scores(state: object) -> list[float]:
    return seven_segments.logits(np.array(state, float)).tolist()


def lamps_changed(found: Counterpart | None, start: np.ndarray) -> int | None:
    return None if found is None else int(np.count_nonzero(found.inputs["x"] != start))


def says(found: Counterpart | None, number: int, same: bool) -> bool:
    """Whether the model's own answer is what the side of the contrast promises."""
    return found is not None and (oracle.answer(found.scores.tolist()) == number) is same


def tables() -> list[Row]:
    """Breast cancer, thirty columns, a straight and a bent border."""
    values, classes = load_breast_cancer(return_X_y=True)
    values = values.astype(np.float32)
    chosen = np.random.default_rng(0).choice(len(values), BACKGROUND_ROWS, replace=False)
    details = TabularSpec(background=values[chosen])
    params = CemParams(find=Contrasts.PERTINENT_NEGATIVE)
    told = []
    for name, estimator in (
        ("logistic regression", LogisticRegression(max_iter=5000)),
        ("16 hidden units", MLPClassifier((16,), max_iter=2000, random_state=0)),
    ):
        fitted = make_pipeline(StandardScaler(), estimator).fit(values, classes)
        model = to_onnx(fitted, values[:1], options={"zipmap": False}).SerializeToString()
        asked, found = [], 0
        for patient in PATIENTS:
            instance = Instance({"x": values[patient]}, ModelSpec(modality=Modality.TABULAR, details=details))
            result, taken = contrast(model, instance, 2, params)
            if result.negative is not None:
                found += 1
                asked.append(taken)
        note = f" (median {np.median(asked):.0f}; found for {found} of {len(PATIENTS)} patients)"
        told.append(
            at_most(f"CEM, 30 columns, {name}: most rows to a negative", max(asked), ALIBI_ROWS / 10, note, 0)
        )
    return told
