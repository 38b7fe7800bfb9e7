"""KServe's routes for the OpenAPI document. Its protocols have no descriptors to read them from, so they stand here."""

from __future__ import annotations

from typing import Any

from whybox_server.http.encode import JSON
from whybox_server.http.openapi import COMMON
from whybox_server.kserve.infer import EXPLANATION, UNDERSTOOD

Schema = dict[str, Any]
V1, V2 = "KServe V1", "Open Inference Protocol"
NAME: Schema = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "KServe's name of the model: letters, digits, `-` and `_`.",
    "schema": {"type": "string", "minLength": 1},
}
VERSION: Schema = {
    **NAME,
    "name": "version",
    "description": "A version that the model's metadata name.",
}
WISHES = (
    {
        "name": "x-whybox-method",
        "in": "header",
        "description": "The method, where `parameters` name none.",
        "schema": {"type": "string"},
    },
    {
        "name": "x-whybox-parameters",
        "in": "header",
        "description": "A JSON object laid under `parameters`.",
        "schema": {"type": "string"},
    },
)
PARAMETERS: Schema = {
    "type": ["object", "null"],
    "description": "`method`, its parameters by name, and fields of ExplainRequest such as `seed` and `targets`; `tensors` "
    '("list" or "base64") and `subject` (true: pictures and tensors are sent back) say how the answer is written.',
}
TENSOR: Schema = {
    "type": "object",
    "description": "One tensor of the Open Inference Protocol.",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}, "description": "Axis 0 counts instances."},
        "datatype": {"type": "string", "enum": UNDERSTOOD},
        "parameters": {"type": "object", "description": "`binary_data_size`, where data stand behind the JSON."},
        "data": {"type": "array", "description": "Elements in row-major order, flat or nested."},
    },
}
SCHEMAS: dict[str, Schema] = {
    "KServeError": {
        "type": "object",
        "description": "Why a call of KServe's failed.",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    },
    "V1Request": {
        "type": "object",
        "description": "What is predicted or explained.",
        "properties": {
            "instances": {"description": 'Arrays, texts, objects of columns or inputs, or {"b64": PICTURE}: a list.'},
            "inputs": {"description": "The same, or an object of columns, or tensors. One of the two is required."},
            "parameters": PARAMETERS,
        },
    },
    "V1Explained": {
        "type": "object",
        "description": "Two lists of equal length.",
        "required": ["predictions", "explanations"],
        "properties": {
            "predictions": {"type": "array", "description": "What the model says of each instance."},
            "explanations": {
                "type": "array",
                "items": {"type": "object"},
                "description": "Explanation, with numbers where proto3 JSON has texts, and the request's `parameters`.",
            },
        },
    },
    "V1Predicted": {"type": "object", "description": "What the predictor says.", "properties": {}},
    "V1Models": {
        "type": "object",
        "description": "Names of all models.",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": {"type": "string"}}},
    },
    "ServerMetadata": {
        "type": "object",
        "description": "What the server is.",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "extensions": {"type": "array", "items": {"type": "string"}},
        },
    },
    "ModelMetadata": {
        "type": "object",
        "description": "What the explained model takes; -1: any length.",
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": {"type": "object"}},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
    },
    "Health": {
        "type": "object",
        "description": "Alive or ready.",
        "properties": {"live": {"type": "boolean"}, "ready": {"type": "boolean"}, "name": {"type": "string"}},
    },
    "InferRequest": {
        "type": "object",
        "description": "Tensors whose rows are explained.",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": PARAMETERS,
            "inputs": {"type": "array", "items": TENSOR},
            "outputs": {"type": "array", "description": f"Only `{EXPLANATION}` exists."},
        },
    },
    "InferResponse": {
        "type": "object",
        "description": f"One BYTES tensor `{EXPLANATION}`, (n, 1): a JSON text for each instance.",
        "properties": {
            "id": {"type": "string"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
    },
}


def described() -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Paths, and the schemas that they refer to."""
    model, versioned = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    paths: dict[str, Schema] = {
        "/v1/models": _get(V1, "Lists all models.", "V1Models"),
        "/v1/models/{name}": _get(V1, "Says whether a model is ready; 503 if it is not.", "Health", NAME),
        "/v1/models/{name}:explain": _post(V1, "Predicts instances, and explains why.", "V1Request", "V1Explained", NAME),
        "/v1/models/{name}:predict": _post(V1, "Passed on to the predictor.", "V1Request", "V1Predicted", NAME),
        "/v2": _at_once("Says what the server is.", "ServerMetadata"),
        "/v2/health/live": _at_once("Says that the server lives.", "Health"),
        "/v2/health/ready": _at_once("Says whether the predictor answers; 503 if it does not.", "Health"),
        "/v2/models": _get(V2, "Lists all models.", "V1Models"),
    }
    for path, variables in ((model, (NAME,)), (versioned, (NAME, VERSION))):
        paths |= {
            path: _get(V2, "Says what a model takes.", "ModelMetadata", *variables),
            f"{path}/ready": _get(V2, "Says whether a model is ready; 503 if it is not.", "Health", *variables),
            f"{path}/infer": _post(V2, "Explains each row.", "InferRequest", "InferResponse", *variables),
            f"{path}/explain": _post(V2, "The same.", "InferRequest", "InferResponse", *variables),
        }
    return paths, SCHEMAS


def _get(tag: str, about: str, answer: str, *variables: Schema) -> Schema:
    return {"get": _operation(tag, about, answer, [*variables, *COMMON])}


def _at_once(about: str, answer: str) -> Schema:
    """A question whose answer is there: no deadline can pass."""
    return {"get": _operation(V2, about, answer, [])}


def _post(tag: str, about: str, asked: str, answer: str, *variables: Schema) -> Schema:
    operation = _operation(tag, about, answer, [*variables, *WISHES, *COMMON])
    operation["requestBody"] = {"required": True, "content": _json(asked)}
    return {"post": operation}


def _operation(tag: str, about: str, answer: str, parameters: list[Any]) -> Schema:
    return {
        "tags": [tag],
        "description": about,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The answer.", "content": _json(answer)},
            "default": {"description": "Why the call failed.", "content": _json("KServeError")},
        },
    }


def _json(name: str) -> Schema:
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
