"""Messages to look at: answers of a server, and the requests whose bytes are golden."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from google.protobuf.message import Message

from whybox.inputs import instance
from whybox.spec import ModelSpec
from whybox.tensors import to_tensor
from whybox.v1 import explain_pb2, explanation_pb2, model_pb2, spec_pb2
from whybox.wire import Ask, ModelRef, explain_request, upload

VALUES = np.array([[0.5, -2.0, 0.0, 1.25], [-0.5, 2.0, 0.0, 0.25]])  # (targets, segments)
BASES = np.array([1.0, -1.0])
ERRORS = np.abs(VALUES) / 10
COLUMNS = ("age", "income", "city", "age")  # twice the same: as_map and JSON must keep both
ROWS = 64


def attribution() -> explanation_pb2.Explanation:
    """A table's row with two targets; additive: base + sum = score."""
    message = explanation_pb2.Explanation(complete=True, warnings=["city was never varied"])
    for index, label in ((1, "yes"), (0, "no")):
        score = float(BASES[1 - index] + VALUES[1 - index].sum())
        message.targets.add(
            index=index, label=label, score=score, probability=0.75, space=explanation_pb2.SCORE_SPACE_LOGIT
        )
    found = message.attribution
    found.values.CopyFrom(to_tensor(VALUES, ""))
    found.base_values.CopyFrom(to_tensor(BASES, ""))
    found.standard_errors.CopyFrom(to_tensor(ERRORS, ""))
    found.segments.by_name["x"].CopyFrom(to_tensor(np.arange(4, dtype=np.int32), ""))
    found.names.extend(COLUMNS)
    found.quality.add(measures={"weighted_r2": 0.875})
    found.quality.add(measures={"weighted_r2": 0.5})
    found.additive, found.input = True, "x"
    found.instance_shape.append(4)
    message.subject.modality = spec_pb2.MODALITY_TABULAR
    message.subject.table.names.extend(COLUMNS)
    message.subject.table.values.extend(["41", "1200", "Bern", "41"])
    message.usage.CopyFrom(
        explanation_pb2.Usage(rows_planned=ROWS, rows_asked=ROWS, rows_unique=50, rows_sent=50, batches=2)
    )
    message.provenance.CopyFrom(
        explanation_pb2.Provenance(
            model="models/churn",
            model_digest="sha256-00ff",
            method="lime",
            method_version="1",
            seed=7,
            mode=explanation_pb2.MODE_FAST,
            libraries={"numpy": "2.0", "onnxruntime": "1.23"},
        )
    )
    return message


def picture() -> explanation_pb2.Explanation:
    """A value per pixel, one of them not a number, and a picture large enough to be packed in JSON."""
    message = explanation_pb2.Explanation(complete=False)
    message.targets.add(index=3, label="grass", score=2.5, space=explanation_pb2.SCORE_SPACE_LOGIT)
    values = np.linspace(-1, 1, 2 * 40 * 40).reshape(1, 2, 40, 40)  # (targets, channels, height, width)
    values[0, 0, 0, 0] = np.nan
    message.attribution.values.CopyFrom(to_tensor(values, ""))
    message.attribution.instance_shape.extend([2, 40, 40])
    message.attribution.input = "x"
    pixels = np.arange(40 * 40 * 3).reshape(40, 40, 3).astype(np.uint8)
    message.subject.modality = spec_pb2.MODALITY_IMAGE
    message.subject.picture.CopyFrom(to_tensor(pixels, ""))
    message.renderings.add(format=explanation_pb2.RENDER_FORMAT_PNG, content=b"\x89PNG")
    return message


