"""The words of the command line, and the help that teaches them. Imports nothing but argparse."""

from __future__ import annotations

import argparse

from whybox.cli.audit_flags import AUDIT, add_audit

OVERVIEW = """\
Explains what a model says: which parts of an instance speak for an answer, and which against it.

  whybox explain --model net.onnx --input dog.png --method lime --png why.png
  whybox plan    --model net.onnx --input dog.png --method occlusion --param window=32
  whybox methods --for net.onnx
  whybox explain --endpoint https://models.example.com --endpoint-option model=churn --input row.json --method lime
  whybox audit   --model net.onnx --data people.csv --method lime,kernel_shap --out audit-1
  whybox serve   --models ./models --listen 127.0.0.1:50051
  whybox check   net.onnx
  whybox differentiate net.onnx -o net.grad.onnx
"""

EXPLAIN = """\
examples:
  whybox explain --model net.onnx --input dog.png --method lime
  whybox explain --model net.onnx --input dog.png --method occlusion --param window=32 --param stride=16
  whybox explain --model models/churn --input row.json --method lime --server localhost:50051
  whybox explain --model net.onnx --input x.npy --method lime --target top:3 --json - > why.json
  whybox explain --model net.onnx --input x.npy --method lime --param segmentation=@cut.npy

The input is what its ending says: .npy (one array), .npz (arrays by input name), .png .jpg .jpeg (a
picture), .csv (a header and one row), .json (a row, or arrays), .txt (a text).
`whybox methods NAME` lists the parameters of a method.

exit status: 0 explained, 1 the server refused or failed, 2 wrong usage, 130 interrupted
"""


CHECK = """\
each line is ok, FAILED, or - where it could not be decided:
  way back      which operators lie between the input and the scores, and that each has a rule
  forward       the graph says the same scores in the form in which it is differentiated
  differences   <v, J u> by central differences in float64 = <J'v, u>, at random points without kinks
  completeness  gradients along a path add up to the difference of the scores
  batches       rows led back together and one by one give the same
  time          what a gradient costs beside the scores

exit status: 0 nothing failed, 1 something did, 2 wrong usage
"""

