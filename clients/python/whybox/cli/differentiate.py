"""`whybox differentiate`: a model's gradient as an ONNX file that any runtime can run.

Works on the file in this process, without a server; the mathematics is the server's package, which is
imported when the command is called.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from whybox.embedded import not_installed
from whybox.errors import ExplainError, Violation, invalid, refused

LARGEST_FILE_BYTES = 2**31 - 1  # what one ONNX file can hold


def differentiate(arguments: argparse.Namespace) -> int:
    """Write the gradient model, and print what it has more than the model."""
    source, result = Path(arguments.file), Path(arguments.output)
    if not result.parent.is_dir() or result.is_dir() or not os.access(result.parent, os.W_OK):
        raise invalid("--output", f"cannot write {result}; name a file in a folder that exists")
    gradient = _gradient(_read(source), arguments.wrt, arguments.of)
    if gradient.ByteSize() > LARGEST_FILE_BYTES:
        raise invalid("MODEL", f"{source} and its gradient are larger than the 2 GB of one ONNX file")
    result.write_bytes(gradient.SerializeToString())
    seed, found = gradient.graph.input[-1], gradient.graph.output[-1]
    print(f"input   {seed.name}  {_dims(seed)}  weights of the outputs that are differentiated")
    print(f"output  {found.name}  {_dims(found)}  gradient of their weighted sum")
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


def _gradient(model: Any, wrt: str | None, of: str | None) -> Any:
    try:
        from whybox_server.core.errors import InvalidRequest, WhyboxError  # noqa: PLC0415 - as above
        from whybox_server.graph.gradient import differentiate as of_graph  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    try:
        return of_graph(model, wrt, of)
    except InvalidRequest as error:
        wrong = [Violation(f"--{violation.field}", violation.description) for violation in error.violations]
        raise refused(wrong) from error
    except WhyboxError as error:  # what a server would have said of this model
        code, reason = "FAILED_PRECONDITION", error.reason.value
        raise ExplainError(
            str(error), code=code, reason=reason, details=error.details, remote=True
        ) from error


def _dims(value: Any) -> str:
    dims = value.type.tensor_type.shape.dim
    return "[" + ",".join(dim.dim_param or str(dim.dim_value or "?") for dim in dims) + "]"
