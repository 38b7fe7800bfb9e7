"""What an audit asks of every instance, and a digest of it: audits of one digest can be continued.

It knows neither the instances nor how they are asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whybox.endpoint import Endpoint
from whybox.errors import invalid
from whybox.params import set_method
from whybox.spec import ModelSpec
from whybox.v1 import explain_pb2
from whybox.wire import model_ref

LARGEST_SHOWN = 200  # characters of a parameter; a longer one is known by its digest


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that a result depends on, but for the instance.

    model: what `Client.explain` takes. methods: parameters by method, in the order of the report.
    target, seed, space, mode, spec: as for `Client.explain`. where: JMESPath over the model's answer
    ({"label", "score", "probability", "row"}) that chooses the instances; "": all of them.
    """

    model: Any
    methods: Mapping[str, Mapping[str, Any]]
    target: Any = None
    seed: int = 0
    space: str | None = None
    mode: str | None = None
    spec: ModelSpec | None = field(default=None, repr=False)
    where: str = ""

    def check(self) -> None:
        """Raises ExplainError for unknown methods and parameters, before anything is started."""
        if not self.methods:
            raise invalid("--method", "name at least one; `whybox methods` lists them")
        for name, params in self.methods.items():
            set_method(explain_pb2.ExplainRequest(), name, params)

    def question(self) -> dict[str, Any]:
        """The arguments of `Client.explain` that all methods share."""
        return {
            "model": self.model,
            "target": self.target,
            "seed": self.seed,
            "space": self.space,
            "mode": self.mode,
            "spec": self.spec,
        }

    def parameters(self) -> dict[str, Any]:
        """The order as JSON, for a reader and for `digest`. Reads the model's file; raises ExplainError."""
        spec = None if self.spec is None else self.spec.message.SerializeToString(deterministic=True)
        return {
            "model": named(self.model),
            "model_digest": digested(self.model),
            "methods": {name: shown(dict(params)) for name, params in self.methods.items()},
            "target": shown(self.target),
            "seed": self.seed,
            "space": self.space,
            "mode": self.mode,
            "spec": None if spec is None else hashlib.sha256(spec).hexdigest(),
            "where": self.where,
        }


def digest(parameters: Mapping[str, Any]) -> str:
    """SHA-256 of parameters, whatever the order of their names."""
    said = json.dumps(parameters, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is said otherwise, in words, by name."""
    names = sorted({*before, *now} - {"model"})  # a file may have been moved; its digest tells
    return [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def named(model: Any) -> str:
    """The model as a reader knows it: a file by its name without its folder."""
    if isinstance(model, bytes):
        return "an ONNX model"
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".onnx")):
        path = Path(model)
        return path.name if path.stem != "model" else "/".join(path.parts[-3:])
    if isinstance(model, Endpoint):
        return model.name or f"{model.message.model} at {model.url}".removeprefix(" at ")
    return str(model)


def digested(model: Any) -> str:
    """What changes when the model does: of a file its SHA-256, of an endpoint how it is declared."""
    if isinstance(model, Endpoint):
        return hashlib.sha256(model.message.SerializeToString(deterministic=True)).hexdigest()
    if isinstance(model, bytes | str | Path) and not str(model).startswith(("models/", "endpoints/")):
        return model_ref(model).name.removeprefix("models/")
    return str(model)


def shown(value: Any) -> Any:
    """A parameter as JSON; arrays and long ones by their digest."""
    if isinstance(value, Mapping):
        return {str(name): shown(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        value = [shown(one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    raw = value.tobytes() if hasattr(value, "tobytes") else text.encode()
    if len(text) > LARGEST_SHOWN or hasattr(value, "tobytes"):
        return f"sha256-{hashlib.sha256(raw).hexdigest()}"
    return value
