"""Routes out of service descriptors: what the `google.api.http` options of every method say, read once.

Templates are literal but for at most one variable at a resource's name, `{name=models/*}` within one path
segment or `{name=models/**}` over several; bodies are the whole message ("*") or none. Other rules are refused
when the server starts, not when a call comes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

VERBS = ("get", "post", "put", "patch", "delete")
VARIABLE = re.compile(r"\{(\w+)=([\w/]*/)(\*\*?)\}")


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method of a service, and who answers it."""

    name: str  # "ModelService/GetModel"
    descriptor: Any  # of the method
    servicer: Any

    @property
    def full_name(self) -> str:
        """As gRPC spells it, "/whybox.v1.ModelService/GetModel"."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def call(self) -> Any:
        return getattr(self.servicer, self.descriptor.name)

    @property
    def request(self) -> type[Message]:
        return message_factory.GetMessageClass(self.descriptor.input_type)


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to reach a method."""

    rpc: Rpc
    verb: str  # "GET"
    template: str  # without patterns: "/api/v1/models/{name}:predict"
    variable: str  # field that the path holds, "" if there is none
    prefix: str  # what stands before the variable's part in the field: "models/"
    deep: bool  # the variable may hold slashes
    body: bool  # the message comes in the body; else in the query

    @property
    def path(self) -> str:
        """The template as Starlette spells it."""
        deep = f"{{{self.variable}:path}}"
        return self.template.replace(f"{{{self.variable}}}", deep) if self.deep else self.template

    def held(self, path: Mapping[str, str]) -> dict[str, str]:
        """Fields that the path holds. path: its variables' parts, by name."""
        return {self.variable: self.prefix + path[self.variable]} if self.variable else {}


def bindings(servicers: Mapping[str, Any]) -> list[Binding]:
    """All ways to every method of these services.

    servicers: by the service's full name, "whybox.v1.ModelService". Raises ValueError for a method without a
    route, and for a rule that is not understood.
    """
    return [
        binding
        for name, servicer in servicers.items()
        for method in descriptor_pool.Default().FindServiceByName(name).methods
        for binding in _of(Rpc(f"{method.containing_service.name}/{method.name}", method, servicer))
    ]


def _of(rpc: Rpc) -> Iterator[Binding]:
    rule = rpc.descriptor.GetOptions().Extensions[annotations_pb2.http]
    for one in (rule, *rule.additional_bindings):
        verb = one.WhichOneof("pattern")
        if verb not in VERBS or one.body not in ("", "*"):
            raise ValueError(f"{rpc.name}: give a verb of {', '.join(VERBS)}, and as body nothing or '*'")
        yield _binding(rpc, verb.upper(), getattr(one, verb), bool(one.body))


def _binding(rpc: Rpc, verb: str, template: str, body: bool) -> Binding:
    parts = VARIABLE.findall(template)
    rest = VARIABLE.sub("", template)
    if len(parts) > 1 or "{" in rest or "*" in rest:
        raise ValueError(f"{rpc.name}: {template} has more than one variable, or one that is not understood")
    if not parts:
        return Binding(rpc, verb, template, "", "", deep=False, body=body)
    [(name, prefix, stars)] = parts
    if name not in rpc.descriptor.input_type.fields_by_name:
        raise ValueError(f"{rpc.name}: {template} names {name}, which is no field of the request")
    plain = VARIABLE.sub(f"{prefix}{{{name}}}", template)
    return Binding(rpc, verb, plain, name, prefix, deep=stars == "**", body=body)
