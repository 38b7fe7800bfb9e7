"""OpenAPI 3.1 out of the services' descriptors and the comments of their protos; nothing here is written by hand twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from whybox_server.http.context import MOST_S
from whybox_server.http.encode import JSON
from whybox_server.http.reply import EVENTS, NDJSON
from whybox_server.http.request import OCTETS, header_name, upload_fields
from whybox_server.http.routes import Binding

Schema = dict[str, Any]
NOTHING: Mapping[str, Schema] = MappingProxyType({})
ABOUT = (
    "Explains what models say: every RPC of the gRPC services, in proto3 JSON. Names are those of the protos "
    "(camelCase is taken too). Elements of a tensor are base64 of little-endian bytes or nested lists of numbers. "
    "Errors are google.rpc.Status. Below /v1 and /v2 are the routes of KServe's explainers."
)
TENSOR_DATA: Schema = {"anyOf": [{"type": "string", "contentEncoding": "base64"}, {"type": "array"}]}
STATUS: Schema = {
    "type": "object",
    "description": "google.rpc.Status; `details` holds google.rpc.ErrorInfo, BadRequest and their like.",
    "properties": {
        "code": {"type": "integer", "description": "google.rpc.Code."},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
    },
}
COMMON = (
    {
        "name": "x-timeout-s",
        "in": "header",
        "description": "Seconds the call may take. `grpc-timeout` is understood too.",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_S},
    },
    {
        "name": "x-request-id",
        "in": "header",
        "description": "Names the call in logs and answers: up to 128 letters, digits and `_.:-`. Anything else, "
        "like nothing, is a new one.",
        "schema": {"type": "string"},
    },
)
INT32, INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
SCALARS: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "minimum": INT32[0], "maximum": INT32[1]},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    # proto3 JSON writes 64 bits as texts, since readers of JSON may lose some of them.
    FieldDescriptor.CPPTYPE_INT64: {
        "type": ["string", "integer"],
        "pattern": r"^-?\d{1,18}$",
        "minimum": INT64[0],
        "maximum": INT64[1],
    },
    FieldDescriptor.CPPTYPE_UINT64: {
        "type": ["string", "integer"],
        "pattern": r"^\d{1,19}$",
        "minimum": 0,
        "maximum": 2**64 - 1,
    },
}


def document(
    bindings: Sequence[Binding], more: Mapping[str, Schema] = NOTHING, schemas_of_more: Mapping[str, Schema] = NOTHING
) -> Schema:
    """The whole document. more: paths of others beside ours, and the schemas that they refer to."""
    said: dict[str, str] = json.loads((resources.files("whybox_server.http") / "comments.json").read_text("utf-8"))
    schemas: dict[str, Schema] = {"Status": STATUS, **schemas_of_more}
    paths: dict[str, Schema] = {}
    named: set[str] = set()
    for binding in sorted(bindings, key=lambda one: (one.rpc.name.split("/")[0], one.template)):
        operation = _operation(binding, said, schemas)
        operation["operationId"] = _fresh(binding.rpc.name.replace("/", "_"), named)
        paths.setdefault(binding.template, {})[binding.verb.lower()] = operation
    paths |= more
    return {
        "openapi": "3.1.0",
        "info": {"title": "whybox", "version": "v1", "summary": "The explanation server", "description": ABOUT},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _fresh(name: str, taken: set[str]) -> str:
    """The name, with a number behind it if it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _operation(binding: Binding, said: dict[str, str], schemas: dict[str, Schema]) -> Schema:
    method = binding.rpc.descriptor
    answer = _ref(method.output_type, said, schemas)
    kinds = (NDJSON, EVENTS) if method.server_streaming else (JSON,)
    operation: Schema = {
        "tags": [method.containing_service.name],
        "description": said.get(method.full_name, ""),
        "parameters": [*_parameters(binding, said), *COMMON],
        "responses": {
            "200": {
                "description": "A message per line or event." if method.server_streaming else "The answer.",
                "content": {kind: {"schema": answer} for kind in kinds},
            },
            "default": {
                "description": "Why the call failed.",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Status"}}},
            },
        },
    }
    if method.client_streaming:
        operation["requestBody"] = {"required": True, "content": {OCTETS: {"schema": {}}}}
    elif binding.body:
        content = {JSON: {"schema": _ref(method.input_type, said, schemas)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(binding: Binding, said: dict[str, str]) -> Iterable[Schema]:
    method = binding.rpc.descriptor
    for field in method.input_type.fields:
        if field.name == binding.variable:
            # The field's own comment speaks of the whole name, "models/NAME".
            about = f'What stands behind "{binding.prefix}" in `{field.name}`.'
            schema = {"type": "string", "minLength": 1}
            yield {"name": field.name, "in": "path", "required": True, "description": about, "schema": schema}
        elif not binding.body:
            about, schema = said.get(field.full_name, ""), SCALARS[field.cpp_type]
            yield {"name": field.name, "in": "query", "description": about, "schema": schema}
    if method.client_streaming:
        header, _ = upload_fields(method.input_type)
        for field in method.input_type.fields_by_name[header].message_type.fields:
            about = said.get(field.full_name, "")
            if field.message_type is not None:
                about = f"{about} JSON of {field.message_type.name}."
            yield {"name": header_name(field), "in": "header", "description": about, "schema": {"type": "string"}}


def _ref(descriptor: Any, said: dict[str, str], schemas: dict[str, Schema]) -> Schema:
    """A reference to a message or enum, which is described among `schemas` when it was not yet."""
    name = descriptor.name
    if name not in schemas:
        schema: Schema = {"description": said.get(descriptor.full_name, "")}
        schemas[name] = schema
        if hasattr(descriptor, "values_by_name"):
            schema |= {"type": "string", "enum": [value.name for value in descriptor.values]}
            about = [(value.name, said.get(value_name(descriptor, value))) for value in descriptor.values]
            schema["description"] += "".join(f"\n- `{one}`: {text}" for one, text in about if text)
        else:
            properties = {field.name: _field(field, said, schemas) for field in descriptor.fields}
            schema |= {"type": "object", "properties": properties, "additionalProperties": False}
            for oneof in descriptor.oneofs:
                if len(oneof.fields) > 1:
                    schema["description"] += f" At most one of: {', '.join(one.name for one in oneof.fields)}."
    return {"$ref": f"#/components/schemas/{name}"}


def value_name(descriptor: Any, value: Any) -> str:
    """As comments name it, below its enum."""
    return f"{descriptor.full_name}.{value.name}"


def _field(field: Any, said: dict[str, str], schemas: dict[str, Schema]) -> Schema:
    about = said.get(field.full_name, "")
    one = _single(field, said, schemas)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        one = _single(field.message_type.fields_by_name["value"], said, schemas)
        return {"type": "object", "additionalProperties": one, "description": about}
    if field.is_repeated:
        return {"type": "array", "items": one, "description": about}
    return {**one, "description": about} if about else one


def _single(field: Any, said: dict[str, str], schemas: dict[str, Schema]) -> Schema:
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return {}
        return _ref(field.message_type, said, schemas)
    if field.enum_type is not None:
        return _ref(field.enum_type, said, schemas)
    if field.full_name == "whybox.v1.Tensor.data":
        return TENSOR_DATA
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    return dict(SCALARS[field.cpp_type])
