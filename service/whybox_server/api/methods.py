"""What `ListMethods` says: every method, its parameters, and whether it applies to a model."""

from __future__ import annotations

import dataclasses
import typing
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Union

from whybox.v1 import explain_pb2
from whybox_server.api.spec import MODALITY_NUMBERS
from whybox_server.core.spec import Modality
from whybox_server.methods import METHODS
from whybox_server.methods.method import About, Method
from whybox_server.perturb.options import Baseline, Segmentation
from whybox_server.serving.model import Model


def methods_for(model: Model) -> list[explain_pb2.MethodInfo]:
    """All methods, and whether each applies to this model. Blocks while its graph is looked through."""
    infos = list_of_all().methods
    for method, info in zip(METHODS, infos, strict=True):
        info.not_applicable = why_not(method, model)
    return list(infos)


def list_of_all() -> explain_pb2.ListMethodsResponse:
    """All methods, whatever the model."""
    found = explain_pb2.ListMethodsResponse()
    found.CopyFrom(_all())
    return found


@cache
def _all() -> explain_pb2.ListMethodsResponse:
    """Made once: reading the parameters' types takes tens of milliseconds."""
    return explain_pb2.ListMethodsResponse(methods=map(method_info, METHODS))


def method_info(method: Method[Any, Any]) -> explain_pb2.MethodInfo:
    """What `ListMethods` says of a method."""
    return explain_pb2.MethodInfo(
        name=method.name,
        summary=method.summary,
        citation=method.citation,
        modalities=[MODALITY_NUMBERS[m] for m in Modality if m in method.modalities],
        version=method.version,
        parameters=[_parameter(method.params, field) for field in dataclasses.fields(method.params)],
    )


def why_not(method: Method[Any, Any], model: Model) -> str:
    """Why the method does not apply to a model, or "" if it does. A model's spec always has its modality."""
    spec = model.spec
    if spec.modality is not None and spec.modality not in method.modalities:
        return f"it does not explain {spec.modality.value} models"
    if model.labels_only and not method.labels_suffice:
        return "it needs to see how scores change, and this endpoint says labels alone"
    return method.lacks(spec) or model.refusal(method.probes, method.reads)


def _parameter(params: type[Any], field: dataclasses.Field[Any]) -> explain_pb2.ParameterInfo:
    about: About = field.metadata["about"]
    kind = kind_of(typing.get_type_hints(params)[field.name])
    info = explain_pb2.ParameterInfo(name=field.name, default=about.unset, summary=about.summary)
    if isinstance(kind, type) and issubclass(kind, Enum):
        info.type = "choice"
        info.choices.extend(str(member.value) for member in kind)
    else:
        info.type = TYPE_NAMES.get(kind, "tensor")
    return info


def kind_of(hint: Any) -> Any:
    """What a parameter holds, whether it may be left out or not; of several numbers, `tuple[number, ...]`."""
    if typing.get_origin(hint) in (Union, UnionType):
        return next(option for option in typing.get_args(hint) if option is not type(None))
    return hint


TYPE_NAMES: dict[Any, str] = {
    int: "int",
    float: "float",
    bool: "bool",
    str: "text",
    tuple[int, ...]: "ints",
    tuple[float, ...]: "floats",
    tuple[str, ...]: "texts",
    Segmentation: "segmentation",
    Baseline: "baseline",
}
