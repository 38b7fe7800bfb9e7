"""A node as a rule sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnx import NodeProto, helper

from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.walk import attribute, captured

if TYPE_CHECKING:
    from whybox_server.graph.gradient.path import Path
    from whybox_server.graph.gradient.table import Composite

STANDARD = frozenset({"", "ai.onnx"})


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """proto: in a graph of our own, so that a rule may ask it for an optional output.

    gradients: of its outputs, as far as there are any. wanted: inputs whose gradient is asked for.
    path, rules: of the walk that it is met on, for a rule that walks through graphs inside the node.
    """

    proto: NodeProto
    gradients: Mapping[Value, Value] = field(default_factory=dict)
    wanted: frozenset[Value] = frozenset()
    path: Path | None = None
    rules: Composite | None = None

    @property
    def inputs(self) -> tuple[Value, ...]:
        return tuple(self.proto.input)

    @property
    def operands(self) -> tuple[Value, ...]:
        """All that it reads: its inputs, then what graphs inside it take from outside."""
        return (*self.proto.input, *captured(self.proto))

    @property
    def outputs(self) -> tuple[Value, ...]:
        return tuple(self.proto.output)

    @property
    def input(self) -> Value:
        """The first one."""
        return self.proto.input[0]

    @property
    def output(self) -> Value:
        """The first one."""
        return self.proto.output[0]

    @property
    def names(self) -> tuple[str, ...]:
        """By which a caller may know it: its own, its outputs', and those of its weights."""
        weights = (name for name in self.proto.input if name not in self.wanted)
        return tuple(name for name in (self.proto.name, *self.proto.output, *weights) if name)

    def wants(self, place: int) -> bool:
        """True if the gradient of this input is asked for."""
        return self.optional(place) in self.wanted

    def optional(self, place: int) -> Value:
        """An input that may be left out: its name or ""."""
        return self.proto.input[place] if place < len(self.proto.input) else ""

    def attr(self, name: str, default: Any) -> Any:
        """An attribute's value; text as str."""
        found = attribute(self.proto, name)
        value = default if found is None else helper.get_attribute_value(found)
        return value.decode() if isinstance(value, bytes) else value

    @property
    def attributes(self) -> dict[str, Any]:
        """All of them, to emit the same operator again."""
        return {entry.name: helper.get_attribute_value(entry) for entry in self.proto.attribute}

    def __str__(self) -> str:
        return repr(self.proto.name or self.output)
