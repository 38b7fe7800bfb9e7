"""The command line: `whybox explain | plan | methods | models | audit | endpoints | probe | check | differentiate | serve`.

It parses, calls a client, and prints; it knows no method and no model. Everything heavy is imported
once it is known to be needed, so that --help answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from whybox.cli.parser import make_parser

FAILED, USAGE, INTERRUPTED = 1, 2, 130

# Module and function of each command; loaded when it is called.
COMMANDS = {
    "explain": ("whybox.cli.explain", "explain"),
    "plan": ("whybox.cli.explain", "plan"),
    "methods": ("whybox.cli.tables", "methods"),
    "models": ("whybox.cli.tables", "models"),
    "endpoints": ("whybox.cli.endpoints", "endpoints"),
    "probe": ("whybox.cli.endpoints", "probe"),
    "check": ("whybox.cli.check", "check"),
    "audit": ("whybox.cli.audit", "audit"),
    "differentiate": ("whybox.cli.differentiate", "differentiate"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 1 for an error of the server, 2 for wrong usage, 130 for Ctrl-C."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        if words[:1] == ["serve"]:
            return _report(lambda: _serve(words[1:]))
        arguments = make_parser().parse_args(words)
        module, function = COMMANDS[arguments.command]
        return _report(lambda: getattr(importlib.import_module(module), function)(arguments))
    except KeyboardInterrupt:
        print("whybox: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _report(command: Callable[[], int]) -> int:
    """The exit status of a command; an error becomes one readable block on stderr."""
    from whybox.cli.report import block  # noqa: PLC0415 - see the module's docstring
    from whybox.errors import ExplainError  # noqa: PLC0415 - as above

    try:
        return command()
    except ExplainError as error:
        sys.stdout.flush()
        print(block(error), file=sys.stderr)
        return FAILED if error.remote else USAGE


def _serve(words: Sequence[str]) -> int:
    """Hand the rest of the command line to the server, which has its own flags and --help."""
    from whybox.embedded import not_installed  # noqa: PLC0415 - as above

    try:
        from whybox_server.app import serve_main  # noqa: PLC0415 - the server is an optional extra
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    return serve_main(words)
