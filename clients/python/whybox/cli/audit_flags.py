"""The words of `whybox audit`. Imports nothing but argparse."""

from __future__ import annotations

import argparse

AUDIT = """\
examples:
  whybox audit --model net.onnx --data people.csv --method lime,kernel_shap --group sex --out audit-1
  whybox audit --model net.onnx --data people.csv --method lime --param lime.num_samples=200 --out audit-2
  whybox audit --model net.onnx --data people.csv --method anchors --where 'probability < `0.7`' --out audit-3
  whybox audit --model net.onnx --data people.csv --method lime --max-queries 50000 --out audit-4 --resume

The folder keeps journal.jsonl (every explanation with all that is needed to compute it again, a line
each), answers.sqlite (what an endpoint said, so that no row is paid twice) and report.html. Whatever stops
an audit, Ctrl-C or a power cut: the same command with --resume goes on where it was.

--where is JMESPath over the model's answer: label, score, probability, and row with the instance's columns.
Finding the answer out takes two rows per instance.

exit status: 0 done, or as far as the budget went; 1 something could not be explained; 2 wrong usage;
130 interrupted
"""


def add_audit(parser: argparse.ArgumentParser) -> None:
    """What is asked, of which instances, and where it is written."""
    add = parser.add_argument_group("question").add_argument
    add(
        "--data",
        required=True,
        metavar="FILE",
        help="the instances: .csv, .parquet (needs pyarrow) or .npz, a row each",
    )
    add(
        "--method",
        required=True,
        metavar="LIST",
        help="methods, separated by commas; the first one leads the report",
    )
    add(
        "--param",
        action="append",
        default=[],
        metavar="METHOD.K=V",
        help="parameter of one of them; may be repeated",
    )
    add("--target", metavar="N|LABEL", help="output to explain (default: each instance's highest)")
    add("--where", default="", metavar="JMESPATH", help="only instances of which the model says this")
    add("--seed", type=int, default=0, metavar="N", help="seed of all random draws (default: 0)")
    add("--space", metavar="UNIT", help="logit, probability or value (default: logit where there is one)")
    add("--mode", metavar="MODE", help="fast, or reproducible: the same bytes every time (default: fast)")
    add("--spec", metavar="FILE", help="JSON of what the tensors mean, as for `whybox explain`")
    add = parser.add_argument_group("server").add_argument
    add("--models", metavar="DIR", help="models folder of the server inside this process")
    add("--endpoints", metavar="FILE", help="endpoints.yaml of the server inside this process")
    add = parser.add_argument_group("audit").add_argument
    add("--out", required=True, metavar="DIR", help="folder of the audit; made if it is not there")
    add("--resume", action="store_true", help="go on with the audit that the folder holds")
    add(
        "--max-queries",
        type=int,
        default=0,
        metavar="N",
        help="most rows asked of the model, over all instances and resumptions (default: no limit)",
    )
    add(
        "--group",
        default="",
        metavar="COLUMN",
        help="compare the groups of this column, which the model need not know",
    )
    add("--parallel", type=int, default=8, metavar="N", help="explanations at once (default: 8)")
    add(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar on stderr (default: when stderr is a terminal)",
    )
