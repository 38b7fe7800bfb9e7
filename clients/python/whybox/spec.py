"""Says what a model's tensors mean: one builder per modality, each giving a `whybox.v1.ModelSpec`.

Whatever is left out is taken by the server from `whybox.yaml`, or guessed and reported. Nothing here
knows a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from whybox.descriptors import enum_names
from whybox.errors import invalid, near
from whybox.params import fill
from whybox.v1 import spec_pb2


class Common(TypedDict, total=False):
    """What every kind of model can say about its output.

    labels: name of each class or output, in the order of the output.
    output: output tensor to explain.
    score: what it holds: "logit", "probability" or "value".
    batch: how axis 0 of the inputs is used: "dynamic", "fixed" or "none".
    gradient: a gradient that the graph computes itself: {"output": NAME}, and {"seed": NAME} of the
        input that says of which score, {"input": NAME} of the one it is a gradient of.
    """

    labels: Sequence[str] | None
    output: str | None
    score: str | None
    batch: str | None
    gradient: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the tensors of a model mean. Build one with the function of its modality."""

    message: spec_pb2.ModelSpec

    @staticmethod
    def tabular(
        *,
        background: Any = None,
        feature_names: Sequence[str] | None = None,
        categories: Mapping[int | str, Sequence[str]] | Iterable[int | str] | None = None,
        **common: Unpack[Common],
    ) -> ModelSpec:
        """A model of table rows.

        background: typical rows, (rows, columns), an array or a data frame; bins, frequencies and means
            are taken from them. Unset: the instance's own scale is used, and the answer says so.
        feature_names: one per column. Unset: the data frame's columns, or "x0", "x1", ...
        categories: columns that are categories, by index or name: {2: ["red", "blue"]} with the names
            of category 0, 1, ..., or just [2, 5].
        Raises ExplainError when a value does not fit.
        """
        if feature_names is None and hasattr(background, "columns"):
            feature_names = [str(name) for name in background.columns]
        details = {"background": background, "feature_names": feature_names}
        spec = _spec("tabular", details, common)
        for column, names in _named(categories).items():
            index = _column(column, feature_names or ())
            spec.message.tabular.categories[index].names.extend(map(str, names))
        return spec

    @staticmethod
    def image(
        *,
        layout: str | None = None,
        black: float | None = None,
        white: float | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        background: Any = None,
        **common: Unpack[Common],
    ) -> ModelSpec:
        """A model of pictures.

        layout: axes of the input without the batch axis: "CHW", "HWC" or "HW".
        black, white: values before normalisation. Unset: 0 and 1.
        mean, std: normalisation (value - mean) / std per channel, in units of [black, white].
        background: typical pictures as the model takes them, (rows, *instance shape).
        Raises ExplainError when a value does not fit.
        """
        details = {
            "layout": layout,
            "black": black,
            "white": white,
            "mean": mean,
            "std": std,
            "background": background,
        }
        return _spec("image", details, common)

    @staticmethod
    def text(
        *,
        mask_token: str | None = None,
        mask_id: int | None = None,
        pad_id: int | None = None,
        **common: Unpack[Common],
    ) -> ModelSpec:
        """A model of texts: one string, or token ids.

        mask_token: put in place of a hidden word by the baseline "mask".
        mask_id, pad_id: token ids for "masked" and for "nothing there".
        Raises ExplainError when a value does not fit.
        """
        return _spec("text", {"mask_token": mask_token, "mask_id": mask_id, "pad_id": pad_id}, common)

    @staticmethod
    def time_series(
        *,
        layout: str | None = None,
        channel_names: Sequence[str] | None = None,
        background: Any = None,
        **common: Unpack[Common],
    ) -> ModelSpec:
        """A model of time series.

        layout: axes of the input without the batch axis: "TC" (time, channel), "CT" or "T".
        channel_names: one per channel.
        background: typical series, (rows, *instance shape).
        Raises ExplainError when a value does not fit.
        """
        details = {"layout": layout, "channel_names": channel_names, "background": background}
        return _spec("time_series", details, common)

    @staticmethod
    def tensor(**common: Unpack[Common]) -> ModelSpec:
        """A model of numbers without a meaning of their own: every element is a feature."""
        return _spec("tensor", {}, common)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> ModelSpec:
        """The builder named by values["modality"], called with everything else; for JSON files.

        Raises ExplainError for an unknown modality or field.
        """
        rest = dict(values)
        modality = str(rest.pop("modality", ""))
        known = enum_names(spec_pb2.Modality.DESCRIPTOR)
        if modality not in known:
            raise invalid("spec.modality", f"no modality {modality!r}; {near(modality, known)}")
        if "categories" in rest and isinstance(rest["categories"], Mapping):
            columns = rest["categories"].items()  # JSON has no integer keys
            rest["categories"] = {int(k) if str(k).isdecimal() else k: v for k, v in columns}
        try:
            spec: ModelSpec = getattr(ModelSpec, modality)(**rest)
        except TypeError as error:
            raise invalid("spec", f"a field does not belong there: {error}") from error
        return spec


def _spec(modality: str, details: Mapping[str, Any], common: Mapping[str, Any]) -> ModelSpec:
    message = spec_pb2.ModelSpec()
    fill(message, {"modality": modality, **common}, "spec")
    if modality in message.DESCRIPTOR.fields_by_name:
        fill(message, {modality: details}, "spec")
    return ModelSpec(message)


def _named(
    categories: Mapping[int | str, Sequence[str]] | Iterable[int | str] | None,
) -> Mapping[int | str, Sequence[str]]:
    if categories is None:
        return {}
    return categories if isinstance(categories, Mapping) else dict.fromkeys(categories, ())


def _column(column: int | str, names: Sequence[str]) -> int:
    if isinstance(column, str):
        if column not in names:
            raise invalid("spec.tabular.categories", f"no column {column!r}; {near(column, names)}")
        return list(names).index(column)
    if column < 0:
        raise invalid("spec.tabular.categories", f"column {column} must be 0 or more")
    return int(column)
