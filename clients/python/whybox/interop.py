"""Explanations in the types of other libraries, none of them a dependency: imported when asked for."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from whybox.errors import ExplainError
from whybox.tensors import Array, from_tensor

if TYPE_CHECKING:
    from whybox.result import Explanation


def to_shap(e: Explanation, *, force: bool = False) -> Any:
    """A `shap.Explanation` of this one instance, for `shap.plots`.

    values: (features,), or (features, targets) when there are several targets; a value per element is
    flattened. Standard errors become `error_std`. shap's plots add the values up to the score, so an
    attribution that is not additive is refused; force=True converts it all the same, with a warning.
    Raises ExplainError for that, and when shap is not installed.
    """
    if not e.additive:
        said = f"values of {e.provenance.method} do not add up to the score, as shap's plots assume"
        if not force:
            raise _unfit(said, "pass force=True to convert them nevertheless, or use to_png / to_html")
        warnings.warn(said, UserWarning, stacklevel=3)
    try:
        import shap  # type: ignore[import-not-found, unused-ignore] # noqa: PLC0415 - no dependency of ours
    except ModuleNotFoundError as error:
        raise _unfit("shap is not installed here", "pip install shap") from error
    several = len(e) > 1
    errors = [one.standard_errors for one in e]
    known = [one for one in errors if one is not None]  # all targets have them, or none
    bases = np.array([np.nan if one.base_value is None else one.base_value for one in e])  # (targets,)
    return shap.Explanation(
        values=_columns([one.values for one in e], several=several),
        base_values=bases if several else float(bases[0]),
        data=_data(e),
        feature_names=list(e.names),
        output_names=[target.label for target in e.targets] if several else None,
        error_std=_columns(known, several=several) if known else None,
    )


def to_alibi(e: Explanation) -> Any:
    """The JSON form that alibi gives rules (Anchors) and contrasts (CEM).

    Raises ExplainError for attributions: alibi has no form for them that says what they mean.
    """
    kind = e.message.WhichOneof("result") or "result of a newer kind"
    raise _unfit(
        f"alibi has a form for rules and contrasts, and none for an {kind}",
        'use to_json, whose "attributions" other tools read, or to_shap',
    )


def _columns(per_target: list[Array], *, several: bool) -> Array:
    flat = [values.ravel() for values in per_target]
    return np.stack(flat, axis=1) if several else flat[0]


def _data(e: Explanation) -> Array | None:
    """What the instance has at each value, where the answer shows it; shap prints it beside the names."""
    subject = e.message.subject
    size = e.values.size
    if subject.HasField("table") and len(subject.table.values) == size:
        return np.array(list(subject.table.values), dtype=object)
    if subject.HasField("tensor"):
        array = from_tensor(subject.tensor)
        return array.ravel() if array.size == size else None
    if subject.HasField("series"):
        array = from_tensor(subject.series.values)
        return array.ravel() if array.size == size else None
    return None


def _unfit(message: str, remedy: str) -> ExplainError:
    return ExplainError(message, code="FAILED_PRECONDITION", reason="", remedy=remedy)
