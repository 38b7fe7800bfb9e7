"""`whybox check`: a model's gradients put to the test, on the file and in this process.

The tests are the server's; here a file is read and lines are printed as they are known.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from whybox.cli.explain import read_spec
from whybox.embedded import not_installed
from whybox.errors import ExplainError, Violation, invalid, refused
from whybox.v1 import spec_pb2

MARKS = {True: "ok", False: "FAILED", None: "-"}


def check(arguments: argparse.Namespace) -> int:
    """Print a line per check; 1 if one failed."""
    row = None if arguments.data is None else _row(Path(arguments.data))
    path = Path(arguments.file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise invalid("MODEL", f"cannot read {path}: {error}") from error
    failed = False
    for one in _checks(data, arguments, row):
        print(f"{MARKS[one.ok]:7}{one.name:14}{one.said}", flush=True)
        failed = failed or one.ok is False
    return int(failed)


def _checks(data: bytes, arguments: argparse.Namespace, row: Any) -> Any:
    """As they are done. Raises ExplainError for a file or an instance that cannot be used."""
    try:
        from whybox_server.api.spec import to_spec  # noqa: PLC0415 - part of the server, an optional extra
        from whybox_server.core.errors import InvalidRequest, WhyboxError  # noqa: PLC0415 - as above
        from whybox_server.serving.onnx.load import load  # noqa: PLC0415 - as above
        from whybox_server.serving.onnx.selftest import selftest  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    said = read_spec(Path(arguments.spec)).message if arguments.spec else spec_pb2.ModelSpec()
    try:
        model = load(data, to_spec(said, "--spec"))
        if row is not None and not isinstance(row, dict):
            row = {model.inputs[0].name: row}
        yield from selftest(model, row, np.random.default_rng(arguments.seed))
    except InvalidRequest as error:
        raise refused([Violation(one.field, one.description) for one in error.violations]) from error
    except WhyboxError as error:  # what a server would have said of this model
        code, reason = "FAILED_PRECONDITION", error.reason.value
        raise ExplainError(
            str(error), code=code, reason=reason, details=error.details, remote=True
        ) from error


def _row(path: Path) -> Any:
    """An array, or arrays by input name."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise invalid("--data", f"cannot read {path}: {error}; give a .npy or .npz file") from error
    return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
