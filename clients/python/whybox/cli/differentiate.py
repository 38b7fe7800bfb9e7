"""`whybox differentiate`: a model's gradient as an ONNX file that any runtime can run.

Works on the file in this process, without a server; the mathematics is the server's package, which is
imported when the command is called.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whybox.embedded import not_installed
from whybox.errors import ExplainError, Violation, invalid, refused

LARGEST_FILE_BYTES = 2**31 - 1  # what one ONNX file can hold
TRUE = frozenset({"1", "true", "yes", "on"})
FLAGS = frozenset({"wrt", "of", "table"})
MEANINGS = {
    "whybox_seed": "weights of the outputs that are led back",
    "whybox_reference": "what the instance is compared with",
    "whybox_gradient": "what arrives there: the gradient of the weighted sum, or what the table makes of it",
    "whybox_largest": "largest relevance anywhere on the way, per row",
    "whybox_reference_score": "the score of the reference",
}


def differentiate(arguments: argparse.Namespace) -> int:
    """Write the model that leads its outputs back, and print what it has more than the model."""
    source, result = Path(arguments.file), Path(arguments.output)
    if not result.parent.is_dir() or result.is_dir() or not os.access(result.parent, os.W_OK):
        raise invalid("--output", f"cannot write {result}; name a file in a folder that exists")
    model = _read(source)
    gradient = _led_back(model, arguments)
    if gradient.ByteSize() > LARGEST_FILE_BYTES:
        raise invalid("MODEL", f"{source} and its gradient are larger than the 2 GB of one ONNX file")
    result.write_bytes(gradient.SerializeToString())
    for what, more in (
        ("input ", _more(model, gradient, "input")),
        ("output", _more(model, gradient, "output")),
    ):
        for value in more:
            print(f"{what}  {value.name}  {_dims(value)}{_meaning(value.name)}")
    print(f"wrote {result}", file=sys.stderr)
    return 0


def _read(path: Path) -> Any:
    """A model with its external data. Raises ExplainError for a file that is none."""
    try:
        import onnx  # noqa: PLC0415 - part of the server, which is an optional extra
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    try:
        return onnx.load(path)
    except (OSError, DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise invalid("MODEL", f"cannot read {path} as an ONNX model: {error}") from error


def _led_back(model: Any, arguments: argparse.Namespace) -> Any:
    try:
        from whybox_server.core.errors import InvalidRequest, WhyboxError  # noqa: PLC0415 - as above
        from whybox_server.graph.gradient import differentiate as of_graph  # noqa: PLC0415 - as above
        from whybox_server.graph.gradient.tables import composite  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    lrp = os.environ.get("WHYBOX_DISABLE_LRP", "").lower() not in TRUE
    try:
        rules = composite(arguments.table, _options(arguments.option), lrp=lrp)
        return of_graph(model, arguments.wrt, arguments.of, rules)
    except InvalidRequest as error:
        wrong = [Violation(_flag(violation.field), violation.description) for violation in error.violations]
        raise refused(wrong) from error
    except WhyboxError as error:  # what a server would have said of this model
        code, reason = "FAILED_PRECONDITION", error.reason.value
        raise ExplainError(
            str(error), code=code, reason=reason, details=error.details, remote=True
        ) from error


def _options(given: Sequence[str]) -> dict[str, Any]:
    """Options by name: a number, numbers parted by commas, or a word; for layers PATTERN=RULE, each for itself."""
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise invalid("--option", f"must be NAME=VALUE, got {text!r}")
        if name == "layers":
            pattern, _, rule = value.rpartition("=")
            options[name] = (*options.get(name, ()), (pattern, rule))
        else:
            numbers = tuple(map(_number, value.split(",")))
            several = numbers if len(numbers) > 1 else numbers[0]
            options[name] = value if None in numbers else several
    return options


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _flag(field: str) -> str:
    return f"--{field}" if field in FLAGS else f"--option {field}"


def _more(model: Any, gradient: Any, kind: str) -> list[Any]:
    """Inputs or outputs that the model did not have."""
    before = {value.name for value in getattr(model.graph, kind)}
    return [value for value in getattr(gradient.graph, kind) if value.name not in before]


def _meaning(name: str) -> str:
    return f"  {MEANINGS[name]}" if name in MEANINGS else ""


def _dims(value: Any) -> str:
    dims = value.type.tensor_type.shape.dim
    return "[" + ",".join(dim.dim_param or str(dim.dim_value or "?") for dim in dims) + "]"
