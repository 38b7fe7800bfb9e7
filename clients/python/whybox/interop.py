"""Explanations in the types of other libraries, none of them a dependency: imported when asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from whybox.errors import ExplainError
from whybox.tensors import Array, from_tensor
from whybox.v1 import spec_pb2

if TYPE_CHECKING:
    from whybox.findings import Example
    from whybox.result import Explanation


def to_shap(e: Explanation, *, force: bool = False) -> Any:
    """A `shap.Explanation` of this one instance, for `shap.plots`.

    values: (features,), or (features, targets) when there are several targets; a value per element is
    flattened. Standard errors become `error_std`. shap's plots add the values up to the score, so an
    attribution that is not additive is refused; force=True converts it all the same, with a warning.
    Raises ExplainError for that, for results that are no attributions, and when shap is not installed.
    """
    if e.kind != "attribution":
        raise _unfit(f"shap has no form for {e.kind or 'a result of a newer kind'}", "use to_png or to_html")
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


def to_alibi(e: Explanation) -> dict[str, Any]:
    """The JSON form that alibi gives rules (Anchors) and contrasts (CEM): {"meta": ..., "data": ...}.

    The keys are alibi's, so that readers of its JSON, and `alibi.api.interfaces.Explanation.from_json`
    of its dump, take it. What alibi asks the model and we do not is empty: gradients of a CEM, rows
    outside a rule. The instance is what the answer shows of it (of a table the values as text).
    Raises ExplainError for other results: alibi has no form for them that says what they mean.
    """
    if e.kind not in ALIBI:
        raise _unfit(
            f"alibi has a form for rules and contrasts, and none for {e.kind or 'a result of a newer kind'}",
            'use to_json, whose "attributions" other tools read, or to_shap',
        )
    name, data = ALIBI[e.kind](e)
    meta = {
        "name": name,
        "type": ["blackbox"],
        "explanations": ["local"],
        "params": {"seed": e.provenance.seed, "method_version": e.provenance.method_version},
        "version": None,  # of alibi, which took no part
    }
    return {"meta": meta, "data": data}


def _anchor(e: Explanation) -> tuple[str, dict[str, Any]]:
    """Anchors*: one entry of each list in `raw` per predicate; examples stand with the whole rule."""
    rule, modality = e.rule, e.message.subject.modality
    texts = [p.text for p in rule.predicates]
    precisions = [p.precision for p in rule.predicates]
    examples: list[dict[str, list[str]]] = [_examples(()) for _ in rule.predicates]
    if examples:
        examples[-1] = _examples(rule.examples)
    raw = {
        "feature": [p.segment for p in rule.predicates],
        "mean": precisions,
        "precision": precisions,
        "coverage": [p.coverage for p in rule.predicates],
        "examples": examples,
        "all_precision": 0,  # alibi's own constant
        "num_preds": e.usage.rows_asked,
        "success": rule.threshold_met,
        "names": texts,
        "prediction": [e.target.index],
        "instance": _shown(e),
    }
    data = {"anchor": texts, "precision": rule.precision, "coverage": rule.coverage, "raw": raw}
    if e.segments is not None and modality == spec_pb2.MODALITY_IMAGE:
        data["segments"] = e.segments.tolist()
    return ANCHORS.get(modality, "AnchorTabular"), data


def _examples(found: Iterable[Example]) -> dict[str, list[str]]:
    both = list(found)
    return {
        "covered_true": [one.text for one in both if one.agrees],
        "covered_false": [one.text for one in both if not one.agrees],
        "uncovered_true": [],
        "uncovered_false": [],
    }


def _cem(e: Explanation) -> tuple[str, dict[str, Any]]:
    """CEM: PN and PP with their batch axis, None where none was found."""
    positive, negative = e.contrast.pertinent_positive, e.contrast.pertinent_negative
    shown = _shown(e)
    data = {
        "PN": None if negative is None else [negative.values.tolist()],
        "PP": None if positive is None else [positive.values.tolist()],
        "PN_pred": None if negative is None else negative.target.index,
        "PP_pred": None if positive is None else positive.target.index,
        "grads_graph": None,
        "grads_num": None,
        "X": None if shown is None else [shown],
        "X_pred": e.target.index,
    }
    return "CEM", data


def _shown(e: Explanation) -> Any:
    """The instance as the answer shows it, as plain lists or a text; None where it was not sent."""
    subject = e.message.subject
    view = subject.WhichOneof("view")
    if view == "text":
        return "".join(subject.text.pieces)
    if view == "table":
        return list(subject.table.values)
    if view == "series":
        return from_tensor(subject.series.values).tolist()
    return None if view is None else from_tensor(getattr(subject, view)).tolist()


ALIBI: dict[str, Callable[[Explanation], tuple[str, dict[str, Any]]]] = {"rule": _anchor, "contrast": _cem}
ANCHORS: dict[int, str] = {
    spec_pb2.MODALITY_TABULAR: "AnchorTabular",
    spec_pb2.MODALITY_IMAGE: "AnchorImage",
    spec_pb2.MODALITY_TEXT: "AnchorText",
}


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