def stream(instances: int) -> list[explain_pb2.ExplainStreamResponse]:
    """Plan, progress, and the explanations in reverse order, each with its index as the seed."""
    event = explain_pb2.ExplainStreamResponse
    half = explain_pb2.Progress(rows_done=ROWS * instances // 2, rows_planned=ROWS * instances)
    events = [event(plan=explain_pb2.Plan(rows=[ROWS] * instances, exact=True)), event(progress=half)]
    for index in reversed(range(instances)):
        explanation = attribution()
        explanation.provenance.seed = index
        events.append(event(explanation=explain_pb2.IndexedExplanation(index=index, explanation=explanation)))
    return events


def plan() -> explain_pb2.PlanExplainResponse:
    return explain_pb2.PlanExplainResponse(
        plan=explain_pb2.Plan(rows=[ROWS], exact=True, seconds=0.25), notes=["the Softmax is cut off"]
    )


def methods() -> explain_pb2.ListMethodsResponse:
    method = explain_pb2.MethodInfo(
        name="lime",
        summary="A sparse linear model fitted around the instance.",
        citation="Ribeiro, Singh & Guestrin 2016",
        modalities=[spec_pb2.MODALITY_TABULAR, spec_pb2.MODALITY_TIME_SERIES],
        version="1",
        not_applicable="",
    )
    method.parameters.add(name="num_samples", type="int", default="1000", summary="Rows asked.")
    method.parameters.add(name="discretizer", type="choice", summary="Bins.", choices=["quartile", "decile"])
    return explain_pb2.ListMethodsResponse(methods=[method])


def models(page_token: str) -> model_pb2.ListModelsResponse:
    """Two pages of one model each."""
    tensor = model_pb2.TensorInfo(name="x", dtype=11, shape=[-1, 3])
    if page_token:
        broken = model_pb2.Model(name="models/broken", problem="the file ends early")
        return model_pb2.ListModelsResponse(models=[broken])
    churn = model_pb2.Model(
        name="models/churn", size_bytes=1500, inputs=[tensor], provider="CPU", loaded=True
    )
    return model_pb2.ListModelsResponse(models=[churn], next_page_token="2")  # noqa: S106 - of a page


def _lime_of_a_row() -> Message:
    spec = ModelSpec.tabular(
        background=np.array([[1, 2.5], [3, 4.5]], dtype=np.float32),
        feature_names=["age", "city"],
        categories={"city": ["Bern", "Basel"]},
        labels=["no", "yes"],
        score="probability",
    )
    params = {"num_samples": 500, "discretizer": "quartile", "sample_around_instance": False}
    ask = Ask("lime", ["yes", 0, "top:2"], 2**64 - 1, 200, spec, "logit", "reproducible", params)
    return explain_request("models/churn", [instance({"age": 41, "city": "Bern"})], ask)


def _occlusion_of_an_array() -> Message:
    params = {"window": (15, 15), "stride": 5, "baseline": 0.5}
    array = np.arange(6, dtype=np.float16).reshape(1, 2, 3)
    return explain_request("models/net", [instance(array)], Ask("occlusion", params=params))


def _lime_of_a_text() -> Message:
    params = {"segmentation": "characters", "baseline": {"kind": "mask"}}
    return explain_request("models/mood", [instance("très bien")], Ask("lime", params=params))


def _lime_with_own_segments() -> Message:
    params = {"segmentation": np.array([0, 0, 1, -1], dtype=np.int32), "tolerance": 0.125, "paired": True}
    inputs = {"a": np.zeros(4, np.float32), "b": np.array(["u", "v"])}
    return explain_request("models/two", [instance(inputs)], Ask("lime", params=params))


def _upload_header() -> Message:
    ref = ModelRef("models/sha256-" + "ab" * 32, b"x" * 10)
    return next(iter(upload(ref)))


# Requests that the client builds and answers that it reads, by file name.
GOLDEN: dict[str, Callable[[], Message]] = {
    "request_lime_row": _lime_of_a_row,
    "request_occlusion_array": _occlusion_of_an_array,
    "request_lime_text": _lime_of_a_text,
    "request_lime_segments": _lime_with_own_segments,
    "request_upload_header": _upload_header,
    "response_attribution": attribution,
    "response_plan": plan,
    "response_methods": methods,
}
