"""What came in over any of KServe's wires, in our own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whybox.v1 import explain_pb2
from whybox_server.serving.onnx.signature import RowInfo


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """parameters: JSON values by name, as the request said them. rows: V1's instances as they were given, to be
    passed on to a predictor that speaks V1.
    """

    instances: tuple[explain_pb2.Instance, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is said of a model. inputs: of one row, None for any length; empty if nobody says what it takes."""

    name: str
    versions: tuple[str, ...]
    inputs: tuple[RowInfo, ...]
