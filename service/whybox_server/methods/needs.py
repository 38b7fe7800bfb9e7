"""What methods need of a model beyond its modality, read off the spec alone: no instance, no parameters.

Each says what is missing, or "" if nothing is. It is what a list of methods can say beforehand; refusing
an instance is each method's own affair.
"""

from __future__ import annotations

from whybox_server.core.spec import ImageSpec, Modality, ModelSpec, ScoreKind, TabularSpec, TimeSeriesSpec


def a_decision(spec: ModelSpec) -> str:
    """More than one plain value."""
    if spec.score is ScoreKind.VALUE and len(spec.labels) == 1:
        return "it needs a decision that stays or changes, and this model says one plain value"
    return ""


def typical_instances(spec: ModelSpec) -> str:
    """A background; a text has none."""
    details = spec.details
    if not isinstance(details, TabularSpec | ImageSpec | TimeSeriesSpec):
        return ""
    if details.background is None or not len(details.background):
        what = (spec.modality or Modality.TENSOR).value
        return f"it draws from typical instances, and spec.{what}.background has none; send some with the request"
    return ""


def a_decision_and_typical_rows(spec: ModelSpec) -> str:
    """A decision, and for tables a background."""
    return a_decision(spec) or (typical_instances(spec) if spec.modality is Modality.TABULAR else "")
