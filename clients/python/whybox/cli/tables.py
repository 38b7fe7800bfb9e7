"""`whybox methods` and `whybox models`: what a server has, as plain columns that can be piped."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from whybox.cli.connect import connect
from whybox.errors import invalid, near
from whybox.views import Method, Model, Parameter, TensorInfo

NAME_WIDTH = 12  # of a method's name, at least
UNITS = ("B", "KB", "MB", "GB")
STEP = 1000


def methods(arguments: argparse.Namespace) -> int:
    """All methods in short, or one with its parameters."""
    with connect(arguments) as client:
        found = client.methods(arguments.model, timeout=arguments.timeout)
    if arguments.name is None:
        width = max([NAME_WIDTH, *(len(method.name) + 2 for method in found)])
        print("\n".join(_short(method, width) for method in found))
        return 0
    by_name = {method.name: method for method in found}
    if arguments.name not in by_name:
        raise invalid("name", f"no method {arguments.name!r}; {near(arguments.name, by_name)}")
    print(_long(by_name[arguments.name]))
    return 0


def models(arguments: argparse.Namespace) -> int:
    """One line per model, and a second one where something is wrong with it."""
    with connect(arguments) as client:
        found = client.models(timeout=arguments.timeout)
    if not found:
        print("no models; name a folder with --models, or pass a file to `whybox explain --model`")
        return 0
    rows = [("name", "version", "size", "inputs", "outputs", "state"), *map(_row, found)]
    lines = columns(rows)
    print(lines[0])
    for line, model in zip(lines[1:], found, strict=True):
        print(line)
        if model.problem:
            print(wrapped(f"cannot be used: {model.problem}", "  "))
    return 0


def _short(method: Method, width: int) -> str:
    indent = " " * width
    lines = [f"{method.name:<{width}}{', '.join(method.modalities)}", wrapped(method.summary, indent)]
    if method.not_applicable:
        lines.append(wrapped(f"does not fit this model: {method.not_applicable}", indent))
    elif method.not_applicable == "":
        lines.append(f"{indent}fits this model")
    return "\n".join(lines)


def _long(method: Method) -> str:
    head = [f"{method.name} (version {method.version})", wrapped(method.summary, "  ")]
    facts = [f"for {', '.join(method.modalities)}", method.citation]
    return "\n".join(
        [*head, *(wrapped(fact, "  ") for fact in facts if fact), *map(_parameter, method.parameters)]
    )


def _parameter(parameter: Parameter) -> str:
    kind = " | ".join(parameter.choices) or parameter.type
    summary = f"{parameter.summary} Unset: {parameter.default}." if parameter.default else parameter.summary
    return f"\n  {parameter.name} ({kind})\n{wrapped(summary, '      ')}"


def _row(model: Model) -> tuple[str, ...]:
    state = "unusable" if model.problem else model.provider or "not loaded"
    return (
        model.name,
        model.version,
        _size(model.size_bytes),
        tensors(model.inputs),
        tensors(model.outputs),
        state,
    )


def tensors(infos: Iterable[TensorInfo]) -> str:
    return " ".join(
        f"{i.name}:{i.dtype}[{','.join('?' if n < 0 else str(n) for n in i.shape)}]" for i in infos
    )


def _size(size_bytes: float) -> str:
    for unit in UNITS:
        if size_bytes < STEP or unit == UNITS[-1]:
            break
        size_bytes /= STEP
    return f"{size_bytes:.3g} {unit}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (zip(row, widths, strict=True) for row in rows)
    return ["  ".join(f"{cell:<{width}}" for cell, width in row).rstrip() for row in padded]


def wrapped(text: str, indent: str) -> str:
    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
