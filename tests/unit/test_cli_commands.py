"""The command line against a server that records: what it asks, prints, writes, and exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import code_pb2
from tests.wire import examples, results
from tests.wire.recorder import Recorder, abort, serving

from whybox import Explanation
from whybox.cli import main
from whybox.v1 import explain_pb2, model_pb2

WAIT_S = 20


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def server(recorder: Recorder) -> Iterator[str]:
    with serving(recorder) as address:
        yield address


@pytest.fixture
def question(server: str, tmp_path: Path) -> list[str]:
    """Flags that every explanation needs."""
    np.save(tmp_path / "x.npy", np.zeros(4, np.float32))
    flags = ["--model", "models/churn", "--input", str(tmp_path / "x.npy"), "--method", "lime"]
    return [*flags, "--server", server]


Said = pytest.CaptureFixture[str]


def test_explain_asks_what_its_flags_say(question: list[str], recorder: Recorder, capsys: Said) -> None:
    """Digits are an index, words a label; parameters are typed by the descriptor."""
    flags = "--target 3 --target yes --target top:2 --target label:7"
    flags += " --seed 5 --max-queries 90 --space probability"
    params = ["--param", "num_samples=50", "--param", "paired=true", "--param", "baseline=0.5"]
    assert main(["explain", *question, *flags.split(), *params, "--mode", "reproducible"]) == 0
    request = recorder.calls[0][1]
    assert [(t.WhichOneof("choice"), t.index, t.label, t.top) for t in request.targets] == [
        ("index", 3, "", 0),
        ("label", 0, "yes", 0),
        ("top", 0, "", 2),
        ("label", 0, "7", 0),
    ]
    assert (request.seed, request.max_queries, request.space, request.mode) == (5, 90, 2, 2)
    assert (request.lime.num_samples, request.lime.paired, request.lime.baseline.value) == (50, True, 0.5)
    out = capsys.readouterr().out
    assert out.count("income") == 2, "one block for each target"
    assert "\x1b" not in out, "no colours into a pipe"


def test_all_files_are_written_and_named(question: list[str], tmp_path: Path, capsys: Said) -> None:
    """Each can be read back; where they are goes to stderr."""
    paths = {kind: tmp_path / f"out.{kind}" for kind in ("json", "png", "npz", "html")}
    flags = [word for kind, path in paths.items() for word in (f"--{kind}", str(path))]
    assert main(["explain", *question, *flags]) == 0
    expected = Explanation(examples.attribution())
    assert Explanation.from_json(paths["json"].read_text()) == expected
    assert Explanation.from_npz(paths["npz"]) == expected
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    assert "</html>" in paths["html"].read_text()
    assert capsys.readouterr().err.splitlines() == [f"wrote {path}" for path in paths.values()]


def test_json_to_stdout_is_nothing_but_json(question: list[str], capsys: Said) -> None:
    """So that it can be piped."""
    assert main(["explain", *question, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["method"] == "lime"


def test_a_progress_bar_needs_a_terminal_or_a_wish(
    question: list[str], recorder: Recorder, capsys: Said
) -> None:
    """Without either the call is unary; with --progress it streams, and stdout stays clean."""
    assert main(["explain", *question, "--json", "-"]) == 0
    assert main(["explain", *question, "--json", "-", "--progress"]) == 0
    assert recorder.names == ["Explain", "ExplainStream"]
    assert capsys.readouterr().out.count('"format"') == 2


def test_plan_prints_rows_time_and_notes(question: list[str], capsys: Said) -> None:
    """And asks the model nothing."""
    assert main(["plan", *question]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "exactly 64 rows",
        "about 0.25 s on an idle server",
        "note: the Softmax is cut off",
    ]


def test_methods_are_listed_in_short_and_one_in_full(server: str, capsys: Said) -> None:
    """The full form has the parameters with their choices and defaults."""
    assert main(["methods", "--server", server]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "lime        tabular, time_series"
    assert main(["methods", "lime", "--server", server]) == 0
    long = capsys.readouterr().out
    assert "num_samples (int)" in long
    assert "discretizer (quartile | decile)" in long
    assert "Unset: 1000." in long
    assert main(["methods", "lim", "--server", server]) == 2
    assert "did you mean lime" in capsys.readouterr().err


def test_methods_say_whether_they_fit_a_model(server: str, recorder: Recorder, capsys: Said) -> None:
    """--for names it to the server; a method that does not fit says why, one that does says so."""
    found = examples.methods()
    found.methods.add(name="rise", modalities=[2], not_applicable="it does not explain tabular models")
    recorder.answers["ListMethods"] = lambda *_: found
    assert main(["methods", "--for", "models/churn", "--server", server]) == 0
    assert recorder.calls[0][1].model == "models/churn"
    said = capsys.readouterr().out
    assert "fits this model" in said.split("rise")[0]
    assert "does not fit this model: it does not explain tabular models" in said.split("rise")[1]


@pytest.mark.parametrize("name", results.EVERY)
def test_every_kind_of_result_is_printed_and_written(
    name: str, question: list[str], recorder: Recorder, tmp_path: Path, capsys: Said
) -> None:
    """One block per target on stdout; the files can be read back."""
    message = results.EVERY[name]()
    recorder.answers["Explain"] = lambda *_: explain_pb2.ExplainResponse(explanations=[message])
    flags = [
        word for kind in ("json", "png", "npz", "html") for word in (f"--{kind}", str(tmp_path / f"e.{kind}"))
    ]
    assert main(["explain", *question, *flags]) == 0
    assert capsys.readouterr().out.count("Why ") == len(message.targets)
    assert Explanation.from_json((tmp_path / "e.json").read_text()).message == message
    assert Explanation.from_npz(tmp_path / "e.npz").message == message
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert "</html>" in (tmp_path / "e.html").read_text()


def test_models_are_columns_with_their_problems(server: str, recorder: Recorder, capsys: Said) -> None:
    """All pages; an empty server says how to get models."""
    assert main(["models", "--server", server]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["models/churn", "1.5", "KB", "x:fp32[?,3]", "CPU"]
    assert lines[-1] == "  cannot be used: the file ends early"
    recorder.answers["ListModels"] = lambda *_: model_pb2.ListModelsResponse()
    assert main(["models", "--server", server]) == 0
    assert "name a folder with --models" in capsys.readouterr().out


def test_an_error_of_the_server_is_a_block_on_stderr_and_1(
    question: list[str], recorder: Recorder, capsys: Said
) -> None:
    """Reason, field, cause, facts; stdout stays empty."""

    def refuse(_: Any, context: grpc.ServicerContext) -> None:
        wrong = [("targets[0]", "no label 'dgo'; the model has dog, cat")]
        abort(context, code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", "a field is wrong", {"near": "dog"}, wrong)

    recorder.answers["Explain"] = refuse
    assert main(["explain", *question]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "whybox: INVALID_FIELD",
        "  targets[0]: no label 'dgo'; the model has dog, cat",
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--param", "num_sample=3"], "did you mean num_samples"),
        (["--method", "lim"], "did you mean lime"),
        (["--input", "none.npy"], "no file none.npy"),
        (["--model", "none.onnx"], "cannot read none.onnx"),
        (["--png", "no/such/folder/x.png"], "--png"),
        (["--spec", "none.json"], "--spec"),
        (["--redis", "redis://x"], "--redis"),
        (["--target", "top:0"], "targets[0]"),
        (["--tls-ca", "none.pem"], "none.pem"),
    ],
)
def test_wrong_usage_is_2_and_costs_no_call(
    question: list[str], recorder: Recorder, capsys: Said, flags: list[str], said: str
) -> None:
    """Found before anything is sent; the message names the flag or field."""
    assert main(["explain", *question, *flags]) == 2
    assert said in capsys.readouterr().err
    assert recorder.names == []


def test_a_missing_flag_is_2_too(capsys: Said) -> None:
    """argparse says which, and leaves."""
    with pytest.raises(SystemExit) as left:
        main(["explain", "--model", "m.onnx"])
    assert left.value.code == 2
    assert "--input" in capsys.readouterr().err


def test_a_spec_from_a_file_is_sent(question: list[str], recorder: Recorder, tmp_path: Path) -> None:
    """JSON, for models that have no whybox.yaml."""
    (tmp_path / "spec.json").write_text('{"modality": "tabular", "feature_names": ["a"]}')
    assert main(["plan", *question, "--spec", str(tmp_path / "spec.json")]) == 0
    assert list(recorder.calls[0][1].request.spec.tabular.feature_names) == ["a"]
    (tmp_path / "spec.json").write_text("[]")
    assert main(["plan", *question, "--spec", str(tmp_path / "spec.json")]) == 2


def test_ctrl_c_is_130_and_cancels_the_call(question: list[str], recorder: Recorder) -> None:
    """A real process, a real SIGINT: one line on stderr, no traceback, and the server hears of it."""
    begun = threading.Event()

    def wait(_: Any, context: grpc.ServicerContext) -> None:
        context.add_callback(recorder.ended.set)
        begun.set()
        recorder.ended.wait(WAIT_S)

    recorder.answers["Explain"] = wait
    command = [
        sys.executable,
        "-c",
        "import sys; from whybox.cli import main; sys.exit(main())",
        "explain",
        *question,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert begun.wait(WAIT_S)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said == "whybox: interrupted\n"
    assert recorder.ended.wait(WAIT_S)


def test_a_pipe_that_is_closed_early_is_no_traceback(server: str) -> None:
    """`whybox methods | head -0`."""
    code = "import sys; from whybox.cli import main; sys.exit(main())"
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-u", "-c", code, "methods", "--server", server],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(WAIT_S)
    assert said == ""


@pytest.mark.parametrize("words", [["--help"], ["explain", "--help"], ["models", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    """No gRPC, numpy, protobuf or rich: that is what makes it quick."""
    code = (
        "import sys; from whybox.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('grpc', 'numpy', 'google.protobuf', 'rich', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "usage: whybox" in done.stdout


def test_serve_hands_its_words_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its flags and its --help are the server's own; its status is the command's."""
    heard: list[list[str]] = []
    app = ModuleType("whybox_server.app")
    app.serve_main = lambda words: heard.append(words) or 7  # type: ignore[attr-defined, func-returns-value]
    monkeypatch.setitem(sys.modules, "whybox_server.app", app)
    assert main(["serve", "--listen", "127.0.0.1:0", "--help"]) == 7
    assert heard == [["--listen", "127.0.0.1:0", "--help"]]


@pytest.mark.parametrize("words", [["serve"], ["models"]])
def test_a_light_installation_says_how_to_get_the_server(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Without the extra, `serve` and commands without --server name the package to install."""
    monkeypatch.setitem(sys.modules, "whybox_server.app", None)
    assert main(words) == 2
    assert "pip install 'whybox[server]'" in capsys.readouterr().err
