"""`whybox differentiate`: file in, file out; oracle: the gradient of a linear model is its weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.models.nets import embedded, net
from tests.oracles.reference import run

from whybox.cli import main

WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])
Said = pytest.CaptureFixture[str]


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    onnx.save(net("h = Neg(x) y = MatMul(h, w)", {"x": ("n", 3)}, {"w": WEIGHTS}), tmp_path / "linear.onnx")
    return tmp_path / "linear.onnx"


def test_the_file_holds_the_gradient(linear: Path, tmp_path: Path, capsys: Said) -> None:
    """One seed per class gives one row of weights, and the model's own output is still there."""
    out = tmp_path / "linear.grad.onnx"
    assert main(["differentiate", str(linear), "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("input   whybox_seed  [n,2]")
    assert said.out.splitlines()[1].startswith("output  whybox_gradient  [n,3]")
    assert said.err == f"wrote {out}\n"
    results = run(onnx.load(out), {"x": np.ones((2, 3)), "whybox_seed": np.eye(2)})
    np.testing.assert_array_equal(results["whybox_gradient"], -WEIGHTS.T)
    np.testing.assert_array_equal(results["y"], [-WEIGHTS.sum(axis=0)] * 2)


def test_both_ends_can_be_named(linear: Path, tmp_path: Path) -> None:
    """From the hidden tensor to the output."""
    out = tmp_path / "inner.onnx"
    assert main(["differentiate", str(linear), "-o", str(out), "--wrt", "h", "--of", "y"]) == 0
    results = run(onnx.load(out), {"x": np.ones((2, 3)), "whybox_seed": np.eye(2)})
    np.testing.assert_array_equal(results["whybox_gradient"], WEIGHTS.T)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{linear}", "-o", "{folder}/none/x.onnx"], "--output: cannot write"),
        (["{folder}/none.onnx", "-o", "{folder}/x.onnx"], "MODEL: cannot read"),
        (["{linear}", "-o", "{folder}/x.onnx", "--wrt", "hh"], "--wrt: the graph has no tensor 'hh'"),
        (["{folder}/text.onnx", "-o", "{folder}/x.onnx"], "--wrt: no input holds real numbers; name what"),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(
    linear: Path, tmp_path: Path, capsys: Said, words: list[str], said: str
) -> None:
    """The flag is named."""
    onnx.save(embedded(), tmp_path / "text.onnx")
    assert main(["differentiate", *(word.format(linear=linear, folder=tmp_path) for word in words)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()


def test_a_file_that_is_no_model_is_wrong_usage(tmp_path: Path, capsys: Said) -> None:
    """Whatever its ending says."""
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 40)
    assert main(["differentiate", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "x.onnx")]) == 2
    assert "as an ONNX model" in capsys.readouterr().err


def test_a_model_without_a_gradient_is_1_and_names_the_node(tmp_path: Path, capsys: Said) -> None:
    """With the methods that still work."""
    onnx.save(net("a = Det(x) y = Relu(a)", {"x": ("n", 3, 3)}, {}), tmp_path / "m.onnx")
    assert main(["differentiate", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "x.onnx")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("whybox: METHOD_UNSUPPORTED_FOR_MODEL")
    assert "node 'a': there is no gradient rule for Det-" in said


def test_other_tables_than_the_gradient(tmp_path: Path, capsys: Said) -> None:
    """Guided: what is negative on the way back stops. DeepLIFT reads a reference and says its score."""
    rectified = net("h = Relu(x) y = MatMul(h, w)", {"x": ("n", 3)}, {"w": WEIGHTS})
    onnx.save(rectified, tmp_path / "m.onnx")
    command = ["differentiate", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "x.onnx"), "--table"]
    feeds = {"x": np.ones((2, 3)), "whybox_seed": np.eye(2)}
    assert main([*command, "guided_backprop"]) == 0
    found = run(onnx.load(tmp_path / "x.onnx"), feeds)["whybox_gradient"]
    np.testing.assert_array_equal(found, np.maximum(WEIGHTS.T, 0))
    capsys.readouterr()
    assert main([*command, "deeplift", "--option", "rule=rescale"]) == 0
    assert {line.split()[1] for line in capsys.readouterr().out.splitlines()} == {
        "whybox_seed",
        "whybox_gradient",
        "whybox_reference",
        "whybox_reference_score",
    }
    against = {**feeds, "whybox_reference": -np.ones((2, 3))}
    found = run(onnx.load(tmp_path / "x.onnx"), against)
    np.testing.assert_allclose(found["whybox_gradient"], WEIGHTS.T / 2)  # relu: 1 of a difference of 2
    np.testing.assert_array_equal(found["whybox_reference_score"], np.zeros((2, 2)))
    assert main([*command, "lrp", "--option", "composite=epsilon", "--option", "layers=w=z_plus"]) == 0
    found = run(onnx.load(tmp_path / "x.onnx"), feeds)["whybox_gradient"]
    np.testing.assert_allclose(found.sum(axis=1), WEIGHTS.sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--table", "guided"], "--table: there is no table 'guided'; did you mean guided_backprop"),
        (["--table", "lrp", "--option", "composite"], "--option: must be NAME=VALUE"),
        (
            ["--table", "lrp", "--option", "epsilonn=1"],
            "--option epsilonn: there is no such option; did you mean epsilon",
        ),
        (
            ["--table", "lrp", "--option", "composite=flat"],
            "--option composite: there is no composite 'flat'",
        ),
        (["--table", "deeplift", "--option", "rule=reveal"], "--option rule"),
    ],
)
def test_a_table_or_option_that_there_is_not_is_2(
    linear: Path, tmp_path: Path, capsys: Said, words: list[str], said: str
) -> None:
    """The nearest ones are named."""
    assert main(["differentiate", str(linear), "-o", str(tmp_path / "x.onnx"), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_deployer_can_leave_relevance_out(
    linear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """WHYBOX_DISABLE_LRP holds for the command line, too."""
    monkeypatch.setenv("WHYBOX_DISABLE_LRP", "1")
    assert main(["differentiate", str(linear), "-o", str(tmp_path / "x.onnx"), "--table", "lrp"]) == 1
    assert "left out of this build" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["onnx", "whybox_server.graph.gradient"])
def test_a_light_installation_says_what_to_install(
    module: str, linear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """The client alone cannot differentiate."""
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["differentiate", str(linear), "-o", str(tmp_path / "x.onnx")]) == 2
    assert "pip install 'whybox[server]'" in capsys.readouterr().err