DIFFERENTIATE = """\
examples:
  whybox differentiate net.onnx -o net.grad.onnx
  whybox differentiate net.onnx -o net.cam.onnx --wrt layer4 --of logits
  whybox differentiate net.onnx -o net.guided.onnx --table guided_backprop
  whybox differentiate net.onnx -o net.lrp.onnx --table lrp --option composite=epsilon_plus --option epsilon=1e-3

tables: gradient, guided_backprop, deconvnet, lrp, deep_taylor, deeplift (which also reads a reference).
Relevance (lrp, deep_taylor) starts from seed x score; the others from the seed.

exit status: 0 written, 1 the model cannot be differentiated, 2 wrong usage
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands but `serve`, whose flags are the server's."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("whybox", description=OVERVIEW, formatter_class=raw)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    explain = commands.add_parser(
        "explain", help="explain one instance", epilog=EXPLAIN, formatter_class=raw, allow_abbrev=False
    )
    _add_question(explain)
    _add_outputs(explain)
    plan = commands.add_parser(
        "plan", help="say what an explanation would cost, asking the model nothing", allow_abbrev=False
    )
    _add_question(plan)
    methods = commands.add_parser("methods", help="list the methods, or the parameters of one")
    methods.add_argument("name", nargs="?", help="show this method's parameters")
    methods.add_argument(
        "--for",
        dest="model",
        metavar="MODEL",
        help="say for each method whether it fits this model, or why not",
    )
    _add_server(methods)
    _add_server(commands.add_parser("models", help="list the models of the server"))
    _add_server(commands.add_parser("endpoints", help="list the endpoints of the server"))
    probe = commands.add_parser("probe", help="ask an endpoint for its metadata and a few rows", allow_abbrev=False)
    _add_endpoint(probe)
    probe.add_argument("--input", metavar="FILE", help="a row to ask: .npy .npz .json (default: zeros)")
    _add_server(probe)
    _add_differentiate(
        commands.add_parser(
            "differentiate",
            help="write a model's gradient as an ONNX model",
            epilog=DIFFERENTIATE,
            formatter_class=raw,
        )
    )
    _add_check(
        commands.add_parser(
            "check",
            help="put a model's gradients to the test on the model itself",
            epilog=CHECK,
            formatter_class=raw,
        )
    )
    audit = commands.add_parser(
        "audit",
        help="explain many instances under one budget, and write a report",
        epilog=AUDIT,
        formatter_class=raw,
        allow_abbrev=False,
    )
    _add_model(audit)
    add_audit(audit)
    commands.add_parser("serve", help="start a server; see `whybox serve --help`", add_help=False)
    return parser


def _add_question(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("question").add_argument
    _add_model(parser)
    add("--input", required=True, metavar="FILE", help="the instance: .npy .npz .png .jpg .csv .json .txt")
    add("--method", required=True, metavar="NAME", help="see `whybox methods`")
    add(
        "--target",
        action="append",
        metavar="N|LABEL|top:K",
        help="output to explain, by index or label, or the K highest; may be repeated (default: the highest)",
    )
    add(
        "--param", action="append", default=[], metavar="K=V", help="parameter of the method; may be repeated"
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of all random draws (default: 0)")
    add("--max-queries", type=int, metavar="N", help="most different rows asked (default: no limit)")
    add("--space", metavar="UNIT", help="logit, probability or value (default: logit where there is one)")
    add("--mode", metavar="MODE", help="fast, or reproducible: the same bytes every time (default: fast)")
    add(
        "--spec", metavar="FILE", help='JSON of what the tensors mean: {"modality": "image", "layout": "CHW"}'
    )
    _add_server(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    """What is asked: a model, or an endpoint with how to ask it."""
    either = parser.add_argument_group("model").add_mutually_exclusive_group(required=True)
    either.add_argument("--model", metavar="MODEL", help="FILE.onnx, or models/NAME of the server")
    _add_endpoint(parser, either)


def _add_endpoint(
    parser: argparse.ArgumentParser, group: argparse._MutuallyExclusiveGroup | None = None
) -> None:
    """group: what else may be given in its place; None: it must be given."""
    (group or parser).add_argument(
        "--endpoint",
        required=group is None,
        metavar="URL",
        help="where the model is served, or endpoints/NAME of the server",
    )
    parser.add_argument(
        "--endpoint-option",
        action="append",
        default=[],
        metavar="K=V",
        help="how the URL is asked: protocol, model, version, output, credential, rows_per_call, "
        "requests_per_second, calls_per_day, ...; JSON for inputs, headers and json; may be repeated",
    )


def _add_differentiate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes a model that also computes the gradient of a weighted sum of its outputs. The weights are "
        "one more input, the gradient is one more output; all operators are standard ONNX."
    )
    add = parser.add_argument
    add("file", metavar="MODEL.onnx", help="the model; it is not changed")
    add("-o", "--output", required=True, metavar="FILE", help="where the gradient model is written")
    add("--wrt", metavar="TENSOR", help="differentiate with respect to this (default: the only real input)")
    add("--of", metavar="TENSOR", help="differentiate this (default: the first real output)")
    add("--table", default="gradient", metavar="NAME", help="by which rules (default: gradient)")
    add("--option", action="append", default=[], metavar="K=V", help="option of the table; may be repeated")


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measures the model's derivative in double precision and compares what is led back through its graph; "
        "checks that gradients along a path add up, and that a batch changes nothing. Needs no server."
    )
    add = parser.add_argument
    add("file", metavar="MODEL.onnx", help="the model")
    add("--data", metavar="FILE", help="an instance: .npy (one array) or .npz (arrays by input; default: drawn)")
    add("--spec", metavar="FILE", help="JSON of what the tensors mean, as for `whybox explain`")
    add("--seed", type=int, default=0, metavar="N", help="seed of points and directions (default: 0)")


def _add_server(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("server").add_argument
    add("--server", metavar="HOST:PORT", help="a running server (default: one inside this process)")
    add("--tls-ca", metavar="FILE", help="PEM file of the authority that vouches for --server")
    add("--timeout", type=float, metavar="SECONDS", help="longest time for the whole command's calls")
    add("--models", metavar="DIR", help="models folder of the server inside this process")
    add("--redis", metavar="URL", help="cache of the server inside this process")
    add("--endpoints", metavar="FILE", help="endpoints.yaml of the server inside this process")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("output").add_argument
    add("--json", metavar="FILE", help="write everything as JSON; - writes it to stdout in place of the text")
    add("--png", metavar="FILE", help="write a picture")
    add("--npz", metavar="FILE", help="write the arrays for numpy")
    add("--html", metavar="FILE", help="write a page that stands alone")
    add(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar on stderr (default: when stderr is a terminal)",
    )


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import whybox  # noqa: PLC0415 - reading the package's metadata takes a while

        parser.exit(message=f"whybox {whybox.__version__}\n")
