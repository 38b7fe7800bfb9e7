"""ModelSpec on the wire and in the core."""

from __future__ import annotations

from whybox.v1 import spec_pb2 as pb
from whybox_server.api.tensors import to_array
from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import (
    BatchAxis,
    Details,
    GradientOutput,
    ImageSpec,
    Modality,
    ModelSpec,
    ScoreKind,
    TabularSpec,
    TextSpec,
    TimeSeriesSpec,
)

MODALITIES = {
    pb.MODALITY_TABULAR: Modality.TABULAR,
    pb.MODALITY_IMAGE: Modality.IMAGE,
    pb.MODALITY_TEXT: Modality.TEXT,
    pb.MODALITY_TIME_SERIES: Modality.TIME_SERIES,
    pb.MODALITY_TENSOR: Modality.TENSOR,
}
SCORES = {
    pb.SCORE_KIND_LOGIT: ScoreKind.LOGIT,
    pb.SCORE_KIND_PROBABILITY: ScoreKind.PROBABILITY,
    pb.SCORE_KIND_VALUE: ScoreKind.VALUE,
}
BATCHES = {
    pb.BATCH_AXIS_DYNAMIC: BatchAxis.DYNAMIC,
    pb.BATCH_AXIS_FIXED: BatchAxis.FIXED,
    pb.BATCH_AXIS_NONE: BatchAxis.NONE,
}
MODALITY_NUMBERS = {value: number for number, value in MODALITIES.items()}
SCORE_NUMBERS = {value: number for number, value in SCORES.items()}
BATCH_NUMBERS = {value: number for number, value in BATCHES.items()}


def to_spec(message: pb.ModelSpec, field: str) -> ModelSpec:
    """What the caller declared; what is unset stays None or empty. Raises InvalidRequest."""
    for name, known in (("modality", MODALITIES), ("score", SCORES), ("batch", BATCHES)):
        number = getattr(message, name)
        if number and number not in known:
            raise InvalidRequest.of(f"{field}.{name}", f"unknown value {number}")
    return ModelSpec(
        modality=MODALITIES.get(message.modality),
        labels=tuple(message.labels),
        output=message.output,
        score=SCORES.get(message.score),
        batch=BATCHES.get(message.batch),
        gradient=_gradient(message, f"{field}.gradient"),
        details=_details(message, field),
    )


def _gradient(message: pb.ModelSpec, field: str) -> GradientOutput | None:
    if not message.HasField("gradient"):
        return None
    if not message.gradient.output:
        raise InvalidRequest.of(f"{field}.output", "required: the name of the output that holds the gradient")
    return GradientOutput(message.gradient.output, message.gradient.seed, message.gradient.input)


def _details(message: pb.ModelSpec, field: str) -> Details:
    match message.WhichOneof("details"):
        case "tabular":
            table = message.tabular
            categories = {column: tuple(entry.names) for column, entry in table.categories.items()}
            background = _background(table, f"{field}.tabular.background", rank=2)
            return TabularSpec(tuple(table.feature_names), background, categories)
        case "image":
            return _image(message.image, f"{field}.image")
        case "text":
            text = message.text
            mask_id = text.mask_id if text.HasField("mask_id") else None
            return TextSpec(text.mask_token or TextSpec().mask_token, mask_id, text.pad_id)
        case "time_series":
            series = message.time_series
            background = _background(series, f"{field}.time_series.background", rank=None)
            return TimeSeriesSpec(series.layout, tuple(series.channel_names), background)
        case _:
            return None


def _image(image: pb.ImageSpec, field: str) -> ImageSpec:
    black = image.black if image.HasField("black") else 0.0
    white = image.white if image.HasField("white") else 1.0
    if black == white:
        raise InvalidRequest.of(f"{field}.white", f"must differ from black, both are {white}")
    if any(std == 0 for std in image.std):
        raise InvalidRequest.of(f"{field}.std", "must not contain 0")
    background = _background(image, f"{field}.background", rank=None)
    return ImageSpec(image.layout, black, white, tuple(image.mean), tuple(image.std), background)


def _background(
    holder: pb.TabularSpec | pb.ImageSpec | pb.TimeSeriesSpec, field: str, rank: int | None
) -> Array | None:
    if not holder.HasField("background"):
        return None
    rows = to_array(holder.background, field)
    if rows.ndim == 0 or len(rows) == 0 or (rank is not None and rows.ndim != rank):
        raise InvalidRequest.of(field, f"must be (rows, columns) with at least one row, got shape {rows.shape}")
    return rows


def from_spec(spec: ModelSpec) -> pb.ModelSpec:
    """The spec as it is used; background rows are left out."""
    message = pb.ModelSpec(labels=spec.labels, output=spec.output)
    if spec.modality is not None:
        message.modality = MODALITY_NUMBERS[spec.modality]
    if spec.score is not None:
        message.score = SCORE_NUMBERS[spec.score]
    if spec.batch is not None:
        message.batch = BATCH_NUMBERS[spec.batch]
    if spec.gradient is not None:
        gradient = spec.gradient
        message.gradient.CopyFrom(
            pb.GradientOutput(output=gradient.output, seed=gradient.seed, input=gradient.input)
        )
    match spec.details:
        case TabularSpec(names, _, categories):
            message.tabular.feature_names.extend(names)
            for column, labels in categories.items():
                message.tabular.categories[column].names.extend(labels)
        case ImageSpec() as image:
            message.image.CopyFrom(
                pb.ImageSpec(
                    layout=image.layout, black=image.black, white=image.white, mean=image.mean, std=image.std
                )
            )
        case TextSpec() as text:
            message.text.CopyFrom(pb.TextSpec(mask_token=text.mask_token, mask_id=text.mask_id, pad_id=text.pad_id))
        case TimeSeriesSpec() as series:
            message.time_series.layout = series.layout
            message.time_series.channel_names.extend(series.channel_names)
    return message
